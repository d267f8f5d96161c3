//! The client against a server that fails by a script.

use std::collections::BTreeMap;
use std::net::TcpListener;

use super::*;
use crate::contact_centre::{ContactCentre, Knobs};
use crate::sign::{Scheme, Signer};
use crate::stub::{Reply, Stub};

fn requests(knobs: Knobs) -> Vec<Request> {
    ContactCentre::new(knobs).unwrap().collect()
}

fn run(options: Options, requests: Vec<Request>) -> Report {
    Client::start(options, requests.into_iter()).unwrap().wait(Duration::from_millis(20), |_| {})
}

#[test]
fn everything_is_acknowledged_in_order_by_a_server_that_fails_now_and_then() {
    let stub = Stub::start(|number| match number % 50 {
        7 => Reply::Status(503, Some(0)),
        17 => Reply::Close,
        27 => Reply::PublishAndClose,
        37 => Reply::Status(429, None),
        _ => Reply::Ack,
    });
    let requests = requests(Knobs { events: 3_000, duplicated: 0.1, batched: 0.2, ..Knobs::default() });
    let sent: u64 = requests.iter().map(|request| request.events.len() as u64).sum();
    let duplicates: u64 = requests
        .iter()
        .filter(|request| request.duplicate_of.is_some())
        .map(|request| request.events.len() as u64)
        .sum();
    let report = run(Options::new(stub.address), requests);
    let seen = stub.seen.lock();
    assert_eq!(report.acked, seen.published);
    assert_eq!((report.acked.len(), report.unacked.len(), report.miscounted), (3_000, 0, 0));
    assert_eq!((report.sent, report.resent, report.accepted + report.duplicates), (sent, duplicates, sent));
    assert!(report.duplicates > duplicates, "lost answers were repeated");
    assert!(report.retried.connection > 0 && report.retried.status.keys().eq(&[429, 503]), "{:?}", report.retried);
    assert!(seen.order.values().all(|ordinals| ordinals.is_sorted()), "order of publishing");
    assert_eq!(report.ack.count(), report.requests);
    assert!(report.ack_with_retries.quantile(1.0) >= report.ack.quantile(1.0));
}

#[test]
fn each_source_authenticates_in_its_way() {
    let stub = Stub::start(|_| Reply::Ack);
    let signer = Signer::new(Scheme::Genesys, "Sommerregen").unwrap();
    let options = Options {
        genesys: Auth::Signed(signer.clone()),
        eventbridge: Auth::Bearer("token".to_owned()),
        ..Options::new(stub.address)
    };
    run(options, requests(Knobs::default()));
    let mut by_path: BTreeMap<String, u64> = BTreeMap::new();
    for (path, headers, body) in &stub.seen.lock().headers {
        *by_path.entry(path.clone()).or_default() += 1;
        if path == "/in/genesys" {
            assert_eq!(headers["x-genesys-webhook-signature"], signer.headers(body, "", 0)[0].1);
        } else {
            assert_eq!(headers["authorization"], "Bearer token");
        }
    }
    assert!(by_path.keys().eq(["/in/eventbridge", "/in/genesys"]), "{by_path:?}");
}

#[test]
fn retry_after_is_honoured() {
    let stub = Stub::start(|number| if number == 0 { Reply::Status(503, Some(1)) } else { Reply::Ack });
    let report = run(Options::new(stub.address), requests(Knobs { events: 1, ..Knobs::default() }));
    assert!(report.elapsed >= Duration::from_secs(1), "{:?}", report.elapsed);
    assert!(report.ack_with_retries.quantile(1.0) >= Duration::from_millis(990));
    assert!(report.ack.quantile(1.0) < Duration::from_millis(900));
}

#[test]
fn a_request_without_an_answer_is_sent_again() {
    let stub = Stub::start(|number| if number == 0 { Reply::Hold } else { Reply::Ack });
    let options = Options { attempt_timeout: Duration::from_millis(50), ..Options::new(stub.address) };
    let report = run(options, requests(Knobs { events: 1, ..Knobs::default() }));
    assert_eq!((report.retried.timeout, report.acked.len()), (1, 1));
}

#[test]
fn a_refusal_is_final_and_shown() {
    let stub = Stub::start(|number| if number == 0 { Reply::Status(401, None) } else { Reply::Ack });
    let report = run(
        Options::new(stub.address),
        requests(Knobs { events: 20, duplicated: 0.0, batched: 0.0, ..Knobs::default() }),
    );
    assert_eq!((report.refused, report.acked.len(), report.unacked.len()), (BTreeMap::from([(401, 1)]), 19, 1));
    assert_eq!(report.first_refusal.as_deref(), Some("because"));
}

#[test]
fn gives_up_at_the_deadline() {
    let stub = Stub::start(|_| Reply::Status(503, None));
    let options = Options { deadline: Duration::from_millis(100), connections: 3, ..Options::new(stub.address) };
    let report = run(options, requests(Knobs::default()));
    assert!(report.acked.is_empty() && !report.unacked.is_empty());
    assert!(report.elapsed < Duration::from_secs(5));
}

#[test]
fn goes_on_with_a_server_that_was_away_and_came_back_elsewhere() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let requests = requests(Knobs { events: 200, ..Knobs::default() });
    let client = Client::start(Options::new(nobody), requests.into_iter()).unwrap();
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while client.progress().retried < 10 {
        assert!(std::time::Instant::now() < patience);
        std::thread::yield_now();
    }
    let stub = Stub::start(|_| Reply::Ack);
    client.retarget(stub.address).unwrap();
    let report = client.wait(Duration::from_millis(20), |_| {});
    assert_eq!((report.acked.len(), report.unacked.len()), (200, 0));
}

#[test]
fn keeps_to_the_rate() {
    let stub = Stub::start(|_| Reply::Ack);
    let options = Options { rate: Some(1_000.0), ..Options::new(stub.address) };
    let mut highest = 0;
    let requests = requests(Knobs { events: 300, duplicated: 0.0, ..Knobs::default() });
    let report = Client::start(options, requests.into_iter()).unwrap().wait(Duration::from_millis(5), |progress| {
        assert!(progress.answered >= highest && progress.answered <= progress.sent);
        highest = progress.answered;
    });
    assert_eq!(highest, 300);
    assert!((0.25..3.0).contains(&report.elapsed.as_secs_f64()), "{:?}", report.elapsed);
}

#[test]
fn stops_when_told_and_refuses_what_it_cannot_do() {
    let stub = Stub::start(|_| Reply::Hold);
    let endless = (0..).flat_map(|seed| requests(Knobs { seed, ..Knobs::default() }));
    let client = Client::start(Options::new(stub.address), endless).unwrap();
    assert!(client.retarget("10.0.0.1:80".parse().unwrap()).is_err());
    let report = client.stop();
    assert!(report.acked.is_empty());
    for (options, named) in [
        (Options { connections: 0, ..Options::new(stub.address) }, "connections"),
        (Options { rate: Some(0.0), ..Options::new(stub.address) }, "rate"),
        (Options::new("8.8.8.8:80".parse().unwrap()), "8.8.8.8:80"),
    ] {
        assert!(Client::start(options, std::iter::empty()).unwrap_err().to_string().starts_with(named));
    }
}
