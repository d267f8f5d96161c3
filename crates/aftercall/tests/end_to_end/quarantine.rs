//! The quarantine as an operator meets it: a secret was wrong, and what was refused meanwhile is not lost.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use simulator::sign::{Scheme, Signer};

use crate::client::{self, Answer, Client};
use crate::site::{SECRET, Server, Site, TO_FILE};
use crate::waiting;

/// Bounds that are reached soon.
const SMALL: &str = "[quarantine]\nrequests = 100\nbytes = \"64KiB\"\n";

fn event(id: impl std::fmt::Display) -> String {
    format!(r#"{{"webhookEventId":"q-{id}","conversationId":"c-1","eventType":"call.ended"}}"#)
}

/// A body that is signed with another secret than the server's.
fn post_with(client: &mut Client, secret: &str, body: &str) -> Answer {
    let mut headers = Signer::new(Scheme::Genesys, secret).unwrap().headers(body.as_bytes(), "", 0);
    headers.push(("content-type", "application/json".to_owned()));
    client.post("/in/genesys", &headers, body.as_bytes()).unwrap()
}

#[track_caller]
fn run(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--console", &console]].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[track_caller]
fn json(site: &Site, server: &Server, args: &[&str], code: i32) -> Value {
    serde_json::from_str(&run(site, server, &[args, &["--json"]].concat(), code)).unwrap()
}

/// The same, whatever its exit code says.
fn json_of(site: &Site, server: &Server, args: &[&str]) -> Value {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--json", "--console", &console]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn listed(site: &Site, server: &Server, args: &[&str]) -> Vec<Value> {
    let page = json(site, server, &[&["quarantine", "list"], args].concat(), 0);
    page["requests"].as_array().unwrap().clone()
}

fn counts(server: &Server, source: &str) -> Value {
    let status = server.status();
    let sources = status["quarantine"]["sources"].as_array().unwrap();
    sources.iter().find(|counts| counts["source"] == source).cloned().unwrap_or_default()
}

/// The event ids of the file destination, and whether each is there once.
fn delivered(site: &Site) -> BTreeSet<String> {
    let lines = site.events();
    let ids: BTreeSet<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["webhookEventId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), lines.len(), "doubled");
    ids
}

#[test]
fn what_a_wrong_secret_refused_is_released_once_and_a_resend_is_a_duplicate() {
    let site = Site::new(TO_FILE);
    // The operator made a mistake: the sender signs with another secret.
    fs::write(site.path("webhook-secret"), "mistyped").unwrap();
    let server = site.start();
    let mut client = server.client();
    for number in 0..120 {
        let answer = post_with(&mut client, SECRET, &event(number));
        assert_eq!((answer.status, answer.code().as_str()), (401, "auth-mismatch"));
    }
    assert_eq!(post_with(&mut client, "a stranger's", &event("strange")).status, 401);
    let requests = listed(&site, &server, &["--limit", "1000"]);
    assert_eq!(requests.len(), 121, "{}", counts(&server, "genesys"));
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (0, 0));

    // It is seen, and every request can be looked at.
    assert!(run(&site, &server, &["status"], 0).contains("121 refused requests are in the quarantine"));
    let shown = run(&site, &server, &["quarantine", "list", "--limit", "3"], 0);
    assert!(shown.contains("auth-mismatch") && shown.contains("127.0.0.1") && shown.contains("--after"), "{shown}");
    let id = requests[0]["id"].as_u64().unwrap().to_string();
    let shown = run(&site, &server, &["quarantine", "show", &id], 0);
    for part in ["genesys", "auth-mismatch", "x-genesys-webhook-signature: ", "q-0"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(run(&site, &server, &["quarantine", "show", &id, "--body"], 0), event(0));

    // With the wrong secret all of them stay.
    let still = json(&site, &server, &["quarantine", "release", "--all"], 1);
    assert_eq!((&still["released"], &still["failing"]), (&0.into(), &121.into()), "{still}");

    fs::write(site.path("webhook-secret"), SECRET).unwrap();
    let tried = json(&site, &server, &["quarantine", "release", "--source", "genesys", "--dry-run"], 1);
    assert_eq!((&tried["pass"], &tried["fail"]), (&120.into(), &1.into()), "{tried}");
    assert_eq!(server.count("accepted"), 0);
    // One of them comes again before the release.
    assert_eq!(server.post(event(7)).counts(), (1, 0));
    let released = json(&site, &server, &["quarantine", "release", "--all"], 1);
    let number = |name: &str| released[name].as_u64().unwrap();
    assert_eq!((number("released"), number("failing")), (120, 1), "{released}");
    assert_eq!((number("accepted"), number("duplicates"), number("dead_letters")), (119, 1, 0), "{released}");
    assert!(released["reasons"][0]["reason"].as_str().unwrap().contains("does not match"), "{released}");
    // The others come again after it.
    for number in 0..120 {
        assert_eq!(server.post(event(number)).counts(), (0, 1));
    }
    server.until_settled("events");
    assert_eq!(delivered(&site).len(), 120);

    let rest = listed(&site, &server, &[]);
    assert_eq!(rest.len(), 1, "what still fails stays");
    let id = rest[0]["id"].as_u64().unwrap().to_string();
    assert_eq!(run(&site, &server, &["quarantine", "drop", &id], 0), "1 dropped\n");
    assert_eq!(run(&site, &server, &["quarantine", "drop", &id], 1), "0 dropped\n");
    assert_eq!(run(&site, &server, &["quarantine", "list"], 0), "nothing is in the quarantine\n");
    assert!(run(&site, &server, &["quarantine", "show", &id], 2).contains("there is no request"));
    assert!(!site.logs().contains(SECRET) && !site.logs().contains("mistyped"));
}

#[test]
fn a_wrong_token_is_never_on_disk_and_its_request_can_still_be_released() {
    const RIGHT: &str = "the-token-that-the-sender-has";
    let site = Site::new(TO_FILE);
    let server = site.start();
    let post = |token: &str, id: &str| {
        let headers = [("authorization", format!("Bearer {token}")), ("cookie", "session=private".to_owned())];
        let body = format!(r#"{{"id":"{id}","detail-type":"v2.acw","detail":{{"conversationId":"{id}"}}}}"#);
        server.client().post("/in/eventbridge", &headers, body.as_bytes()).unwrap()
    };
    assert_eq!(post(RIGHT, "one").status, 401);
    assert_eq!(post("a-key-of-something-else", "two").status, 401);
    let requests = listed(&site, &server, &["--source", "eventbridge"]);
    assert_eq!(requests.len(), 2);
    let shown = run(&site, &server, &["quarantine", "show", &requests[0]["id"].to_string()], 0);
    assert!(shown.contains("authorization bearer; only a salted digest is kept"), "{shown}");
    for file in ["quarantine.db", "quarantine.db-wal"] {
        let stored = fs::read(site.path("data").join(file)).unwrap();
        for secret in [RIGHT, "a-key-of-something-else", "session=private"] {
            assert!(!stored.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in {file}");
        }
    }
    fs::write(site.path("eventbridge-token"), RIGHT).unwrap();
    let released = json(&site, &server, &["quarantine", "release", "--source", "eventbridge"], 1);
    assert_eq!((&released["released"], &released["accepted"], &released["failing"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(post(RIGHT, "one").counts(), (0, 1));
}

#[test]
fn a_flood_of_bad_signatures_stays_within_its_bounds_while_genuine_events_are_all_accepted() {
    const GENUINE: usize = 300;
    let site = Site::with_head(SMALL, TO_FILE);
    let server = site.start();
    std::thread::scope(|scope| {
        for flooder in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                for number in 0..2_000 {
                    let body = event(format!("flood-{flooder}-{number}-{}", "f".repeat(number % 900)));
                    assert_eq!(post_with(&mut client, "guessed", &body).status, 401);
                }
            });
        }
        let mut client = server.client();
        for number in 0..GENUINE {
            assert_eq!(client.post_signed(event(number).as_bytes()).unwrap().counts(), (1, 0));
        }
    });
    let kept = listed(&site, &server, &["--limit", "1000"]);
    let bytes: u64 = kept.iter().map(|entry| entry["bytes"].as_u64().unwrap()).sum();
    assert!((1..=100).contains(&kept.len()) && bytes <= 64 << 10, "{} requests, {bytes} bytes", kept.len());
    let counts = counts(&server, "genesys");
    let number = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!((number("requests"), number("bytes")), (kept.len() as u64, bytes));
    let offered = number("kept") + number("sampled_out") + number("busy");
    assert_eq!((offered, number("failed")), (6_000, 0), "{counts}");
    let said = run(&site, &server, &["quarantine", "list"], 0);
    assert!(said.contains("more were refused and not kept"), "{said}");
    server.until_settled("events");
    assert_eq!(delivered(&site), (0..GENUINE).map(|number| format!("q-{number}")).collect());
    assert_eq!(server.stop(), Some(0));
    let size = fs::metadata(site.path("data/quarantine.db")).unwrap().len();
    assert!(size <= 4 * (64 << 10), "{size} bytes on disk");
}

#[test]
fn a_killed_server_leaves_a_usable_quarantine() {
    let site = Site::new(TO_FILE);
    fs::write(site.path("webhook-secret"), "mistyped").unwrap();
    let server = site.start();
    let mut client = server.client();
    for number in 0..200 {
        assert_eq!(post_with(&mut client, SECRET, &event(number)).status, 401);
    }
    // The list comes behind what was written before it; those after it may be lost.
    let before = listed(&site, &server, &["--limit", "1000"]);
    for number in 200..300 {
        assert_eq!(post_with(&mut client, SECRET, &event(number)).status, 401);
    }
    server.kill();
    fs::write(site.path("webhook-secret"), SECRET).unwrap();
    let server = site.start();
    let after = listed(&site, &server, &["--limit", "1000"]);
    assert_eq!((before.len(), &after[..200]), (200, &before[..]));
    // Killed in the middle of a release too: what was published is a duplicate the next time.
    let console = server.console.to_string();
    let mut releasing = site.command(&["quarantine", "release", "--all", "--console", &console]);
    let mut releasing =
        releasing.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    waiting::until_so("some are released", || server.count("accepted") > 0);
    server.kill();
    releasing.wait().unwrap();
    let server = site.start();
    let released = json(&site, &server, &["quarantine", "release", "--all"], 0);
    assert_eq!(released["failing"], 0, "{released}");
    assert_eq!(server.count("accepted"), after.len() as u64);
    server.until_settled("events");
    assert!(listed(&site, &server, &[]).is_empty());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_damaged_quarantine_stops_no_event_and_says_the_cure() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    assert_eq!(post_with(&mut server.client(), "wrong", &event("kept")).status, 401);
    assert_eq!(listed(&site, &server, &[]).len(), 1);
    assert_eq!(server.stop(), Some(0));
    for content in ["this is no database, although it is long enough to be one".repeat(100), "\0".repeat(8_192)] {
        fs::write(site.path("data/quarantine.db"), &content).unwrap();
        let server = site.start();
        let id = content.len();
        assert_eq!(server.post(event(id)).counts(), (1, 0));
        assert_eq!(post_with(&mut server.client(), "wrong", &event(id)).status, 401);
        let said = run(&site, &server, &["quarantine", "list"], 2);
        assert!(said.contains("the quarantine is closed") && said.contains("move quarantine.db"), "{said}");
        assert!(run(&site, &server, &["status"], 0).contains("the quarantine is closed"));
        let alarms = waiting::until("there is an alarm", || {
            let shown = json_of(&site, &server, &["alarms"]);
            shown["open"].as_array().is_some_and(|open| !open.is_empty()).then_some(shown)
        });
        let closed = alarms["open"].as_array().unwrap().iter().find(|alarm| alarm["kind"] == "quarantine-closed");
        assert!(closed.unwrap()["todo"].to_string().contains("move quarantine.db"), "{alarms}");
        let line = waiting::until("it is in the log", || {
            // Of both rounds: an alarm that is open over a restart is not opened again.
            let log = site.logs();
            let line = log.lines().find(|line| line.contains("alarm opened: the quarantine is closed"));
            line.map(str::to_owned)
        });
        assert!(line.contains("WARN"), "an alarm of severity warning: {line}");
        assert_eq!(counts(&server, "genesys")["failed"], 1);
        assert_eq!(server.stop(), Some(0));
        assert!(site.logs().contains("the quarantine is closed"));
    }
    // The cure.
    for name in ["quarantine.db", "quarantine.db-wal", "quarantine.db-shm"] {
        let _ = fs::rename(site.path("data").join(name), site.path(name));
    }
    let server = site.start();
    assert_eq!(post_with(&mut server.client(), "wrong", &event("again")).status, 401);
    assert_eq!(listed(&site, &server, &[]).len(), 1);
}

#[test]
fn it_can_be_switched_off_and_wrong_questions_are_refused_with_the_cure() {
    let site = Site::with_head("[quarantine]\nenabled = false\n", TO_FILE);
    let server = site.start();
    assert_eq!(post_with(&mut server.client(), "wrong", &event(1)).status, 401);
    let said = run(&site, &server, &["quarantine", "list"], 0);
    assert!(said.contains("nothing is in the quarantine") && said.contains("enabled is false"), "{said}");
    for args in [&["release"][..], &["drop"], &["drop", "1", "--all"], &["release", "--all", "--source", "x"]] {
        run(&site, &server, &[&["quarantine"], args].concat(), 2);
    }
    for (path, status) in [("quarantine?limt=1", 400), ("quarantine/x", 400), ("quarantine/7", 404), ("quarantin", 404)]
    {
        let answer = client::get(server.console, &format!("/api/v1/{path}")).unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (status, Some(status.into())), "{path}");
    }
    let ask = |path: &str, content_type: &str, body: &str| {
        let mut client = Client::connect(server.console).unwrap();
        let headers = [("content-type", content_type.to_owned())];
        client.post(&format!("/api/v1/quarantine/{path}"), &headers, body.as_bytes()).unwrap().status
    };
    for (path, body) in [("drop", r#"{"all":true}"#), ("release", r#"{"ids":[1]}"#)] {
        assert_eq!(ask(path, "text/plain", body), 415, "a page of another site could send that");
        for wrong in [r#"{"ids":[]}"#, "{}", r#"{"id":[1]}"#, r#"{"ids":[1],"all":true}"#, "{"] {
            let status = ask(path, "application/json", wrong);
            assert!(matches!(status, 400 | 422), "{path} {wrong}: {status}");
        }
    }
}
