//! A changed configuration is taken over while the server runs: as a whole or not at all, and no event notices.

use std::collections::HashMap;
use std::fs;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::faults;
use crate::recorder::Recorder;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

/// How long a slow destination takes, so that attempts are under way at any moment.
const SLOW: Duration = Duration::from_millis(3);

fn config(site: &Site) -> String {
    fs::read_to_string(site.path("aftercall.toml")).unwrap()
}

/// Writes another file and renames it over the configuration, as editors and deployments do.
fn write(site: &Site, config: &str) {
    fs::write(site.path("new.toml"), config).unwrap();
    fs::rename(site.path("new.toml"), site.path("aftercall.toml")).unwrap();
}

fn replace(site: &Site, from: &str, to: &str) {
    let config = config(site);
    assert!(config.contains(from), "{from} in {config}");
    write(site, &config.replace(from, to));
}

fn reload(site: &Site, server: &Server) -> Output {
    site.run(&["reload", "--console", &server.console.to_string()])
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn event(conversation: usize, number: usize) -> String {
    format!(r#"{{"webhookEventId":"e-{conversation}-{number}","conversationId":"c-{conversation}","number":{number}}}"#)
}

fn post(server: &Server, number: usize) {
    assert_eq!(server.post(event(number, 0)).counts(), (1, 0));
}

/// A destination that takes everything.
fn crm(name: &str, recorder: &Recorder, rest: &str) -> String {
    let address = recorder.address;
    format!("[destinations.{name}]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{address}/{name}\"\n{rest}\n")
}

fn route(to: &str, mapping: &str) -> String {
    format!("[[routes]]\ndestination = \"{to}\"\nmapping = '''{mapping}'''\n")
}

fn hash(server: &Server) -> Value {
    server.status()["config"]["hash"].clone()
}

/// Faulty for every event.
const FAULTY: &str = r#"error("nothing fits")"#;
const MENDED: &str = "{ number: .number }";

#[test]
fn a_mapping_is_mended_by_a_signal_and_what_had_failed_is_redriven() {
    let recorder = Recorder::start(|_| 200);
    let site = Site::new(&(crm("crm", &recorder, "") + &route("crm", FAULTY)));
    let server = site.start();
    let before = hash(&server);
    (0..20).for_each(|number| post(&server, number));
    waiting::until_so("all are dead", || server.count("dead_letters") == 20);
    assert_eq!(recorder.requests().len(), 0);
    replace(&site, FAULTY, MENDED);
    server.hang_up();
    waiting::until_so("the mended mapping is in force", || hash(&server) != before);
    let console = server.console.to_string();
    let redrive = |what| site.run(&["redrive", "--all", what, "--console", &console]);
    assert!(expect(&redrive("--dry-run"), 0).starts_with("20 would pass, 0 would fail"));
    assert!(expect(&redrive("--json"), 0).contains("\"redriven\": 20"));
    server.until_settled("crm");
    post(&server, 20);
    server.until_settled("crm");
    let bodies: Vec<_> = recorder.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 21);
    assert!(bodies.iter().all(|body| body == br#"{"number":0}"#), "{bodies:?}");
    assert_eq!(server.count("dead_letters"), 0);
    let sources = &server.status()["sources"];
    assert_eq!(sources[0]["counters"]["accepted"].as_u64().max(sources[1]["counters"]["accepted"].as_u64()), Some(21));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_changed_file_is_taken_over_by_itself() {
    let recorder = Recorder::start(|_| 200);
    let site = Site::new(&(crm("crm", &recorder, "") + &route("crm", "1")));
    let server = site.start();
    replace(&site, "'''1'''", "'''2'''");
    waiting::until_so("the file is looked at", || site.logs().contains("is in force"));
    post(&server, 0);
    server.until_settled("crm");
    assert_eq!(recorder.requests()[0].body, b"2");
    let said = expect(&reload(&site, &server), 0);
    assert!(said.contains("nothing has changed"), "{said}");
}

#[test]
fn a_broken_file_changes_nothing_and_the_status_says_why() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let (good, before) = (config(&site), hash(&server));
    let cases = [
        (format!("{good}\n[intake]\nlisen = 1\n"), "aftercall.toml:"),
        (good.replace("genesys]\nauth", "genesys]\nauht"), "did you mean `auth`?"),
        (good.replace("kind = \"file\"", "kind = \"http\""), "destinations.events.path"),
        (good.replace("destination = \"events\"", "destination = \"nobody\""), "no route leads to it"),
        (good.replace("path = \"events.ndjson\"", "path = \"none/events.ndjson\""), "destinations.events: "),
        (good.clone() + &route("events", "{"), "routes[2].mapping"),
    ];
    for (bad, why) in &cases {
        write(&site, bad);
        let said = expect(&reload(&site, &server), 3);
        assert!(said.contains(why) && said.contains("stays in force"), "{why}: {said}");
        let config = server.status()["config"].clone();
        assert!(config["error"].as_str().unwrap().contains(why) && config["hash"] == before, "{config}");
    }
    let refused = || site.logs().matches("the changed configuration is refused").count();
    assert_eq!(refused(), cases.len());
    expect(&reload(&site, &server), 3);
    assert_eq!(refused(), cases.len(), "the same is logged once");
    let said = expect(&site.run(&["status", "--console", &server.console.to_string()]), 0);
    assert!(said.contains("CONFIGURATION REFUSED"), "{said}");
    post(&server, 0);
    server.until_settled("events");
    fs::remove_file(site.path("aftercall.toml")).unwrap();
    assert!(expect(&reload(&site, &server), 3).contains("cannot read the configuration"));
    write(&site, &good);
    waiting::until_so("the mended file is read by itself", || server.status()["config"]["error"].is_null());
    post(&server, 1);
    server.until_settled("events");
    assert_eq!(site.events().len(), 2);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_new_destination_gets_events_and_one_that_is_gone_keeps_what_waits() {
    let (first, second) = (Recorder::start(|_| 200), Recorder::start(|_| 200));
    let site = Site::new(TO_FILE);
    let server = site.start();
    let before = config(&site);
    post(&server, 0);
    let with = before.clone() + &crm("crm", &first, "") + &route("crm", "1");
    write(&site, &with);
    assert_eq!(expect(&reload(&site, &server), 0), "in force now:\n  destinations.crm added\n  routes changed\n");
    post(&server, 1);
    server.until_settled("crm");
    assert_eq!(first.requests().len(), 1, "from now on");

    // One that waits for a destination that is paused, which then goes.
    assert_eq!(site.run(&["pause", "crm", "--console", &server.console.to_string()]).status.code(), Some(0));
    post(&server, 2);
    waiting::until_so("it waits", || server.consumer("crm")["unsettled"] == 1);
    write(&site, &before);
    assert_eq!(expect(&reload(&site, &server), 0), "in force now:\n  destinations.crm removed\n  routes changed\n");
    post(&server, 3);
    server.until_settled("events");
    let crm_now = server.consumer("crm");
    assert_eq!((crm_now["configured"].as_bool(), first.requests().len()), (Some(false), 1), "{crm_now}");
    assert_eq!(server.status()["destinations"].as_array().unwrap().len(), 1);

    // It comes back elsewhere, and gets its backlog.
    write(&site, &(before + &crm("crm", &second, "") + &route("crm", "1")));
    expect(&reload(&site, &server), 0);
    server.until_settled("crm");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
    assert_eq!(site.events().len(), 4, "the other one has had everything");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_source_comes_and_another_keeps_its_counts() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    post(&server, 0);
    let table = "[sources.other]\nauth = { open = true }\n";
    replace(&site, "[destinations.events]", &format!("{table}[destinations.events]"));
    assert_eq!(expect(&reload(&site, &server), 0), "in force now:\n  sources.other added\n");
    let headers = [("content-type", "application/json".to_owned())];
    assert_eq!(server.client().post("/in/other", &headers, event(1, 0).as_bytes()).unwrap().counts(), (1, 0));
    replace(&site, table, "");
    assert_eq!(expect(&reload(&site, &server), 0), "in force now:\n  sources.other removed\n");
    assert_eq!(server.client().post("/in/other", &headers, event(2, 0).as_bytes()).unwrap().status, 404);
    post(&server, 3);
    let status = server.status();
    let genesys = status["sources"].as_array().unwrap().iter().find(|source| source["name"] == "genesys").unwrap();
    assert_eq!(genesys["counters"]["accepted"], 2, "{genesys}");
}

#[test]
fn a_url_changes_under_load_and_nothing_is_lost_doubled_or_out_of_order() {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let start = || {
        let arrived = Arc::clone(&arrived);
        Recorder::start(move |request| {
            arrived.lock().unwrap().push(serde_json::from_slice::<Value>(&request.body).unwrap());
            std::thread::park_timeout(SLOW);
            200
        })
    };
    let recorders = [start(), start()];
    let tables = [crm("crm", &recorders[0], ""), crm("crm", &recorders[1], "")];
    let mapping = "{ conversation: .conversationId, number: .number }";
    let site = Site::new(&format!("{}{TO_FILE}{}", tables[0], route("crm", mapping)));
    let server = site.start();
    let (conversations, each) = (20, 40);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut client = server.client();
            for number in 0..each {
                for conversation in 0..conversations {
                    let body = event(conversation, number);
                    assert_eq!(client.post_signed(body.as_bytes()).unwrap().counts(), (1, 0));
                }
            }
        });
        let mut at = 0;
        while !sending.is_finished() || at < 6 {
            replace(&site, &tables[at % 2], &tables[(at + 1) % 2]);
            expect(&reload(&site, &server), 0);
            at += 1;
        }
    });
    server.until_settled("crm");
    let mut next = HashMap::new();
    for payload in arrived.lock().unwrap().iter() {
        let expected: &mut u64 = next.entry(payload["conversation"].to_string()).or_default();
        assert_eq!(payload["number"], *expected, "{payload}");
        *expected += 1;
    }
    assert_eq!(next.len(), conversations);
    assert!(next.values().all(|count| *count == each as u64), "{next:?}");
    assert!(recorders.iter().all(|recorder| !recorder.requests().is_empty()), "both got some");
    server.until_settled("events");
    assert_eq!(site.events().len(), conversations * each, "the file was never closed");
    assert_eq!(server.count("dead_letters"), 0);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn an_event_is_never_mapped_by_a_route_of_another_destination() {
    let recorder = Recorder::start(|_| {
        std::thread::park_timeout(SLOW);
        200
    });
    let routes =
        [route("a", "\"for a\"") + &route("b", "\"for b\""), route("b", "\"for b\"") + &route("a", "\"for a\"")];
    let destinations = crm("a", &recorder, "") + &crm("b", &recorder, "concurrency = 2");
    let site = Site::new(&(destinations + &routes[0]));
    let server = site.start();
    let count = 400;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut client = server.client();
            for number in 0..count {
                assert_eq!(client.post_signed(event(number, 0).as_bytes()).unwrap().counts(), (1, 0));
            }
        });
        let mut at = 0;
        while !sending.is_finished() || at < 6 {
            replace(&site, &routes[at % 2], &routes[(at + 1) % 2]);
            expect(&reload(&site, &server), 0);
            at += 1;
        }
    });
    server.until_settled("a");
    server.until_settled("b");
    let requests = recorder.requests();
    assert_eq!(requests.len(), 2 * count);
    for request in requests {
        let expected = format!("\"for {}\"", &request.path[1..]);
        assert_eq!(String::from_utf8_lossy(&request.body), expected, "{}", request.path);
    }
}

#[test]
fn a_file_is_taken_over_by_whoever_names_it_next() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    post(&server, 0);
    server.until_settled("events");
    let steps = [
        ("path = \"events.ndjson\"", "path = \"events.ndjson\"\nconcurrency = 3"),
        ("[destinations.events]", "[destinations.renamed]"),
        ("path = \"events.ndjson\"", "path = \"other.ndjson\""),
        ("path = \"other.ndjson\"", "path = \"events.ndjson\""),
    ];
    for (number, (from, to)) in (1..).zip(steps) {
        let config = config(&site).replace(from, to);
        let config = match to.contains("renamed") {
            true => config.replace("destination = \"events\"", "destination = \"renamed\""),
            false => config,
        };
        write(&site, &config);
        // The file that was left is closed by a thread of its own, a moment later.
        waiting::until_so("the file is open", || reload(&site, &server).status.code() == Some(0));
        post(&server, number);
        let name = if number == 1 { "events" } else { "renamed" };
        server.until_settled(name);
    }
    assert_eq!(site.events().len(), 4);
    assert_eq!(fs::read_to_string(site.path("other.ndjson")).unwrap().lines().count(), 1);
    replace(&site, "path = \"events.ndjson\"", "path = \"events.ndjson\"\norder = \"none\"");
    assert!(expect(&reload(&site, &server), 3).contains("destinations.renamed.order"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn keys_that_need_a_restart_are_refused_by_name() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let good = config(&site);
    let bad = good
        .replace("data_dir = \"data\"", "data_dir = \"elsewhere\"")
        .replace("[console]", "drain = \"1s\"\n[console]")
        .replace("path = \"events.ndjson\"", "path = \"other.ndjson\"");
    write(&site, &(bad + "[queue]\nretention = \"20d\"\n"));
    let said = expect(&reload(&site, &server), 3);
    assert!(said.contains("data_dir, intake.drain, queue.retention cannot change while the server runs"), "{said}");
    post(&server, 0);
    server.until_settled("events");
    assert_eq!(site.events().len(), 1, "not even what could have changed has");
    let server_without_file = {
        let mut command = site.command(&["serve", "--data", "trial", "--log", "json"]);
        site.start_with(command.args(["--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"]))
    };
    assert!(expect(&reload(&site, &server_without_file), 3).contains("without a configuration file"));
    server_without_file.hang_up();
    waiting::until_so("it says so", || server_without_file.log().contains("without a configuration file"));
    assert_eq!(server_without_file.stop(), Some(0));
}

#[test]
fn a_kill_right_after_a_reload_keeps_what_was_settled() {
    let (first, second) = (Recorder::start(|_| 200), Recorder::start(|_| 200));
    let tables = [crm("crm", &first, ""), crm("crm", &second, "")];
    let site = Site::new(&(tables[0].clone() + &route("crm", ".number")));
    let server = site.start();
    (0..50).for_each(|number| post(&server, number));
    server.until_settled("crm");
    replace(&site, &tables[0], &(tables[1].clone() + &crm("new", &second, "") + &route("new", "\"new\"")));
    expect(&reload(&site, &server), 0);
    server.kill();
    let server = site.start();
    post(&server, 50);
    server.until_settled("crm");
    server.until_settled("new");
    assert_eq!(first.requests().len(), 50, "nothing comes again");
    let paths: Vec<_> = second.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths.iter().filter(|path| *path == "/crm").count(), 1, "{paths:?}");
    assert_eq!(paths.iter().filter(|path| *path == "/new").count(), 1, "{paths:?}");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_paused_destination_stays_paused_and_attempts_under_way_end() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let waits = Arc::clone(&gate);
    let first = Recorder::start(move |_| {
        drop(waits.lock().unwrap());
        200
    });
    let second = Recorder::start(|_| 200);
    let tables = [crm("crm", &first, ""), crm("crm", &second, "")];
    let site = Site::new(&(tables[0].clone() + &route("crm", ".number")));
    let server = site.start();
    post(&server, 0);
    waiting::until_so("the attempt is under way", || server.consumer("crm")["leased"] == 1);
    assert_eq!(site.run(&["pause", "crm", "--console", &server.console.to_string()]).status.code(), Some(0));
    replace(&site, &tables[0], &tables[1]);
    let console = server.console.to_string();
    let mut reloading = site.command(&["reload", "--console", &console]).spawn().unwrap();
    post(&server, 1);
    assert!(reloading.try_wait().unwrap().is_none(), "it waits for the attempt");
    drop(held);
    assert!(reloading.wait().unwrap().success());
    waiting::until_so("the attempt counts", || server.consumer("crm")["unsettled"] == 1);
    assert_eq!(server.status()["destinations"][0]["health"]["gate"]["paused"], true);
    assert_eq!(site.run(&["resume", "crm", "--console", &console]).status.code(), Some(0));
    server.until_settled("crm");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[test]
fn alarms_and_notifiers_go_by_the_new_file() {
    let recorder = Recorder::start(|_| 200);
    let site = Site::with_head("[alarms]\nevery = \"50ms\"\n", &format!("{TO_FILE}{}", route("events", FAULTY)));
    // Only the second route fails, which takes nothing; so there is no alarm yet.
    let server = site.start();
    fs::write(site.path("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let notifier = format!(
        "[notifiers.hook]\nkind = \"webhook\"\nurl = \"http://{}/hook\"\nsecret = \"file:key\"\n",
        recorder.address
    );
    let faulty = config(&site).replace(TO_FILE, &TO_FILE.replace("[[routes]]\ndestination = \"events\"\n", ""));
    write(&site, &(faulty + &notifier));
    let said = expect(&reload(&site, &server), 0);
    assert_eq!(said, "in force now:\n  notifiers.hook added\n  routes changed\n");
    post(&server, 0);
    waiting::until_so("the new notifier is told", || !recorder.requests().is_empty());
    let alarm = String::from_utf8(recorder.requests()[0].body.clone()).unwrap();
    assert!(alarm.contains("it is taken over by itself") || alarm.contains("aftercall reload"), "{alarm}");
}

#[test]
fn a_reload_that_the_queue_cannot_store_changes_nothing_and_is_taken_over_later() {
    let recorder = Recorder::start(|_| 200);
    let mapping = |version: u8| format!("{{ version: {version}, id: .webhookEventId }}");
    let site = Site::new(&format!("{}{}", crm("crm", &recorder, ""), route("crm", &mapping(1))));
    let full = site.path("full");
    let server =
        site.start_with(faults::preload(&mut site.serve(), "write:1:ENOSPC:*").env("AFTERCALL_FAULT_WHILE", &full));
    post(&server, 1);
    waiting::until_so("it is delivered", || recorder.requests().len() == 1);
    let before = hash(&server);

    // A new destination wants a row in the queue, and the disk is full.
    fs::write(&full, "").unwrap();
    let more = format!("{}{}", crm("lake", &recorder, ""), route("lake", &mapping(2)));
    let changed = config(&site).replace("version: 1", "version: 2") + &more;
    write(&site, &changed);
    let said = expect(&reload(&site, &server), 3);
    assert!(said.contains("setting up the destinations") && said.contains("full"), "{said}");
    let status = server.status();
    assert_eq!(hash(&server), before);
    assert!(status["config"]["error"].is_string(), "{status}");
    fs::remove_file(&full).unwrap();

    // Everything goes on as before, by the old mapping, as soon as the disk has room; or by the new file, which is not
    // read again by itself until it changes.
    waiting::until_so("there is room again", || server.post(event(2, 0)).status == 200);
    waiting::until_so("it is delivered", || recorder.requests().len() == 2);
    assert_eq!(json(&recorder, 1)["version"], 1);
    assert_eq!(server.consumer("crm")["dead_letters"], 0);

    expect(&reload(&site, &server), 0);
    assert_ne!(hash(&server), before);
    post(&server, 3);
    waiting::until_so("both get it", || recorder.requests().len() == 4);
    assert_eq!((json(&recorder, 2)["version"].clone(), json(&recorder, 3)["version"].clone()), (2.into(), 2.into()));
    assert_eq!(server.stop(), Some(0));
}

fn json(recorder: &Recorder, number: usize) -> Value {
    serde_json::from_slice(&recorder.requests()[number].body).unwrap()
}

/// Numbers of which one half was tried with one mapping and the other half with the next would be those of neither.
#[test]
fn a_dry_run_is_never_half_of_one_configuration_and_half_of_the_next() {
    const LETTERS: usize = 2_000;
    let recorder = Recorder::start(|_| 200);
    let site = Site::new(&(crm("crm", &recorder, "") + &route("crm", FAULTY)));
    let server = site.start();
    let events = |from: usize| (from..from + 500).map(|number| event(number, 0)).collect::<Vec<_>>().join(",");
    for from in (0..LETTERS).step_by(500) {
        assert_eq!(server.post(format!("[{}]", events(from))).counts(), (500, 0));
    }
    waiting::until_so("all are dead", || server.count("dead_letters") == LETTERS as u64);
    let console = server.console.to_string();
    let dry_run = || site.run(&["redrive", "--all", "--dry-run", "--console", &console]);
    let said = expect(&dry_run(), 1);
    assert!(said.contains("tried with the configuration that was read "), "{said}");

    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mapping = if turn % 2 == 0 { MENDED } else { FAULTY };
                let text = config.replace(FAULTY, mapping);
                fs::write(site.path("aftercall.toml"), format!("{text}# {turn}\n")).unwrap();
                let reload = site.run(&["reload", "--console", &console]);
                assert_eq!(reload.status.code(), Some(0));
            }
        });
        waiting::until_so("a dry run sees two configurations", || {
            let output = dry_run();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            let whole = [format!("{LETTERS} would pass, 0 would fail"), format!("0 would pass, {LETTERS} would fail")];
            let mixed = said.contains("so what was counted is of both; run it again");
            let told = mixed || whole.iter().any(|one| said.starts_with(one));
            stop.fetch_or(mixed || !told, Ordering::SeqCst);
            assert!(told, "{said}");
            mixed && output.status.code() == Some(2)
        });
        stop.store(true, Ordering::SeqCst);
    });
    // What is refused is told where it would be believed to be in force.
    fs::write(site.path("aftercall.toml"), format!("bogus = 1\n{config}")).unwrap();
    server.hang_up();
    waiting::until_so("it is refused", || !server.status()["config"]["error"].is_null());
    let output = dry_run();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("what is in the file now is REFUSED: ") && said.contains("bogus"), "{said}");
}
