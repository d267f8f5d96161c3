//! The yardsticks as processes, under the load that they are there for.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use simulator::client::Auth;
use simulator::crm::{self, Crm};
use simulator::load;
use simulator::sign::{Scheme, Signer};

/// Requests of each test.
const REQUESTS: u64 = 500;

struct Yardstick {
    address: SocketAddr,
    child: Child,
    input: Option<ChildStdin>,
}

impl Yardstick {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .arg("yardstick")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), input: child.stdin.take(), child }
    }

    fn load(&self, secret: &str, events_per_request: usize) -> load::Report {
        let options = load::Options {
            auth: Auth::Signed(Signer::new(Scheme::Genesys, secret).unwrap()),
            connections: 8,
            events_per_request,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(60),
            requests_max: Some(REQUESTS),
            ..load::Options::new(self.address)
        };
        load::run(&options).unwrap()
    }

    /// Ends its input; it has to end by itself then.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The one that the yardsticks know.
const SECRET: &str = "a webhook secret for measuring";

#[test]
fn the_null_server_answers_what_is_authentic() {
    let server = Yardstick::start(&["null"]);
    let report = server.load(SECRET, 3);
    assert_eq!((report.ok, report.accepted, report.unanswered), (REQUESTS, 3 * REQUESTS, 0));
    let report = server.load("another secret", 1);
    assert_eq!((report.ok, report.other_status), (0, Some(401)));
    server.end();
}

#[test]
fn the_raw_server_has_stored_what_it_answers() {
    let folder = std::env::temp_dir().join(format!("bench-raw-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("journal");
    let server = Yardstick::start(&["raw", "--file", file.to_str().unwrap()]);
    let report = server.load(SECRET, 1);
    assert_eq!((report.ok, report.accepted), (REQUESTS, REQUESTS));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), REQUESTS * 1_024);
    server.end();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_relay_has_forwarded_what_it_answers() {
    let crm = Crm::start(crm::Options::default()).unwrap();
    let server = Yardstick::start(&["relay", "--crm", &crm.address().to_string()]);
    let report = server.load(SECRET, 1);
    assert_eq!((report.ok, report.accepted), (REQUESTS, REQUESTS));
    assert_eq!(crm.report().events, REQUESTS);
    server.end();
}
