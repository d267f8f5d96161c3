//! The server with millions of events that wait for a destination that is down: acks, restart, memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup};
use crate::workplace::{Workplace, free_address};

/// Of the acks that an empty queue does.
const RATIO_MIN: f64 = 0.8;
const READY_MS_MAX: f64 = 1_000.0;
const MEMORY_MB_MAX: f64 = 150.0;
const EVENTS_PER_REQUEST: usize = 100;
/// Longer than filling takes.
const FILL_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of a megabyte.
const MB: f64 = 1e6;

#[derive(Default)]
struct Figures {
    empty: Vec<f64>,
    full: Vec<f64>,
    ready_ms: Vec<f64>,
    memory_mb: Vec<f64>,
}

pub(super) fn measure(bench: &Bench, events: u64) -> Result<Vec<Line>> {
    // Nobody listens there, so every attempt is refused at once.
    let down = free_address()?;
    let place = Workplace::make(&bench.work, "backlog")?;
    let setup = Setup::new(&bench.binary, place.folder(), Delivery::Crm(down))?;
    fill(bench, &setup, events)?;
    let mut figures = Figures::default();
    bench.each_round("backlog", || round(bench, &setup, down, &mut figures))?;
    let Figures { empty, full, ready_ms, memory_mb } = figures;
    Ok(vec![
        Line::new(format!("acks with {events} waiting"), "requests/s", full)
            .beside("empty", &empty)
            .wants(Target::RatioAtLeast(RATIO_MIN)),
        Line::new(format!("ready after kill -9 with {events} waiting"), "ms", ready_ms)
            .wants(Target::AtMost(READY_MS_MAX)),
        Line::new(format!("resident memory with {events} waiting"), "MB", memory_mb)
            .wants(Target::AtMost(MEMORY_MB_MAX)),
    ])
}

fn fill(bench: &Bench, setup: &Setup, events: u64) -> Result<()> {
    let began = Instant::now();
    let server = setup.start()?;
    let report = bench.load(setup.intake(), |load| {
        load.events_per_request = EVENTS_PER_REQUEST;
        load.warm_up = Duration::ZERO;
        load.duration = FILL_MAX;
        load.requests_max = Some(events.div_ceil(EVENTS_PER_REQUEST as u64));
    })?;
    ensure!(report.accepted >= events, "only {} of {events} events were accepted", report.accepted);
    println!("{} events wait after {} s", report.accepted, began.elapsed().as_secs());
    server.kill()
}

fn round(bench: &Bench, full: &Setup, down: SocketAddr, figures: &mut Figures) -> Result<()> {
    let (server, intake, _place) = bench.server(Delivery::Crm(down))?;
    figures.empty.push(bench.load(intake, |_| {})?.requests_per_second());
    server.kill()?;

    // The round before, or the filling, has killed it.
    let mut server = full.spawn()?;
    figures.ready_ms.push(server.wait_until_ready()?.as_secs_f64() * 1e3);
    figures.full.push(bench.load(full.intake(), |_| {})?.requests_per_second());
    figures.memory_mb.push(server.process.memory()?.most as f64 / MB);
    server.kill()
}
