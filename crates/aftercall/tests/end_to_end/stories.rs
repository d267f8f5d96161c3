//! What happens in the worst weeks, at its size: a CRM that is down, events that it can never take, a bad mapping.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use simulator::crm::{Crm, Fault};

use crate::client;
use crate::delivery::{crm, load, to_crm};
use crate::kept;
use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

const MIB: u64 = 1 << 20;

/// Everything is in the CRM once and in order, and nothing else is there.
#[track_caller]
fn all_there(crm: &Crm, events: u64) {
    let books = crm.report();
    assert_eq!((books.events, books.doubled, books.overwritten, books.out_of_order), (events, 0, 0, 0), "{books:?}");
}

/// The state of the CRM's breaker, and how many deliveries may be under way.
fn breaker(server: &Server) -> (String, u64) {
    let gate = &server.status()["destinations"][0]["health"]["gate"];
    (gate["breaker"]["state"].as_str().unwrap().to_owned(), gate["limit"].as_u64().unwrap())
}

#[test]
fn thirty_seconds_of_503_at_500_a_second_cost_no_budget_a_few_probes_and_no_memory() {
    const OUTAGE: Duration = Duration::from_secs(30);
    let crm = crm();
    // A budget of one attempt: whatever is charged kills.
    let site = Site::new(&to_crm(crm.address(), "attempts = 1"));
    let server = site.start();
    let intake = server.intake;
    let sending = thread::spawn(move || {
        load(intake, |load| {
            (load.rate, load.duration, load.event_bytes) = (Some(500.0), OUTAGE + Duration::from_secs(10), 4_096);
        })
    });
    waiting::until_so("events flow", || crm.report().events > 500);
    crm.fail_for(Fault::UNAVAILABLE, OUTAGE);
    waiting::until_so("the breaker opens", || breaker(&server).0 == "open");
    let (delivered, opened) = (crm.report().events, crm.report().refused);
    // By then the store's caches are full.
    waiting::until_so("8,000 events wait", || server.count("accepted") > delivered + 8_000);
    let early = server.memory();
    waiting::until_so("the outage is over", || crm.fault().is_none());
    // What was under way when it opened is among them.
    let probes = crm.report().refused - opened;
    let waiting = server.count("accepted") - crm.report().events;
    let late = server.memory();
    println!("{waiting} wait, {opened} attempts until it opened, {probes} probes; memory {early}, {late}");
    assert!(waiting > 13_000, "it was sent at 500 a second: {waiting} wait");
    assert!(
        opened < 200 && (3..=50).contains(&probes),
        "{opened} attempts until it opened, {probes} while it was open"
    );
    // Some 28 MiB more wait; of the caches some still fill up.
    assert!(
        late < early + 14 * MIB && late < 160 * MIB,
        "{early} bytes of memory with 8,000 waiting, {late} with {waiting}"
    );

    let mut limits = BTreeSet::new();
    let closed = waiting::within_patience(|| {
        let (state, limit) = breaker(&server);
        if state == "ramp" {
            limits.insert(limit);
        }
        (state == "closed").then_some(())
    });
    assert!(closed.is_some(), "the ramp is not over: {limits:?}; {:#}", server.status()["destinations"][0]);
    assert!(limits.len() >= 3 && limits.first().is_some_and(|limit| *limit <= 4), "a ramp: {limits:?}");
    let report = sending.join().unwrap();
    server.until_settled("crm");
    all_there(&crm, report.accepted);
    assert_eq!(server.count("dead_letters"), 0, "nothing was charged");
    println!("memory in the end {}", server.memory());
    assert!(server.memory() < early + 16 * MIB, "{} bytes of memory in the end, after {early}", server.memory());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn one_in_a_thousand_that_always_fails_dies_after_five_charged_attempts_and_the_others_arrive() {
    let crm = crm();
    crm.fail(Fault::RejectSome { every: 1_000, code: 503 });
    let site = Site::new(&to_crm(crm.address(), ""));
    let server = site.start();
    let report = load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (1, 100, Some(60));
    });
    // The budget counts by what passes meanwhile, so there is always a little more.
    let mut more = 0;
    let consumer = waiting::until("everything is delivered or dead", || {
        let settled = server.consumer("crm");
        if settled["unsettled"] == 0 {
            return Some(settled);
        }
        let event = format!(r#"{{"webhookEventId":"more-{more}","conversationId":"more-{more}"}}"#);
        assert_eq!(server.post(event).counts(), (1, 0));
        more += 1;
        None
    });
    let books = crm.report();
    let dead = consumer["dead_letters"].as_u64().unwrap();
    assert!((1..=20).contains(&dead), "{dead} of {}", report.accepted);
    all_there(&crm, report.accepted - dead);
    assert_eq!((books.untagged, books.repeats), (more, 0), "{books:?}");
    assert_eq!(server.stop(), Some(0));
    let letters = kept::dead_letters(&site.path("data"));
    assert_eq!(letters.len() as u64, dead);
    for letter in letters {
        // The first is never charged, and another one is not if nothing passed before it.
        let queue::Attempts { made, charged, .. } = letter.attempts;
        assert!(charged == 5 && made >= 6 && letter.failure.status == Some(503), "{letter:?}");
    }
}

/// Fails for every event: the agent is somewhere else.
const FAULTY: &str = r#"{ externalTag, agent: (.data.agent // error("event \(.webhookEventId) has no agent")) }"#;
const MENDED: &str = "{ externalTag, agent: .data.agentId }";
/// Whoever is on call is paged within a second.
const ALARMS: &str =
    "[alarms]\ninstance = \"here\"\nevery = \"50ms\"\nhold = \"200ms\"\ncool_down = \"1s\"\ndisk_free = 0\n";

fn run(site: &Site, server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let console = server.console.to_string();
    let Output { status, stdout, stderr } = site.run(&[args, &["--console", &console]].concat());
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

fn groups(server: &Server) -> Vec<Value> {
    client::get(server.console, "/api/v1/dead-letter-groups").unwrap().json()["groups"].as_array().unwrap().clone()
}

#[test]
fn thousands_of_dead_letters_of_a_bad_mapping_are_one_group_one_page_and_delivered_once_through_a_kill() {
    const EVENTS: u64 = 5_000;
    let pager = Recorder::start(|_| 202);
    let pages = |action: &str| {
        let bodies = pager.requests().into_iter().map(|request| request.body);
        let bodies = bodies.map(|body| serde_json::from_slice::<Value>(&body).unwrap());
        bodies.filter(|body| body["event_action"] == action).count()
    };
    let notifier = format!(
        "[notifiers.pager]\nkind = \"pagerduty\"\nrouting_key = \"file:pagerduty-key\"\nurl = \"http://{}/\"\n",
        pager.address
    );
    let crm = crm();
    let site = Site::new(&format!("{ALARMS}{notifier}{}mapping = '''{FAULTY}'''\n", to_crm(crm.address(), "")));
    fs::write(site.path("pagerduty-key"), "the-routing-key\n").unwrap();
    let server = site.start();
    load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (1, 250, Some(EVENTS / 250));
    });
    server.until_settled("crm");
    waiting::until_so("all are dead letters of one group", || {
        let found = groups(&server);
        found.len() == 1 && found[0]["count"] == EVENTS
    });
    assert_eq!((server.count("dead_letters"), crm.report().requests), (EVENTS, 0));
    waiting::until_so("somebody is paged", || pages("trigger") > 0);
    assert_eq!(run(&site, &server, &["redrive", "--all", "--dry-run"]).0, Some(1), "none would pass yet");

    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace(FAULTY, MENDED)).unwrap();
    let (code, said) = run(&site, &server, &["reload"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&site, &server, &["redrive", "--all", "--dry-run"]);
    assert!(code == Some(0) && said.starts_with("5000 would pass, 0 would fail"), "{said}");

    let redrive = ["redrive", "--all", "--rate", "2000"];
    let console = server.console.to_string();
    let mut command = site.command(&[&redrive[..], &["--console", &console]].concat());
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    waiting::until_so("some are redriven", || crm.report().events > EVENTS / 5);
    server.kill();
    assert_eq!(running.wait().unwrap().code(), Some(2), "it says that the server is gone");
    let server = site.start();
    let left = server.count("dead_letters");
    assert!((1..EVENTS).contains(&left), "{left}");
    let (code, said) = run(&site, &server, &redrive);
    assert!(code == Some(0) && said.starts_with(&format!("{left} redriven, 0 refused")), "{said}");
    server.until_settled("crm");
    all_there(&crm, EVENTS);
    let books = crm.report();
    // What was not settled at the kill comes again: at most the newest of each conversation, of eight events.
    assert!(books.repeats <= EVENTS / 8 && books.changed == 0, "{books:?}");
    assert_eq!((server.count("dead_letters"), server.count("accepted")), (0, EVENTS));
    waiting::until_so("the alarm is over", || pages("resolve") > 0);
    assert_eq!((pages("trigger"), pages("resolve")), (1, 1), "one page for all of it");
    assert_eq!(server.stop(), Some(0));
}
