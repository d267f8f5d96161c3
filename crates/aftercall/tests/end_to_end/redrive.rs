//! A faulty mapping, found, mended and redriven, also when the server is killed in the middle.

use std::collections::HashMap;
use std::fs;
use std::process::Output;

use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// Fails for every event: the name is somewhere else.
const FAULTY: &str = r#"{ name: (.data.nam // error("event \($event.id) has no name")) }"#;
const MENDED: &str = "{ name: .data.name }";

/// A server whose mapping fails for all of so many events, and the CRM behind it.
fn stage(events: usize) -> (Recorder, Site, Server) {
    let crm = Recorder::start(|request| if request.body.ends_with(br#""nobody"}"#) { 422 } else { 200 });
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         [destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n\
         [[routes]]\ndestination = \"crm\"\nmapping = '''{FAULTY}'''\n\
         [[routes]]\ndestination = \"lake\"\n",
        crm.address
    ));
    let server = site.start();
    let mut client = server.client();
    for number in 0..events {
        let name = if number == 1 { "nobody" } else { "somebody" };
        let event = format!(
            r#"{{"webhookEventId":"r-{number}","conversationId":"c-{}","data":{{"name":"{name}"}}}}"#,
            number / 3
        );
        assert_eq!(client.post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
    }
    server.until_settled("crm");
    server.until_settled("lake");
    assert_eq!(server.count("dead_letters"), events as u64);
    (crm, site, server)
}

fn mend(site: &Site, server: Server) -> Server {
    assert_eq!(server.stop(), Some(0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace(FAULTY, MENDED)).unwrap();
    site.start()
}

fn redrive(site: &Site, server: &Server, args: &[&str]) -> Output {
    let console = server.console.to_string();
    site.run(&[&["redrive"], args, &["--console", &console]].concat())
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// How often each path was asked for.
fn asked(crm: &Recorder) -> HashMap<String, usize> {
    crm.requests().into_iter().fold(HashMap::new(), |mut asked, request| {
        *asked.entry(request.path).or_default() += 1;
        asked
    })
}

#[test]
fn a_faulty_mapping_is_mended_and_each_event_arrives_once() {
    let (crm, site, server) = stage(30);
    let said = expect(&redrive(&site, &server, &["--all", "--dry-run"]), 1);
    assert!(said.starts_with("0 would pass, 30 would fail") && said.contains("30 × "), "{said}");
    let server = mend(&site, server);
    let said = expect(&redrive(&site, &server, &["--all", "--dry-run"]), 0);
    assert!(said.starts_with("30 would pass, 0 would fail; nothing was changed"), "{said}");
    assert!(said.contains("has no name") && said.contains(r#"{"name":"somebody"}"#), "before and after: {said}");
    assert_eq!((server.count("dead_letters"), crm.requests().len()), (30, 0), "nothing was changed");

    // One, then the rest.
    let said = expect(&redrive(&site, &server, &["--destination", "crm", "--limit", "1"]), 0);
    assert!(said.starts_with("1 redriven, 0 refused"), "{said}");
    server.until_settled("crm");
    assert_eq!((crm.requests().len(), server.count("dead_letters")), (1, 29));
    assert!(expect(&redrive(&site, &server, &["--all"]), 0).starts_with("29 redriven, 0 refused"));
    server.until_settled("crm");
    let asked = asked(&crm);
    assert_eq!((asked.len(), asked.values().max()), (30, Some(&1)), "each once");
    assert_eq!(server.count("dead_letters"), 1, "the one that the CRM refuses is one again");
    assert_eq!((server.count("accepted"), server.count("redriven")), (30, 30));
    assert_eq!(site.events().len(), 30, "the other destination has had them");
    assert_eq!(server.stop(), Some(0));
    let (code, said) = site.check();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_redrive_that_is_killed_goes_on_and_loses_nothing() {
    let (crm, site, server) = stage(300);
    let server = mend(&site, server);
    let console = server.console.to_string();
    let mut command = site.command(&["redrive", "--all", "--rate", "100", "--console", &console]);
    let running = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    waiting::until_so("some are redriven", || crm.requests().len() > 50);
    server.kill();
    let said = expect(&running.wait_with_output().unwrap(), 2);
    assert!(said.contains("of 300 were redriven for certain and 0 refused"), "{said}");
    assert!(said.contains("the same command goes on with those that are left"), "{said}");
    let server = site.start();
    let left = server.count("dead_letters");
    assert!((1..=250).contains(&left), "{left}");
    expect(&redrive(&site, &server, &["--destination", "crm"]), 0);
    server.until_settled("crm");
    let asked = asked(&crm);
    assert_eq!(asked.len(), 300, "all arrive");
    assert_eq!(server.count("dead_letters"), 1, "but the one that the CRM refuses");
    assert_eq!(server.count("accepted"), 300);
}

#[test]
fn what_cannot_be_redriven_stays_and_says_why() {
    let (_crm, site, server) = stage(3);
    assert!(expect(&redrive(&site, &server, &[]), 2).contains("--group"));
    assert!(expect(&redrive(&site, &server, &["--all", "--destination", "crm"]), 2).contains("--all"));
    assert!(expect(&redrive(&site, &server, &["--group", "0000000000000000"]), 0).starts_with("0 redriven"));
    assert_eq!(server.post("no JSON").status, 200);
    // Nothing leads to the CRM any more.
    assert_eq!(server.stop(), Some(0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let from = config.find("[[routes]]").unwrap();
    let only_lake = format!("{}[[routes]]\ndestination = \"lake\"\n", &config[..from]);
    let crm = only_lake.find("[destinations.crm]").unwrap()..only_lake.find("[destinations.lake]").unwrap();
    fs::write(site.path("aftercall.toml"), only_lake.replace(&only_lake[crm], "")).unwrap();
    let server = site.start();
    for mode in [&["--all", "--dry-run"][..], &["--all"]] {
        let said = expect(&redrive(&site, &server, mode), 1);
        assert!(said.contains("3 × no route leads its event to `crm` now"), "{said}");
        assert!(said.contains("1 × it is of no event"), "{said}");
        assert_eq!(server.count("dead_letters"), 4);
    }
}
