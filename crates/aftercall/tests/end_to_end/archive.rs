//! The archive and the way back: closed hours in a directory, replays to one destination, outages put aside.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// An archive in a directory beside the data, and retention so short that a test sees its end.
const HEAD: &str = "[archive]\nurl = \"archive\"\n[queue]\ndedupe_window = \"1s\"\nretention = \"1s\"\n";
/// All of the time in which tests run.
const ALL: [&str; 4] = ["--from", "2020-01-01", "--to", "2100-01-01"];

/// A CRM and a file that get everything.
fn site(crm: &Recorder, rest: &str) -> Site {
    Site::with_head(
        HEAD,
        &format!(
            "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\n{rest}\n\
             [destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n\
             [[routes]]\ndestination = \"crm\"\n[[routes]]\ndestination = \"lake\"\n",
            crm.address
        ),
    )
}

fn post(server: &Server, numbers: std::ops::Range<usize>) {
    let mut client = server.client();
    for number in numbers {
        let event = format!(
            r#"{{"webhookEventId":"a-{number}","conversationId":"c-{}","eventType":"{}","text":"ä\u0000"}}"#,
            number % 50,
            if number % 2 == 0 { "even" } else { "odd" }
        );
        assert_eq!(client.post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
    }
}

fn run(site: &Site, server: &Server, args: &[&str]) -> Output {
    let console = server.console.to_string();
    site.run(&[args, &["--console", &console]].concat())
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn replay(site: &Site, server: &Server, rest: &[&str]) -> Output {
    run(site, server, &[&["replay", "--destination", "crm"], rest].concat())
}

/// Exports everything, also what came in this hour.
#[track_caller]
fn export(site: &Site, server: &Server) -> Value {
    let output = run(site, server, &["archive", "run", "--open-hour", "--json"]);
    expect(&output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Has retention drop what it may: upkeep is done at every start.
fn restart(site: &Site, server: Server) -> Server {
    assert_eq!(server.stop(), Some(0));
    site.start()
}

/// How often the CRM got each event, and how often of that as a replay.
fn got(crm: &Recorder) -> HashMap<String, (usize, usize)> {
    crm.requests().into_iter().fold(HashMap::new(), |mut got, request| {
        let counts: &mut (usize, usize) = got.entry(request.headers["idempotency-key"].clone()).or_default();
        counts.0 += 1;
        counts.1 += usize::from(request.headers.get("aftercall-replayed").is_some_and(|value| value == "true"));
        got
    })
}

/// The objects below a folder of the archive whose names end so.
fn objects(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path, end));
        } else if path.to_str().is_some_and(|path| path.ends_with(end)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn what_retention_dropped_comes_back_from_the_archive_once_and_marked() {
    let crm = Recorder::start(|_| 200);
    let site = site(&crm, "");
    let server = site.start();
    post(&server, 0..60);
    server.until_settled("crm");
    server.until_settled("lake");

    // From the store.
    let odd = r#"{"eventType":["odd"]}"#;
    let said = expect(&replay(&site, &server, &[&ALL[..], &["--pattern", odd, "--dry-run"]].concat()), 0);
    assert!(said.contains("30 would be sent to crm, 0 would fail, 0 are not led there"), "{said}");
    assert_eq!((crm.requests().len(), server.count("replayed")), (60, 0), "nothing was changed");
    let said = expect(&replay(&site, &server, &[&ALL[..], &["--pattern", odd]].concat()), 2);
    assert!(said.contains("--yes"), "{said}");
    let said = expect(&replay(&site, &server, &[&ALL[..], &["--pattern", odd, "--yes"]].concat()), 0);
    assert!(said.contains("30 events are on their way"), "{said}");
    server.until_settled("crm");
    server.until_settled("lake");
    let counts = got(&crm);
    assert_eq!(counts.len(), 60);
    assert_eq!(counts.values().filter(|counts| **counts == (2, 1)).count(), 30, "marked, under the same key");
    assert_eq!(counts.values().filter(|counts| **counts == (1, 0)).count(), 30);
    assert_eq!(site.events().len(), 60, "no other destination got them");
    let said = expect(&replay(&site, &server, &[&ALL[..], &["--pattern", odd, "--yes"]].concat()), 0);
    assert!(said.contains("was done before"), "{said}");
    assert_eq!((server.count("accepted"), server.count("replayed")), (60, 30));

    // Retention keeps what is not exported, and drops it when it is.
    let server = restart(&site, server);
    assert_eq!(server.count("retained"), 90);
    assert_eq!(export(&site, &server)["events"], 60, "what was replayed is no new event");
    assert_eq!(export(&site, &server)["events"], 0, "once");
    let mut kept = Some(server);
    let server = waiting::until("retention drops what is exported", || {
        let server = restart(&site, kept.take()?);
        if server.count("retained") == 0 {
            return Some(server);
        }
        kept = Some(server);
        None
    });
    let said = expect(&run(&site, &server, &["archive", "verify"]), 0);
    assert!(said.contains("with 60 events, 0 damaged"), "{said}");

    // From the archive.
    let store = [&ALL[..], &["--source", "store", "--yes"]].concat();
    assert!(expect(&replay(&site, &server, &store), 0).contains("0 events are on their way"));
    let said = expect(&replay(&site, &server, &[&ALL[..], &["--conversation", "c-7", "--yes"]].concat()), 0);
    assert!(said.contains("2 events are on their way"), "{said}");
    assert!(
        expect(&replay(&site, &server, &[&ALL[..], &["--yes"]].concat()), 0).contains("60 events are on their way")
    );
    server.until_settled("crm");
    let counts = got(&crm);
    assert_eq!(counts.len(), 60, "under the ids that they had");
    assert!(counts.values().all(|(all, replayed)| all - 1 == *replayed));
    assert_eq!(counts.values().map(|counts| counts.1).sum::<usize>(), 30 + 2 + 60);
    let bodies: Vec<_> = crm.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.iter().collect::<std::collections::HashSet<_>>().len(), 60, "byte for byte");
    assert_eq!(site.events().len(), 60);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_damaged_part_is_found_and_not_replayed() {
    let crm = Recorder::start(|_| 200);
    let site = site(&crm, "");
    let server = site.start();
    post(&server, 0..20);
    server.until_settled("crm");
    export(&site, &server);
    let part = objects(&site.path("archive"), ".ndjson.zst").remove(0);
    let mut data = fs::read(&part).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 0x10;
    fs::write(&part, data).unwrap();
    let said = expect(&run(&site, &server, &["archive", "verify"]), 1);
    assert!(said.contains("1 damaged") && said.contains("the checksum of events/"), "{said}");
    let archive = [&ALL[..], &["--source", "archive"]].concat();
    for mode in ["--yes", "--dry-run"] {
        let said = expect(&replay(&site, &server, &[&archive[..], &[mode]].concat()), 2);
        assert!(said.contains("of the archive is damaged") && said.contains("restore it"), "{said}");
    }
    fs::remove_file(&part).unwrap();
    let said = expect(&replay(&site, &server, &[&archive[..], &["--yes"]].concat()), 2);
    assert!(said.contains("is gone"), "{said}");
    assert_eq!((server.count("replayed"), crm.requests().len()), (0, 20));
}

#[test]
fn a_replay_that_is_killed_goes_on_and_repeats_nothing() {
    const EVENTS: usize = 3_000;
    let crm = Recorder::start(|_| 200);
    let site = site(&crm, "");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("\"1s\"", "\"14d\"")).unwrap();
    let server = site.start();
    post(&server, 0..EVENTS);
    server.until_settled("crm");
    server.until_settled("lake");
    export(&site, &server);
    assert_eq!(server.stop(), Some(0));
    for (source, rate) in [("store", "500"), ("archive", "500")] {
        let before = crm.requests().len();
        let args = [&["replay", "--destination", "crm"], &ALL[..], &["--source", source, "--yes"]].concat();
        let server = site.start();
        let console = server.console.to_string();
        let mut command = site.command(&[&args[..], &["--rate", rate, "--console", &console]].concat());
        let running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        waiting::until_so("some are replayed", || crm.requests().len() > before + 200);
        server.kill();
        let said = expect(&running.wait_with_output().unwrap(), 2);
        assert!(said.contains("broken off") && said.contains("the same command, without --anew, goes on"), "{said}");
        let server = site.start();
        let console = server.console.to_string();
        let said = expect(&site.run(&[&args[..], &["--console", &console]].concat()), 0);
        assert!(said.contains(&format!("{EVENTS} events are on their way")), "{said}");
        server.until_settled("crm");
        assert_eq!(server.stop(), Some(0));
    }
    let counts = got(&crm);
    assert_eq!(counts.len(), EVENTS);
    assert!(counts.values().all(|(_, replayed)| *replayed >= 2), "nothing is lost");
    // What was under way when the server was killed is delivered again; no event was put on its way twice.
    let server = site.start();
    assert_eq!((server.count("accepted"), server.count("replayed")), (EVENTS as u64, 2 * EVENTS as u64));
    let doubled = counts.values().filter(|(_, replayed)| *replayed > 2).count();
    assert!(doubled <= 200, "{doubled}");
}

#[test]
fn an_archive_that_cannot_be_reached_loses_nothing_and_recovers() {
    let crm = Recorder::start(|_| 200);
    let site = site(&crm, "");
    let server = site.start();
    post(&server, 0..10);
    server.until_settled("crm");
    server.until_settled("lake");
    // A file stands where the folder of the events should be.
    fs::write(site.path("archive/events"), "in the way").unwrap();
    let said = expect(&run(&site, &server, &["archive", "run", "--open-hour"]), 2);
    assert!(said.contains("the archive cannot be used now"), "{said}");
    let said = expect(&run(&site, &server, &["archive", "status"]), 1);
    assert!(said.contains("FAILING") && said.contains("until they are exported"), "{said}");
    assert!(expect(&run(&site, &server, &["status"]), 0).contains("THE ARCHIVE FAILS"));
    let server = restart(&site, server);
    assert_eq!(server.count("retained"), 10, "retention keeps them");
    fs::remove_file(site.path("archive/events")).unwrap();
    assert_eq!(export(&site, &server)["events"], 10);
    assert!(!expect(&run(&site, &server, &["archive", "status"]), 0).contains("FAILING"));
    // What was remembered in the data directory is lost: the archive itself knows it.
    assert_eq!(server.stop(), Some(0));
    fs::remove_file(site.path("data/archive.json")).unwrap();
    let server = site.start();
    assert_eq!(export(&site, &server)["events"], 0);
    post(&server, 10..15);
    assert_eq!(export(&site, &server)["events"], 5);
    let said = expect(&run(&site, &server, &["archive", "list"]), 0);
    assert_eq!(said.matches(".json").count(), 2, "{said}");
}

#[test]
fn what_is_put_aside_in_an_outage_is_replayed_and_nothing_is_lost() {
    let down = Arc::new(AtomicBool::new(true));
    let taken: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let (is_down, took) = (Arc::clone(&down), Arc::clone(&taken));
    let crm = Recorder::start(move |request| {
        if is_down.load(Ordering::SeqCst) {
            return 503;
        }
        *took.lock().unwrap().entry(request.headers["idempotency-key"].clone()).or_default() += 1;
        200
    });
    let rest = "on_outage = \"archive\"\nbackoff = { base = \"10ms\", cap = \"50ms\" }\n\
                breaker = { minimum = 10, pause = \"300ms\" }";
    let site = site(&crm, rest);
    let server = site.start();
    post(&server, 0..200);
    let health = |server: &Server| {
        let status = server.status();
        let all = status["destinations"].as_array().unwrap();
        all.iter().find(|one| one["name"] == "crm").unwrap()["health"].clone()
    };
    waiting::until_so("deliveries are put aside", || health(&server)["put_aside"].as_u64().unwrap() > 100);
    // A crash loses nothing: what was settled is in the archive, the rest is in the queue.
    server.kill();
    let server = site.start();
    post(&server, 200..220);
    // Five events of a conversation, and they keep their order.
    waiting::until_so("all but what is probed with, and what is behind it, is put aside", || {
        server.consumer("crm")["unsettled"].as_u64().unwrap() <= 5
    });
    assert_eq!(server.count("dead_letters"), 0, "it is no dead letter");
    down.store(false, Ordering::SeqCst);
    // A probe needs a delivery.
    post(&server, 220..221);
    server.until_settled("crm");
    let before = taken.lock().unwrap().len();
    assert!((1..=121).contains(&before), "{before}: what was put aside has not come");
    let said = expect(&run(&site, &server, &["archive", "list"]), 0);
    assert!(said.contains("outages/crm/") && said.contains("put aside"), "{said}");
    let said = expect(&replay(&site, &server, &["--source", "outage", "--dry-run"]), 0);
    assert!(said.contains("would be sent to crm, 0 would fail"), "{said}");
    expect(&replay(&site, &server, &["--source", "outage", "--yes"]), 0);
    server.until_settled("crm");
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 221, "all have come");
    assert!(taken.values().all(|count| *count <= 2), "{taken:?}");
    assert!(expect(&run(&site, &server, &["archive", "list"]), 0).contains("replayed"));
    let again = expect(&replay(&site, &server, &["--source", "outage", "--yes"]), 0);
    assert!(again.starts_with("0 events are on their way"), "{again}");
}

/// One delivery is held back to probe with while the rest is put aside. That it waits in memory keeps nothing.
#[test]
fn what_is_erased_while_it_is_held_to_probe_with_is_not_delivered() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let crm = Recorder::start(move |_| if is_down.load(Ordering::SeqCst) { 503 } else { 200 });
    let rest = "on_outage = \"archive\"\nbackoff = { base = \"10ms\", cap = \"50ms\" }\n\
                breaker = { minimum = 10, pause = \"300ms\" }";
    let site = site(&crm, rest);
    let server = site.start();
    let mut client = server.client();
    for number in 0..20 {
        let event = format!(r#"{{"webhookEventId":"p-{number}","conversationId":"gone-{}"}}"#, number % 5);
        assert_eq!(client.post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
    }
    waiting::until_so("deliveries are put aside", || {
        server.status()["destinations"].as_array().unwrap().iter().any(|one| one["health"]["put_aside"] != 0)
    });
    expect(&run(&site, &server, &["pause", "crm"]), 0);
    for number in 0..5 {
        let conversation = format!("gone-{number}");
        let erase = ["erase", "--conversation", &conversation, "--reason", "asked for", "--yes"];
        expect(&run(&site, &server, &erase), 0);
    }
    let asked = crm.requests().len();
    down.store(false, Ordering::SeqCst);
    expect(&run(&site, &server, &["resume", "crm"]), 0);
    assert_eq!(server.post(r#"{"webhookEventId":"p-20","conversationId":"stays"}"#).counts(), (1, 0));
    server.until_settled("crm");
    let after: Vec<String> =
        crm.requests()[asked..].iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert_eq!(after, [r#"{"webhookEventId":"p-20","conversationId":"stays"}"#]);
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn fifty_thousand_events_are_never_held_at_once() {
    const EVENTS: usize = 50_000;
    /// What may be added by a part, a page and SQLite's caches; all events together are more than twice as much.
    const GROWTH_KIB: u64 = 40 << 10;
    let lake = "[destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\norder = \"none\"\n\
                [[routes]]\ndestination = \"lake\"\n";
    let site = Site::with_head("[archive]\nurl = \"archive\"\n", lake);
    let server = site.start();
    let (mut client, text) = (server.client(), "abcdefgh".repeat(256));
    for batch in 0..EVENTS / 500 {
        let event = |number: usize| format!(r#"{{"webhookEventId":"m-{batch}-{number}","text":"{text}"}}"#);
        let events: Vec<_> = (0..500).map(event).collect();
        assert_eq!(client.post_signed(format!("[{}]", events.join(",")).as_bytes()).unwrap().counts(), (500, 0));
    }
    server.until_settled("lake");
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = memory();
    assert_eq!(export(&site, &server)["events"], EVENTS);
    for source in ["store", "archive"] {
        let args = ["replay", "--destination", "lake", "--source", source, "--rate", "100000", "--yes"];
        let said = expect(&run(&site, &server, &[&args[..], &ALL[..]].concat()), 0);
        assert!(said.contains("50000 events are on their way"), "{said}");
    }
    server.until_settled("lake");
    let grown = memory() - before;
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
}
