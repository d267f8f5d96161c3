//! Load for a measurement: signed webhooks over keep-alive connections, at a cost of a few microseconds each.
//!
//! Bodies come from a template in which only ids change, and answers are looked at no closer than needed, so that the
//! generator leaves the processor to the server it measures. There are two ways to run: each connection sends the next
//! request when it has its answer (as fast as the server can), or requests are due at a fixed rate whatever the server
//! does. At a fixed rate a request that had to wait for a free connection counts from when it was due, so a server that
//! stalls cannot hide it.
//!
//! Nothing is sent twice: an event whose connection broke is counted and left alone. To have every event acknowledged,
//! use the [`client`](crate::client).

mod answer;
mod lane;
mod pace;
mod template;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::Auth;
use crate::error::loopback;
use crate::{Latency, SimulatorError};
use template::Template;

/// Settings of a run of load.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server; loopback only.
    pub target: SocketAddr,
    /// Where to post to. Default `/in/genesys`.
    pub path: String,
    /// How requests are authenticated. Default not at all.
    pub auth: Auth,
    /// Connections, 1 to 10,000. Default 64.
    pub connections: usize,
    /// Threads that share the connections, 1 to 64. Default 1.
    pub threads: usize,
    /// Events per request, 1 to 10,000; more than one are sent as the `data` of one body. Default 1.
    pub events_per_request: usize,
    /// Size of one event in bytes, 512 to 1,000,000. Default 1,024.
    pub event_bytes: usize,
    /// How many events a conversation has before the connection goes on to a new one, 1 to 10,000. Default 8.
    pub events_per_conversation: u32,
    /// Requests per second over all connections; none means as fast as the server answers.
    pub rate: Option<f64>,
    /// How long to send before what happens counts. Default 1 s.
    pub warm_up: Duration,
    /// How long to send after that. Default 5 s.
    pub duration: Duration,
    /// Ends the run once so many requests were sent.
    pub requests_max: Option<u64>,
    /// Sends an `Idempotency-Key` with each request, for measuring a CRM. Default false.
    pub idempotency_key: bool,
    /// Makes the ids of this run differ from those of other runs with another number.
    pub run: u64,
}

impl Options {
    /// Defaults for a server.
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            path: "/in/genesys".to_owned(),
            auth: Auth::None,
            connections: 64,
            threads: 1,
            events_per_request: 1,
            event_bytes: 1_024,
            events_per_conversation: 8,
            rate: None,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            requests_max: None,
            idempotency_key: false,
            run: 1,
        }
    }

    fn check(&self) -> Result<(), SimulatorError> {
        loopback(self.target)?;
        for (name, value, least, most) in [
            ("connections", self.connections, 1, 10_000),
            ("threads", self.threads, 1, 64),
            ("events_per_request", self.events_per_request, 1, 10_000),
            ("event_bytes", self.event_bytes, 512, 1_000_000),
            ("events_per_conversation", self.events_per_conversation as usize, 1, 10_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SimulatorError::setting(name, format!("{value} is out of range: use {least} to {most}")));
            }
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(SimulatorError::setting("rate", "use a number of requests per second above 0"));
        }
        if !self.path.starts_with('/') || self.path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(SimulatorError::setting("path", "use an absolute path of visible ASCII characters"));
        }
        Ok(())
    }
}

/// What a run of load came to. Counts cover the whole run; latencies and rates only what came after the warm-up.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered with a status of 2xx.
    pub ok: u64,
    /// Requests answered otherwise.
    pub other: u64,
    /// The last status of those.
    pub other_status: Option<u16>,
    /// Requests whose connection broke, or that had no answer when the run was over.
    pub unanswered: u64,
    /// Events that the server said it accepted.
    pub accepted: u64,
    /// Events that the server said were duplicates.
    pub duplicates: u64,
    /// At a fixed rate, requests that were never sent because too many were waiting for a connection.
    pub given_up: u64,
    /// Requests answered 2xx in the measured time.
    pub measured: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// Processor time that the generator's threads used, to be taken off when the server is measured. Zero where the
    /// operating system does not say (it is read from Linux's `/proc`).
    pub cpu: Duration,
    /// Events per request, for [`Report::events_per_second`].
    pub events_per_request: usize,
    /// From a request's sending to its answer.
    pub latency: Latency,
}

impl Report {
    /// Requests answered 2xx per second of the measured time.
    pub fn requests_per_second(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.measured as f64 / self.elapsed.as_secs_f64() }
    }

    /// Events in those requests per second.
    pub fn events_per_second(&self) -> f64 {
        self.requests_per_second() * self.events_per_request as f64
    }

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.other += other.other;
        self.other_status = self.other_status.or(other.other_status);
        self.unanswered += other.unanswered;
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.given_up += other.given_up;
        self.measured += other.measured;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu += other.cpu;
        self.latency.add(&other.latency);
    }
}

/// Sends load and waits for its end: `warm_up` and `duration`, and a little more for the last answers.
///
/// # Errors
/// If a setting is out of its range, or the sockets or threads cannot be had. A server that is away, or that answers
/// something else, is no error but shows in the report.
pub fn run(options: &Options) -> Result<Report, SimulatorError> {
    options.check()?;
    let template = Template::new(options);
    let threads = options.threads.min(options.connections);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let share = worker::Share::of(options, thread, threads);
                let template = template.clone();
                scope.spawn(move || worker::work(options, &share, template))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join()).collect()
    });
    let mut report = Report { events_per_request: options.events_per_request, ..Report::default() };
    for result in results {
        let died = |_| SimulatorError::setting("threads", "a thread of the load generator panicked");
        report.add(&result.map_err(died)??);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
