//! An outage as the person on call lives through it: restarts in the middle, nothing left to probe with, and what is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// Everything within a second; a disk that is nearly full is not what these tests are about.
const QUICK: &str = "[alarms]\ninstance = \"here\"\nevery = \"50ms\"\nhold = \"200ms\"\ncool_down = \"1s\"\n\
                     disk_free = 0\nbreaker_open = \"100ms\"\n";

/// A CRM that answers 503 while it is told to.
fn crm() -> (Recorder, Arc<AtomicBool>) {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    (Recorder::start(move |_| if is_down.load(Ordering::SeqCst) { 503 } else { 200 }), down)
}

/// With probes every second, and somebody who is paged.
fn site(crm: &Recorder, pager: &Recorder) -> Site {
    let site = Site::new(&format!(
        "{QUICK}[notifiers.pager]\nkind = \"pagerduty\"\nrouting_key = \"file:pagerduty-key\"\nurl = \"http://{}/\"\n\
         [destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\nbackoff = {{ base = \"10ms\", cap = \"50ms\" }}\n\
         breaker = {{ pause = \"1s\" }}\n[[routes]]\ndestination = \"crm\"\n",
        pager.address, crm.address
    ));
    std::fs::write(site.path("pagerduty-key"), "the-routing-key\n").unwrap();
    site
}

fn post(server: &Server, numbers: std::ops::Range<usize>, conversations: usize) {
    let mut client = server.client();
    for number in numbers {
        let of = number % conversations;
        let event = format!(r#"{{"webhookEventId":"a-{number}","conversationId":"c-{of}"}}"#);
        assert_eq!(client.post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
    }
}

fn breaker(server: &Server) -> Value {
    server.status()["destinations"][0]["health"]["gate"]["breaker"].clone()
}

/// Waits until so many probes have failed.
fn probed(server: &Server, probes: u64) -> Value {
    waiting::until("probes fail", || {
        let breaker = breaker(server);
        (breaker["probes"].as_u64()? >= probes).then_some(breaker)
    })
}

/// What the pager was told of the destination.
fn told(pager: &Recorder) -> Vec<String> {
    let told = pager.requests().into_iter().map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
    let about = told.filter(|told| told["dedup_key"].as_str().is_some_and(|key| key.contains("breaker-open/crm")));
    about.map(|told| told["event_action"].as_str().unwrap().to_owned()).collect()
}

fn status(site: &Site, server: &Server) -> String {
    let output = site.run(&["status", "--console", &server.console.to_string()]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_restart_in_an_outage_ends_no_alarm_and_goes_on_probing() {
    let ((crm, down), pager) = (crm(), Recorder::start(|_| 202));
    let site = site(&crm, &pager);
    let server = site.start();
    post(&server, 0..200, 200);
    let stood = probed(&server, 2);
    waiting::until_so("somebody is paged", || told(&pager) == ["trigger"]);
    let mut server = server;
    for _ in 0..3 {
        server.kill();
        let before = crm.requests().len();
        server = site.start();
        let goes_on =
            waiting::until("the service runs", || Some(breaker(&server)).filter(|breaker| breaker.is_object()));
        assert_eq!(goes_on["since"], stood["since"], "{goes_on}");
        let why = server.status()["destinations"][0]["health"]["last_error"]["message"].to_string();
        assert!(why.contains("the destination answered 503"), "nobody has to wait for a probe to know why: {why}");
        assert!(["open", "half-open"].contains(&goes_on["state"].as_str().unwrap()), "{goes_on}");
        let now = probed(&server, goes_on["probes"].as_u64().unwrap() + 2);
        let probes = now["probes"].as_u64().unwrap() - goes_on["probes"].as_u64().unwrap();
        let attempts = (crm.requests().len() - before) as u64;
        // Of one that was under way at the kill, and of one that is under way now, nothing is known.
        assert!(attempts <= probes + 2, "{attempts} attempts by {probes} probes");
        assert!(!told(&pager).contains(&"resolve".to_owned()), "{:?}", told(&pager));
    }
    assert!(status(&site, &server).contains("DOWN for"), "{}", status(&site, &server));
    down.store(false, Ordering::SeqCst);
    server.until_settled("crm");
    waiting::until_so("the page is over", || told(&pager).last().is_some_and(|last| last == "resolve"));
    assert_eq!(told(&pager).iter().filter(|told| *told == "resolve").count(), 1);
    assert_eq!(crm.answered(200).len(), 200, "each once");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_destination_with_nothing_left_to_probe_with_is_down_no_more_and_says_what_it_waits_for() {
    let ((crm, down), pager) = (crm(), Recorder::start(|_| 202));
    let site = site(&crm, &pager);
    let server = site.start();
    post(&server, 0..60, 6);
    probed(&server, 1);
    waiting::until_so("somebody is paged", || told(&pager) == ["trigger"]);
    for number in 0..6 {
        let (conversation, console) = (format!("c-{number}"), server.console.to_string());
        let erase = ["erase", "--conversation", &conversation, "--reason", "asked for", "--yes", "--console", &console];
        let output = site.run(&erase);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    waiting::until_so("it waits for an event", || breaker(&server)["state"] == "waiting");
    waiting::until_so("the page is over", || told(&pager).last().is_some_and(|last| last == "resolve"));
    assert!(status(&site, &server).contains("waits for an event to probe with"), "{}", status(&site, &server));
    server.kill();
    let server = site.start();
    waiting::until_so("also after a kill", || breaker(&server)["state"] == "waiting");
    // It is still down: one probe says so.
    let before = crm.requests().len();
    post(&server, 100..160, 60);
    waiting::until_so("it is down again", || breaker(&server)["state"] == "open");
    assert!(crm.requests().len() - before <= 2, "{} attempts", crm.requests().len() - before);
    down.store(false, Ordering::SeqCst);
    server.until_settled("crm");
    assert_eq!(crm.answered(200).len(), 60);
    assert_eq!(server.stop(), Some(0));
}
