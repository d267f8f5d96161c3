//! What analysts get: outcomes in Parquet files and rows in PostgreSQL, from a queue that is full; and what the access tokens
//! for the platform cost, which outcomes are completed from.

mod lake;
mod outcomes;
mod postgres;
mod tokens;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use super::report::Line;
use crate::server::{Server, Setup, Status};

const EVENTS_PER_REQUEST: usize = 100;
/// Longer than filling takes.
const FILL_MAX: Duration = Duration::from_secs(3_600);
/// How long delivering may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long between two looks at how much is written.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is measured lies between these shares of the events: neither the start nor the last, half-full file counts.
const SHARES: (f64, f64) = (0.1, 0.9);

pub(super) fn measure(bench: &Bench, outcomes: u64) -> Result<Vec<Line>> {
    Ok([
        outcomes::measure(bench)?,
        lake::measure(bench, outcomes)?,
        postgres::measure(bench, outcomes)?,
        tokens::measure(bench)?,
    ]
    .concat())
}

/// Fills the queue of a server whose destination is paused.
fn fill(bench: &Bench, setup: &Setup, destination: &str, events: u64) -> Result<()> {
    setup.ask(&["pause", destination])?;
    let report = bench.load(setup.intake(), |load| {
        load.events_per_request = EVENTS_PER_REQUEST;
        load.warm_up = Duration::ZERO;
        load.duration = FILL_MAX;
        load.requests_max = Some(events.div_ceil(EVENTS_PER_REQUEST as u64));
    })?;
    ensure!(report.accepted >= events, "only {} of {events} events were accepted", report.accepted);
    Ok(())
}

/// Lets the deliveries go, and says how many a second are `done` while most of them are.
fn drain(
    setup: &Setup,
    server: &mut Server,
    destination: &str,
    events: u64,
    done: impl Fn(&Status) -> u64,
) -> Result<f64> {
    setup.ask(&["resume", destination])?;
    let deadline = Instant::now() + PATIENCE;
    let (mut first, mut last) = (None, None);
    while last.is_none() {
        server.ensure_running()?;
        let (at, status) = (Instant::now(), server.status()?);
        ensure!(status.number("dead_letters") == 0, "there are dead letters");
        let done = done(&status);
        if first.is_none() && done as f64 >= events as f64 * SHARES.0 {
            first = Some((at, done));
        } else if done as f64 >= events as f64 * SHARES.1 {
            last = Some((at, done));
        }
        ensure!(Instant::now() < deadline, "{done} of {events} are done after {} s", PATIENCE.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
    let ((from, few), (to, many)) = first.zip(last).unwrap_or(((deadline, 0), (deadline, 0)));
    ensure!(to > from, "everything was done between two looks: measure with more events");
    Ok((many - few) as f64 / to.duration_since(from).as_secs_f64())
}
