//! Load against a server that fails by a script, and against the CRM.

use std::net::TcpListener;

use super::*;
use crate::crm::{self, Crm, Fault};
use crate::stub::{Reply, Stub};

fn short(target: SocketAddr) -> Options {
    Options {
        connections: 8,
        warm_up: Duration::from_millis(20),
        duration: Duration::from_millis(200),
        ..Options::new(target)
    }
}

#[test]
fn every_request_is_answered_and_counted() {
    let stub = Stub::start(|_| Reply::Ack);
    let report = run(&Options { threads: 2, ..short(stub.address) }).unwrap();
    let seen = stub.seen.lock();
    assert!(report.sent > 50, "{}", report.sent);
    assert_eq!((report.ok, report.other, report.unanswered), (report.sent, 0, 0));
    assert_eq!((report.accepted, report.duplicates), (report.sent, 0));
    assert_eq!((seen.requests, seen.published.len() as u64), (report.sent, report.sent));
    assert!(seen.order.values().all(|ordinals| ordinals.is_sorted()), "each conversation has a connection of its own");
    assert!(report.measured < report.sent && report.latency.count() == report.measured);
    assert!(report.requests_per_second() > 0.0);
    assert_eq!(report.cpu > Duration::ZERO, cfg!(target_os = "linux"));
}

#[test]
fn batches_carry_as_many_events_as_asked() {
    let stub = Stub::start(|_| Reply::Ack);
    let options = Options { events_per_request: 50, requests_max: Some(20), ..short(stub.address) };
    let report = run(&options).unwrap();
    assert_eq!((report.sent, report.accepted), (20, 1_000));
    assert!((report.events_per_second() - 50.0 * report.requests_per_second()).abs() < 1e-6);
    assert!(stub.seen.lock().headers.iter().all(|(_, _, body)| body.len() > 50 * 1_024));
}

#[test]
fn runs_at_the_rate_asked_for() {
    let stub = Stub::start(|_| Reply::Ack);
    let report = run(&Options { rate: Some(500.0), ..short(stub.address) }).unwrap();
    assert!((90..=111).contains(&(report.sent + report.given_up)), "{} + {}", report.sent, report.given_up);
}

#[test]
fn a_stall_shows_in_the_latency_at_a_fixed_rate() {
    let crm = Crm::start(crm::Options::default()).unwrap();
    crm.fail(Fault::Slow(Duration::from_millis(100)));
    let options = Options {
        connections: 1,
        rate: Some(100.0),
        duration: Duration::from_millis(350),
        warm_up: Duration::ZERO,
        ..short(crm.address())
    };
    let report = run(&options).unwrap();
    assert!(
        report.given_up > 0 && report.latency.quantile(1.0) >= Duration::from_millis(180),
        "{:?}",
        report.latency.summary()
    );
}

#[test]
fn refusals_and_broken_connections_are_told_apart_and_survived() {
    let stub = Stub::start(|number| match number % 10 {
        3 => Reply::Status(429, None),
        6 => Reply::Close,
        _ => Reply::Ack,
    });
    let report = run(&short(stub.address)).unwrap();
    assert!(report.ok > 0 && report.other > 0 && report.unanswered > 0);
    assert_eq!((report.ok + report.other + report.unanswered, report.other_status), (report.sent, Some(429)));
}

#[test]
fn a_crm_can_be_measured() {
    let crm = Crm::start(crm::Options::default()).unwrap();
    let report = run(&Options { idempotency_key: true, ..short(crm.address()) }).unwrap();
    let crm = crm.stop();
    assert_eq!((crm.rows, crm.events, crm.doubled, crm.out_of_order), (report.ok, report.ok, 0, 0));
}

#[test]
fn ends_by_itself_when_nobody_is_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = run(&short(nobody)).unwrap();
    assert_eq!((report.sent, report.ok), (0, 0));
}

#[test]
fn refuses_what_it_cannot_do() {
    let here: SocketAddr = "127.0.0.1:80".parse().unwrap();
    for (options, named) in [
        (Options { path: "in\r\n".to_owned(), ..Options::new(here) }, "path"),
        (Options { event_bytes: 10, ..Options::new(here) }, "event_bytes"),
        (Options { rate: Some(-1.0), ..Options::new(here) }, "rate"),
        (Options::new("192.0.2.1:80".parse().unwrap()), "192.0.2.1:80"),
    ] {
        assert!(run(&options).unwrap_err().to_string().starts_with(named));
    }
}
