//! The CRM over real sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::*;
use crate::Uuid;

/// Nothing here should take longer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    fn new(crm: &Crm) -> Self {
        let stream = TcpStream::connect(crm.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    fn send(&mut self, method: &str, path: &str, key: Option<&str>, body: &str) {
        let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\n{key}Content-Length: {}\r\n\r\n", body.len());
        self.stream.get_mut().write_all((head + body).as_bytes()).unwrap();
    }

    /// The status line and the headers of the answer, in lower case.
    fn answer(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        self.stream.read_exact(&mut vec![0; length.parse().unwrap()])?;
        Ok(head)
    }

    fn put(&mut self, key: &str, body: &str) -> io::Result<u16> {
        self.send("PUT", "/records", Some(key), body);
        self.answer().map(|head| head[9..12].parse().unwrap())
    }
}

fn tag(conversation: u128, ordinal: u32) -> Tag {
    Tag::new(Uuid::from_bits(conversation), ordinal)
}

fn body(conversation: u128, ordinal: u32) -> String {
    format!(r#"{{"externalTag":"{}"}}"#, tag(conversation, ordinal))
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        std::thread::yield_now();
    }
}

fn start() -> Crm {
    Crm::start(Options::default()).unwrap()
}

#[test]
fn upserts_by_idempotency_key_or_path() {
    let crm = start();
    let mut caller = Caller::new(&crm);
    assert_eq!(caller.put("a", &body(1, 0)).unwrap(), 201);
    assert_eq!(caller.put("a", &body(1, 0)).unwrap(), 200);
    caller.send("POST", "/contacts/7", None, &body(1, 1));
    assert!(caller.answer().unwrap().starts_with("http/1.1 201"));
    caller.send("GET", "/contacts/7", None, "");
    assert!(caller.answer().unwrap().starts_with("http/1.1 405"));
    let report = crm.report();
    assert_eq!((report.rows, report.events, report.repeats, report.requests), (2, 2, 1, 3));
    assert_eq!(crm.missing([tag(1, 0), tag(1, 1), tag(1, 2)]), [tag(1, 2)]);
    assert_eq!(crm.entries().iter().map(|entry| entry.status).collect::<Vec<_>>(), [201, 200, 201]);
    assert!(crm.has(tag(1, 0)) && crm.last_first_write().is_some());
}

#[test]
fn notices_doubles_and_wrong_order_over_the_wire() {
    let crm = start();
    let mut caller = Caller::new(&crm);
    for (key, ordinal) in [("a", 1), ("b", 0), ("c", 1)] {
        caller.put(key, &body(1, ordinal)).unwrap();
    }
    assert_eq!((crm.report().doubled, crm.report().out_of_order), (1, 1));
}

#[test]
fn answers_a_status_until_cleared() {
    let crm = start();
    let mut caller = Caller::new(&crm);
    crm.fail(Fault::Status { code: 429, retry_after: Some(3) });
    caller.send("PUT", "/", Some("a"), &body(1, 0));
    let answer = caller.answer().unwrap();
    assert!(answer.starts_with("http/1.1 429") && answer.contains("retry-after: 3\r\n"), "{answer}");
    assert_eq!((crm.report().rows, crm.report().refused), (0, 1));
    crm.clear();
    assert_eq!(caller.put("a", &body(1, 0)).unwrap(), 201);
}

#[test]
fn a_fault_with_a_duration_ends_by_itself() {
    let crm = start();
    let mut caller = Caller::new(&crm);
    crm.fail_for(Fault::UNAVAILABLE, Duration::from_millis(150));
    assert_eq!(caller.put("a", &body(1, 0)).unwrap(), 503);
    wait_until("the fault ends", || caller.put("a", &body(1, 0)).unwrap() == 201);
    assert_eq!(crm.fault(), None);
}

#[test]
fn holds_requests_and_closes_them_when_cleared() {
    let crm = start();
    crm.fail(Fault::Timeout { written: false });
    let mut caller = Caller::new(&crm);
    caller.send("PUT", "/", Some("a"), &body(1, 0));
    wait_until("the request is held", || crm.report().refused == 1 && crm.report().concurrency == 1);
    crm.clear();
    assert!(caller.answer().is_err());
    assert!(!crm.has(tag(1, 0)));
    wait_until("nothing is in progress", || crm.report().concurrency == 0);
}

#[test]
fn a_held_request_ends_when_the_peer_hangs_up() {
    let crm = start();
    crm.fail(Fault::Timeout { written: true });
    let mut caller = Caller::new(&crm);
    caller.send("PUT", "/", Some("a"), &body(1, 0));
    wait_until("the request is held", || crm.has(tag(1, 0)));
    drop(caller);
    wait_until("nothing is in progress", || crm.report().concurrency == 0);
}

#[test]
fn resets_connections_and_may_lose_only_the_answer() {
    let crm = start();
    for (written, key) in [(false, "a"), (true, "b")] {
        crm.fail(Fault::Reset { written });
        let error = Caller::new(&crm).put(key, &body(1, u32::from(written))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(crm.has(tag(1, u32::from(written))), written);
    }
    crm.clear();
    assert_eq!(Caller::new(&crm).put("b", &body(1, 1)).unwrap(), 200, "the effect was there already");
    assert_eq!((crm.report().repeats, crm.report().doubled), (1, 0));
}

#[test]
fn slow_answers_come_late_and_concurrency_is_counted() {
    let crm = start();
    let delay = Duration::from_millis(100);
    crm.fail(Fault::Slow(delay));
    let began = Instant::now();
    let mut callers: Vec<Caller> = (0..5).map(|_| Caller::new(&crm)).collect();
    for (caller, ordinal) in callers.iter_mut().zip(0..) {
        caller.send("PUT", &format!("/{ordinal}"), None, &body(1, ordinal));
    }
    for caller in &mut callers {
        caller.answer().unwrap();
    }
    assert!(began.elapsed() >= delay);
    assert_eq!((crm.report().max_concurrency, crm.report().rows), (5, 5));
}

#[test]
fn rejects_some_events_every_time() {
    let crm = start();
    crm.fail(Fault::RejectSome { every: 4, code: 422 });
    let mut caller = Caller::new(&crm);
    let mut round =
        || -> Vec<u16> { (0..100).map(|n| caller.put(&format!("k{n}"), &body(u128::from(n), n)).unwrap()).collect() };
    let rejected = |statuses: &[u16]| -> Vec<usize> {
        statuses.iter().enumerate().filter(|(_, status)| **status == 422).map(|(n, _)| n).collect()
    };
    let (first, second) = (rejected(&round()), rejected(&round()));
    assert_eq!(first, second);
    assert!((10..40).contains(&first.len()), "{first:?}");
}

#[test]
fn listens_on_loopback_only_and_names_what_is_wrong() {
    let wide = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    assert!(matches!(Crm::start(wide), Err(SimulatorError::NotLoopback(_))));
    let crm = start();
    let taken = Options { listen: crm.address(), ..Options::default() };
    assert!(Crm::start(taken).unwrap_err().to_string().contains(&crm.address().to_string()));
}

#[test]
fn stops_while_connections_are_open() {
    let crm = start();
    let mut caller = Caller::new(&crm);
    caller.put("a", &body(1, 0)).unwrap();
    assert_eq!(crm.stop().rows, 1);
    assert!(caller.put("b", &body(1, 1)).is_err());
}
