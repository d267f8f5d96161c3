//! Every command on either of two servers that share a table: what one of them has accepted, the other one knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::recorder::Recorder;
use crate::stage::{ask, console_only, said, site, table_name, two, until_so_long};
use crate::waiting;

fn event(id: &str, conversation: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","eventType":"call.ended"}}"#)
}

#[test]
fn every_command_works_on_either_server() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let refused = move |body: &[u8]| body.windows(3).any(|part| part == b"bad") && !is_mended.load(Ordering::SeqCst);
    let crm = Recorder::start(move |request| if refused(&request.body) { 422 } else { 200 });
    let [(here, one), (there, other)] = two(&format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         [[routes]]\ndestination = \"crm\"\n",
        crm.address
    ));
    for (id, conversation) in [("good-1", "c-1"), ("bad-2", "c-2"), ("good-3", "c-3")] {
        assert_eq!(one.post(event(id, conversation)).counts(), (1, 0));
    }
    assert_eq!(other.post(event("good-1", "c-1")).counts(), (0, 1), "the other one knows it");
    other.until_settled("crm");
    assert_eq!((other.count("accepted"), one.count("duplicates"), one.count("dead_letters")), (3, 1, 1));
    assert!(ask(&there, &other, &["status"], 0).contains("crm"));
    let letters: Value = serde_json::from_str(&ask(&there, &other, &["dead-letters", "list", "--json"], 0)).unwrap();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(1), "{letters}");
    let groups: Value = serde_json::from_str(&ask(&here, &one, &["dead-letters", "groups", "--json"], 0)).unwrap();
    assert_eq!(groups["groups"].as_array().map(Vec::len), Some(1), "{groups}");
    assert!(ask(&there, &other, &["trace", "c-2"], 0).contains("422"));

    mended.store(true, Ordering::SeqCst);
    ask(&there, &other, &["redrive", "--all"], 0);
    other.until_settled("crm");
    one.until_settled("crm");
    assert_eq!((one.count("dead_letters"), one.count("redriven"), crm.answered(200).len()), (0, 1, 3));

    ask(&here, &one, &["erase", "--conversation", "c-1", "--reason", "asked for", "--yes"], 0);
    assert!(ask(&there, &other, &["trace", "c-1"], 0).contains("erase"));
    let replay = ["replay", "--destination", "crm", "--from", "2020-01-01", "--to", "2100-01-01", "--yes"];
    ask(&there, &other, &replay, 0);
    until_so_long("what is left is replayed", || {
        let replayed = |request: &crate::recorder::Request| request.headers.contains_key("aftercall-replayed");
        crm.requests().iter().filter(|request| replayed(request)).count() == 2
    });
    waiting::until_so("both know", || one.count("replayed") == 2 && other.count("replayed") == 2);
    for (site, server) in [(&here, &one), (&there, &other)] {
        assert!(ask(site, server, &["audit", "verify"], 0).contains("nothing was changed"));
    }
    assert_eq!((one.stop(), other.stop()), (Some(0), Some(0)));
}

/// Where only functions run, nobody can be asked: the console alone answers, and takes nothing from those who deliver.
#[test]
fn the_console_alone_answers_every_command() {
    let crm = Recorder::start(|request| if request.body.windows(3).any(|part| part == b"bad") { 422 } else { 200 });
    let rest = format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         auth = {{ bearer = \"file:crm-token\" }}\n[[routes]]\ndestination = \"crm\"\n",
        crm.address
    );
    let table = table_name();
    let site = site(&table, &rest);
    std::fs::write(site.path("crm-token"), "token").unwrap();
    assert!(site.run(&["aws", "table", "create", "--config", "aftercall.toml"]).status.success());
    let server = site.start();
    for (id, conversation) in [("good-1", "c-1"), ("bad-2", "c-2")] {
        assert_eq!(server.post(event(id, conversation)).counts(), (1, 0));
    }
    server.until_settled("crm");
    assert_eq!(server.stop(), Some(0));
    // Neither the source's secret nor the destination's is needed.
    for secret in ["crm-token", "webhook-secret", "eventbridge-token"] {
        std::fs::remove_file(site.path(secret)).unwrap();
    }
    let (mut console, address) = console_only(&site);
    let ask = |args: &[&str], code: i32| {
        let output = site.run(&[args, &["--console", &address]].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        said(&output)
    };
    assert!(ask(&["status", "--json"], 0).contains("\"accepted\""));
    assert!(ask(&["dead-letters", "list"], 0).contains("422"));
    assert!(ask(&["trace", "c-1"], 0).contains("crm"));
    assert!(ask(&["audit", "verify"], 0).contains("nothing was changed"));
    ask(&["redrive", "--all", "--dry-run"], 0);
    ask(&["redrive", "--all"], 0);
    ask(&["replay", "--destination", "crm", "--from", "2020-01-01", "--to", "2100-01-01", "--yes"], 0);
    ask(&["erase", "--conversation", "c-2", "--reason", "asked for", "--yes"], 0);
    assert_eq!(crm.requests().len(), 2, "the console delivers nothing");
    console.kill().unwrap();
    console.wait().unwrap();
}
