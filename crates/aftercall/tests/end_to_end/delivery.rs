//! From the source to the CRM: everything arrives, in order, and what cannot is a visible dead letter.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simulator::client::{Auth, Client, Options, Report};
use simulator::contact_centre::{ContactCentre, Knobs};
use simulator::crm::{self, Crm, Fault};
use simulator::load;
use simulator::sign::{Scheme, Signer};

use crate::kept;
use crate::recorder::Recorder;
use crate::site::{SECRET, Server, Site, TOKEN};
use crate::waiting;

/// Configuration of a CRM that everything goes to. `more` is for the destination's table.
pub(crate) fn to_crm(crm: SocketAddr, more: &str) -> String {
    format!(
        r#"
[destinations.crm]
kind = "http"
method = "PUT"
url = "http://{crm}/records/{{event_id}}"
backoff = {{ base = "20ms", cap = "200ms" }}
{more}
[[routes]]
destination = "crm"
"#
    )
}

pub(crate) fn crm() -> Crm {
    Crm::start(crm::Options::default()).unwrap()
}

/// A contact centre that begins to send.
pub(crate) fn contact_centre(intake: SocketAddr, knobs: Knobs, choose: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options::new(intake);
    options.genesys = Auth::Signed(Signer::new(Scheme::Genesys, SECRET).unwrap());
    options.eventbridge = Auth::Bearer(TOKEN.to_owned());
    options.deadline = waiting::PATIENCE;
    choose(&mut options);
    Client::start(options, ContactCentre::new(knobs).unwrap()).unwrap()
}

/// Sends load with few pauses between events; waits for its end, and all of it must have been accepted.
pub(crate) fn load(intake: SocketAddr, choose: impl FnOnce(&mut load::Options)) -> load::Report {
    let auth = Auth::Signed(Signer::new(Scheme::Genesys, SECRET).unwrap());
    let duration = waiting::PATIENCE;
    let mut options = load::Options { auth, warm_up: Duration::ZERO, duration, ..load::Options::new(intake) };
    choose(&mut options);
    let report = load::run(&options).unwrap();
    assert_eq!((report.other, report.unanswered, report.given_up), (0, 0, 0), "{report:?}");
    assert_eq!(report.accepted, report.sent * options.events_per_request as u64, "{report:?}");
    report
}

/// Waits for the end of sending; everything must have been acknowledged.
pub(crate) fn all_acknowledged(client: Client) -> Report {
    let report = client.wait(Duration::from_millis(50), |_| {});
    assert!(report.unacked.is_empty() && report.refused.is_empty(), "{report:?}");
    assert_eq!(report.miscounted, 0);
    report
}

/// Waits until everything acknowledged has arrived; then nothing may be doubled or out of order.
pub(crate) fn all_arrived(crm: &Crm, report: &Report) {
    waiting::until_so("everything acknowledged is in the CRM", || crm.missing(report.acked.iter().copied()).is_empty());
    let books = crm.report();
    assert_eq!((books.doubled, books.overwritten, books.out_of_order, books.changed), (0, 0, 0, 0), "{books:?}");
}

fn knobs(events: u64) -> Knobs {
    Knobs { events, ..Knobs::default() }
}

fn event(id: &str, conversation: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","eventType":"call.ended"}}"#)
}

#[test]
fn a_slow_crm_gets_a_thousand_events_and_never_more_than_fifty_at_once() {
    let crm = crm();
    crm.fail(Fault::Slow(Duration::from_millis(100)));
    let site = Site::new(&to_crm(crm.address(), "order = \"none\"\ntimeout = \"30s\""));
    let server = site.start();
    let report = load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (1, 1_000, Some(1));
    });
    assert_eq!(report.accepted, 1_000);
    server.until_settled("crm");
    let books = crm.report();
    assert_eq!(books.max_concurrency, 50, "the limit is used, and 51 are never there: {books:?}");
    assert_eq!((books.events, books.doubled, books.repeats), (1_000, 0, 0), "{books:?}");
    assert_eq!((server.count("accepted"), server.count("dead_letters")), (1_000, 0));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_conversations_events_arrive_in_order_while_the_crm_fails_at_random() {
    let crm = crm();
    let site = Site::new(&to_crm(crm.address(), ""));
    let server = site.start();
    let client = contact_centre(server.intake, knobs(2_000), |_| {});
    let faults = [
        Fault::UNAVAILABLE,
        Fault::Reset { written: false },
        Fault::Reset { written: true },
        Fault::Status { code: 429, retry_after: None },
    ];
    let mut turn = 0;
    let report = client.wait(Duration::from_millis(20), |progress| {
        turn += 1;
        match faults.get(turn / 3 % 8) {
            Some(fault) if !progress.finished => crm.fail(*fault),
            _ => crm.clear(),
        }
    });
    crm.clear();
    assert!(report.unacked.is_empty() && report.refused.is_empty(), "{report:?}");
    all_arrived(&crm, &report);
    server.until_settled("crm");
    assert_eq!(server.count("dead_letters"), 0);
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn a_permanent_refusal_is_a_dead_letter_with_its_status_and_blocks_nobody() {
    let crm = crm();
    crm.fail(Fault::RejectSome { every: 10, code: 422 });
    let site = Site::new(&to_crm(crm.address(), ""));
    let server = site.start();
    let report = all_acknowledged(contact_centre(server.intake, knobs(500), |_| {}));
    server.until_settled("crm");
    let refused: Vec<_> = crm.missing(report.acked.iter().copied());
    assert!(!refused.is_empty() && refused.len() < 150, "{} of 500", refused.len());
    assert_eq!(server.count("dead_letters"), refused.len() as u64);
    assert_eq!(server.consumer("crm")["dead_letters"], refused.len());
    assert_eq!(crm.report().refused, refused.len() as u64, "each was tried once");
    assert_eq!(server.stop(), Some(0));
    let letters = kept::dead_letters(&site.path("data"));
    assert_eq!(letters.len(), refused.len());
    for letter in letters {
        assert_eq!((letter.failure.stage, letter.failure.status), (queue::Stage::Deliver, Some(422)));
        assert_eq!((letter.attempts.made, letter.destination.as_deref()), (1, Some("crm")));
        assert!(letter.failure.excerpt.unwrap().contains("told to fail"));
    }
}

#[test]
fn a_crm_that_is_down_gets_everything_later_and_nothing_dies() {
    let crm = crm();
    crm.fail(Fault::UNAVAILABLE);
    let site = Site::new(&to_crm(crm.address(), "attempts = 2"));
    let server = site.start();
    let report = all_acknowledged(contact_centre(server.intake, knobs(300), |_| {}));
    waiting::until_so("events were tried again and again", || crm.report().refused > 10);
    let shown = site.run(&["status", "--console", &server.console.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("DOWN") && shown.contains("503"), "{shown}");
    assert_eq!((crm.report().events, server.count("dead_letters")), (0, 0));
    crm.clear();
    all_arrived(&crm, &report);
    server.until_settled("crm");
    assert_eq!(server.count("dead_letters"), 0);
}

#[test]
fn a_crm_that_never_answers_runs_into_the_timeout_and_nothing_dies() {
    let crm = crm();
    crm.fail(Fault::Timeout { written: true });
    let site = Site::new(&to_crm(crm.address(), "timeout = \"100ms\""));
    let server = site.start();
    let report = all_acknowledged(contact_centre(server.intake, knobs(50), |_| {}));
    waiting::until_so("some attempts ran into the timeout", || {
        server.status()["destinations"][0]["health"]["failed_transient"].as_u64() > Some(5)
    });
    crm.clear();
    all_arrived(&crm, &report);
    server.until_settled("crm");
    assert_eq!(server.count("dead_letters"), 0);
}

#[test]
fn a_dead_destination_holds_up_no_other() {
    let crm = crm();
    // Nobody listens on the discard port.
    let dead =
        "[destinations.dead]\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n[[routes]]\ndestination = \"dead\"\n";
    let site = Site::new(&(to_crm(crm.address(), "") + dead));
    let server = site.start();
    let report = all_acknowledged(contact_centre(server.intake, knobs(500), |_| {}));
    all_arrived(&crm, &report);
    server.until_settled("crm");
    let dead = server.consumer("dead");
    assert_eq!((&dead["unsettled"], &dead["dead_letters"]), (&500.into(), &0.into()), "{dead}");
    assert_eq!(server.stop(), Some(0), "a destination that is down does not hold up the end");
    // What waits is still there.
    let server = site.start();
    assert_eq!(server.consumer("dead")["unsettled"], 500);
}

#[test]
fn a_stuck_conversation_holds_up_no_other_and_keeps_its_order() {
    let gate = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&gate);
    let recorder = Recorder::start(move |request| {
        let is_stuck = request.body.windows(7).any(|part| part == b"c-stuck");
        if is_stuck && !told.load(Ordering::SeqCst) { 503 } else { 200 }
    });
    let site = Site::new(&to_crm(recorder.address, "attempts = 1000000"));
    let server = site.start();
    for number in 0..100 {
        server.post(event(&format!("s-{number}"), if number % 10 == 0 { "c-stuck" } else { "c-free" }));
    }
    waiting::until_so("only the stuck conversation waits", || server.consumer("crm")["delivered"] == 90);
    gate.store(true, Ordering::SeqCst);
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), &server.consumer("crm")["delivered"]), (0, &100.into()));
    let bodies: Vec<_> =
        recorder.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect();
    for conversation in ["c-stuck", "c-free"] {
        let mut seen: Vec<_> = bodies.iter().filter(|body| body.contains(conversation)).collect();
        // Attempts of the first one that were refused.
        seen.dedup();
        let numbers: Vec<u32> = seen
            .iter()
            .map(|body| body.split("s-").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted(), "{conversation}: {numbers:?}");
    }
}

#[test]
fn routes_choose_map_and_count_what_matches_none() {
    let recorder = Recorder::start(|_| 200);
    let address = recorder.address;
    let site = Site::new(&format!(
        r#"
[destinations.crm]
kind = "http"
method = "PATCH"
url = "http://{address}/v1/{{source}}/{{topic}}/{{conversation}}?ref={{/ref}}"
headers = {{ x-integration = "aftercall" }}
idempotency_header = "x-once"
[destinations.events]
kind = "file"
path = "events.ndjson"
[[routes]]
name = "billing"
destination = "crm"
pattern = '{{"data": {{"intents": ["billing"]}}}}'
mapping = '{{ref: .webhookEventId, score: .data.score, first: true}}'
[[routes]]
name = "all calls"
destination = "crm"
pattern = {{ eventType = [{{ prefix = "call." }}] }}
mapping = '{{ref: .webhookEventId, first: false}}'
[[routes]]
destination = "events"
sources = ["genesys"]
pattern = '{{"data": {{"score": [{{"numeric": [">", 1]}}]}}}}'
"#
    ));
    let server = site.start();
    let post = |id: &str, topic: &str, data: &str| {
        let conversation = "ä b/c?";
        let body = format!(
            r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","eventType":"{topic}","data":{data}}}"#
        );
        assert_eq!(server.post(body).counts(), (1, 0));
    };
    post("e 1", "call.ended", r#"{"intents":["billing"],"score":1.50}"#);
    post("e/2", "call.ended", r#"{"intents":["other"],"score":0.5}"#);
    post("e3", "chat.ended", r#"{"score":0}"#);
    // Its mapping makes something that the URL cannot be made of.
    assert_eq!(server.post(r#"{"eventType":"call.x","webhookEventId":null}"#).counts(), (1, 0));
    server.until_settled("crm");
    server.until_settled("events");

    let mut requests = recorder.requests();
    requests.sort_by(|one, other| one.path.cmp(&other.path));
    let paths: Vec<_> = requests.iter().map(|request| request.path.as_str()).collect();
    let conversation = "%C3%A4%20b%2Fc%3F";
    assert_eq!(
        paths,
        [
            format!("/v1/genesys/call.ended/{conversation}?ref=e%201"),
            format!("/v1/genesys/call.ended/{conversation}?ref=e%2F2")
        ]
    );
    let bodies: Vec<_> = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
    assert_eq!(bodies, [r#"{"ref":"e 1","score":1.50,"first":true}"#, r#"{"ref":"e/2","first":false}"#]);
    for request in &requests {
        assert_eq!((request.method.as_str(), request.headers["x-integration"].as_str()), ("PATCH", "aftercall"));
        assert!(request.headers.contains_key("x-once") && !request.headers.contains_key("idempotency-key"));
    }
    assert_eq!(site.events().len(), 1);
    assert_eq!((server.count("unmatched"), server.count("dead_letters")), (1, 1));
    assert_eq!(server.stop(), Some(0));
    let letters = kept::dead_letters(&site.path("data"));
    assert!(letters[0].failure.message.contains("conversation") || letters[0].failure.message.contains("/ref"));
}

#[test]
fn a_mapping_that_fails_is_a_dead_letter_that_names_the_route() {
    let recorder = Recorder::start(|_| 200);
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\n\
         [[routes]]\nname = \"halves\"\ndestination = \"crm\"\nmapping = '{{half: (.amount / 2)}}'\n",
        recorder.address
    ));
    let server = site.start();
    server.post(r#"{"webhookEventId":"bad","amount":"three"}"#);
    server.post(r#"{"webhookEventId":"good","amount":3}"#);
    server.until_settled("crm");
    assert_eq!(recorder.requests().iter().map(|request| request.body.clone()).collect::<Vec<_>>(), [b"{\"half\":1.5}"]);
    assert_eq!(server.stop(), Some(0));
    let letters = kept::dead_letters(&site.path("data"));
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].failure.stage, queue::Stage::Map);
    assert!(letters[0].failure.message.contains("halves"), "{}", letters[0].failure.message);
}

#[test]
fn a_rotated_token_is_taken_up_while_running() {
    let recorder = Recorder::start(|request| {
        if request.headers.get("authorization").is_some_and(|value| value == "Bearer new-token") { 200 } else { 503 }
    });
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\nauth = {{ bearer = \"file:crm-token\" }}\n\
         backoff = {{ base = \"20ms\", cap = \"100ms\" }}\n[[routes]]\ndestination = \"crm\"\n",
        recorder.address
    ));
    fs::write(site.path("crm-token"), "old-token\n").unwrap();
    let server = site.start();
    server.post(event("e-1", "c-1"));
    waiting::until_so("the old token was tried", || {
        recorder.requests().iter().any(|request| request.headers["authorization"] == "Bearer old-token")
    });
    fs::write(site.path("crm-token"), "new-token-\n").unwrap();
    fs::write(site.path("crm-token"), "new-token\n").unwrap();
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), &server.consumer("crm")["delivered"]), (0, &1.into()));
    assert!(!site.logs().contains("-token"), "a token is in the log");
}

#[test]
fn a_rotated_webhook_secret_is_taken_up_while_running() {
    let site = Site::new(crate::site::TO_FILE);
    let server = site.start();
    let sign = |secret: &str, body: &[u8]| {
        let mut headers = Signer::new(Scheme::Genesys, secret).unwrap().headers(body, "", 0);
        headers.push(("content-type", "application/json".to_owned()));
        headers
    };
    let send = |server: &Server, secret: &str, id: &str| {
        let body = event(id, "c");
        server.client().post("/in/genesys", &sign(secret, body.as_bytes()), body.as_bytes()).unwrap().status
    };
    assert_eq!((send(&server, SECRET, "e-1"), send(&server, "second-secret", "e-2")), (200, 401));
    fs::write(site.path("webhook-secret"), format!("second-secret\n{SECRET}\n")).unwrap();
    waiting::until_so("the new secret is known", || send(&server, "second-secret", "e-2") == 200);
    assert_eq!(send(&server, SECRET, "e-3"), 200, "both are valid at once");
    server.until_settled("events");
    assert_eq!(site.events().len(), 3);
    assert!(!site.logs().contains("second-secret") && !site.logs().contains(SECRET));
}
