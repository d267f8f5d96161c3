//! What happened to a conversation, and that nobody has changed the record of it.

use std::fs;

use serde_json::Value;

use crate::site::{Server, Site};

/// Two destinations: one for calls of a kind, one whose mapping fails for some.
const TWO: &str = r#"
[destinations.crm]
kind = "file"
path = "crm.ndjson"
[destinations.lake]
kind = "file"
path = "lake.ndjson"
[[routes]]
name = "calls"
destination = "crm"
pattern = { data = { mediaType = ["VOICE"] } }
[[routes]]
name = "named"
destination = "lake"
mapping = '{ name: (.data.name // error("no name")) }'
"#;

fn event(id: &str, conversation: &str, data: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","data":{data}}}"#)
}

fn run(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--console", &console]].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

fn settled(server: &Server) {
    server.until_settled("crm");
    server.until_settled("lake");
}

#[test]
fn a_conversation_has_its_whole_story() {
    let site = Site::new(TWO);
    let server = site.start();
    assert_eq!(server.post(event("e-1", "c-1", r#"{"mediaType":"EMAIL"}"#)).counts(), (1, 0));
    assert_eq!(server.post(event("e-2", "c-1", r#"{"mediaType":"VOICE","name":"Eva"}"#)).counts(), (1, 0));
    assert_eq!(server.post(event("e-3", "c-2", r#"{"mediaType":"VOICE","name":"Other"}"#)).counts(), (1, 0));
    assert_eq!(server.post(event("e-2", "c-1", r#"{"mediaType":"VOICE","name":"Eva"}"#)).counts(), (0, 1));
    settled(&server);
    let story = run(&site, &server, &["trace", "c-1"], 0);
    for expected in [
        "received from genesys",
        "verified by key ",
        "came again from genesys",
        "lake: attempt 1 failed at stage map (permanent, 0 charged, mapping ",
        "lake: dead letter 1: the mapping of route named",
        "crm: delivered within ",
        "the log has it as it was received",
        "crm: delivered\n",
        "lake: dead letter\n",
        "route calls to crm does not match: data.mediaType: wants \"VOICE\", found \"EMAIL\"",
        "route calls to crm matches: data.mediaType",
        "route named to lake matches: it has no pattern",
    ] {
        assert!(story.contains(expected), "`{expected}` is missing from:\n{story}");
    }
    assert!(!story.contains("Other"), "nothing of another conversation");

    let json: Value = serde_json::from_str(&run(&site, &server, &["trace", "c-2", "--json"], 0)).unwrap();
    let id = json["events"][0]["event"].as_str().unwrap().to_owned();
    assert_eq!(json["events"].as_array().unwrap().len(), 1);
    assert_eq!(json["events"][0]["deliveries"], serde_json::json!({ "crm": "delivered", "lake": "delivered" }));
    let of_event: Value = serde_json::from_str(&run(&site, &server, &["trace", "--event", &id, "--json"], 0)).unwrap();
    assert_eq!(of_event, json);

    assert!(run(&site, &server, &["trace", "c-9"], 1).contains("nothing is known of it"));
    assert!(run(&site, &server, &["trace", "--event", "c-9"], 2).contains("is not an event id"));
}

#[test]
fn of_a_long_conversation_no_event_is_said_to_go_nowhere_that_goes_somewhere() {
    let site = Site::new(TWO);
    let server = site.start();
    for number in 0..102 {
        assert_eq!(server.post(event(&format!("e-{number}"), "c-1", r#"{"name":"Eva"}"#)).counts(), (1, 0));
    }
    settled(&server);
    let story = run(&site, &server, &["trace", "c-1"], 0);
    assert!(!story.contains("no route takes it now"), "{story}");
    assert_eq!(story.matches("  what routes say of it: aftercall trace --event ").count(), 2, "{story}");
}

#[test]
fn the_story_goes_on_behind_a_kill() {
    let site = Site::new(TWO);
    let mut server = site.start();
    for number in 0..5 {
        let id = format!("e-{number}");
        assert_eq!(server.post(event(&id, "c-1", r#"{"mediaType":"VOICE","name":"Eva"}"#)).counts(), (1, 0));
        server.kill();
        server = site.start();
    }
    settled(&server);
    let json: Value = serde_json::from_str(&run(&site, &server, &["trace", "c-1", "--json"], 0)).unwrap();
    let events = json["events"].as_array().unwrap();
    assert_eq!(events.len(), 5);
    for event in events {
        assert_eq!((&event["deliveries"]["crm"], &event["body"]), (&"delivered".into(), &"retained".into()), "{event}");
    }
    assert!(run(&site, &server, &["audit", "verify"], 0).contains("nothing was changed"));
}

#[test]
fn the_audit_trail_says_who_did_what_and_shows_that_it_is_whole() {
    let site = Site::new(TWO);
    let server = site.start();
    assert_eq!(server.post(event("e-1", "c-1", r#"{"mediaType":"VOICE","name":"Eva"}"#)).counts(), (1, 0));
    settled(&server);
    run(&site, &server, &["pause", "crm"], 0);
    run(&site, &server, &["resume", "crm"], 0);
    run(&site, &server, &["reload"], 0);
    let whole = run(&site, &server, &["audit", "verify"], 0);
    let head = whole.lines().find_map(|line| line.strip_prefix("head ")).unwrap().to_owned();
    run(&site, &server, &["audit", "verify", "--head", &head], 0);
    let (number, hash) = head.split_once(':').unwrap();
    let later = format!("{}:{hash}", number.parse::<u64>().unwrap() + 1);
    assert!(run(&site, &server, &["audit", "verify", "--head", &later], 1).contains("was there before"));
    let older = format!("0:{hash}");
    assert!(run(&site, &server, &["audit", "verify", "--head", &older], 1).contains("note a newer head"));

    run(&site, &server, &["audit", "export", "--out", "trail.ndjson"], 0);
    let exported = fs::read_to_string(site.path("trail.ndjson")).unwrap();
    let entries: Vec<Value> = exported
        .lines()
        .flat_map(|line| serde_json::from_str::<Value>(line).unwrap()["entries"].as_array().unwrap().clone())
        .map(|entry| entry["what"].clone())
        .collect();
    let done = |by: &str, action: &str| {
        entries.iter().any(|what| what["done"]["by"] == by && what["done"]["action"] == action)
    };
    assert!(done("aftercall", "start") && done("local", "pause") && done("local", "resume") && done("local", "reload"));
    assert!(entries.iter().any(|what| what["received"]["seq"] == 1), "{exported}");
    assert!(entries.iter().any(|what| what["attempted"]["outcome"]["delivered"].is_object()), "{exported}");
    assert!(run(&site, &server, &["audit", "verify", "--file", "trail.ndjson"], 0).contains(&format!("head {head}")));

    // Someone changes the record: in the export, and behind the server's back.
    let lines: Vec<_> = exported.lines().collect();
    fs::write(site.path("without.ndjson"), [lines[0], lines[2]].join("\n")).unwrap();
    let broken = run(&site, &server, &["audit", "verify", "--file", "without.ndjson"], 1);
    assert!(broken.contains("BROKEN: the blocks 2 to 2 are missing"), "{broken}");
    let forged = exported.replacen(r#""action":"pause""#, r#""action":"resume""#, 1);
    assert_ne!(forged, exported);
    fs::write(site.path("forged.ndjson"), forged).unwrap();
    let broken = run(&site, &server, &["audit", "verify", "--file", "forged.ndjson"], 1);
    assert!(broken.contains("was changed") && broken.contains("broken in 1 places"), "{broken}");
    fs::write(site.path("no.ndjson"), "{}").unwrap();
    let no = run(&site, &server, &["audit", "verify", "--file", "no.ndjson"], 2);
    assert!(no.contains("no.ndjson:1: no block of an audit trail"), "{no}");
    server.stop();
    let database = rusqlite::Connection::open(site.path("data/queue.db")).unwrap();
    database.execute("UPDATE audit SET entries = zeroblob(length(entries)) WHERE block = 2", []).unwrap();
    drop(database);
    let output = site.run(&["audit", "verify", "--data", "data"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("BROKEN: block 2 was changed"), "{said}");
    let output = site.run(&["check", "--data", "data"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("audit trail: block 2 was changed"));
}

#[test]
fn an_event_that_is_no_longer_what_was_received_is_found() {
    let site = Site::new(TWO);
    let server = site.start();
    assert_eq!(server.post(event("e-1", "c-1", r#"{"mediaType":"VOICE","name":"Eva"}"#)).counts(), (1, 0));
    settled(&server);
    server.stop();
    let database = rusqlite::Connection::open(site.path("data/queue.db")).unwrap();
    database.execute("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'Eva', 'Ada') AS BLOB)", []).unwrap();
    drop(database);
    let output = site.run(&["check", "--data", "data"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let server = site.start();
    let story = run(&site, &server, &["trace", "c-1"], 0);
    assert!(story.contains("WHAT THE LOG HAS IS NOT WHAT WAS RECEIVED"), "{story}");
}
