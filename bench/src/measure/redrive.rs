//! Dead letters by one bad mapping: how long the redrive of all of them takes once it is mended, while the deliveries
//! go on, and what memory it takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup};
use crate::sink::Sink;
use crate::workplace::Workplace;

/// Fails for every event of the load.
const FAULTY: &str = "mapping = '{ externalTag, agent: (.data.agent // error(\"no agent\")) }'\n";
const MENDED: &str = "mapping = '{ externalTag, agent: .data.agentId }'\n";
/// Faster than it can be done.
const RATE: &str = "100000";
/// How long 50,000 may take.
const SECONDS_MAX: f64 = 5.0;
const MEMORY_MB_MAX: f64 = 150.0;
const EVENTS_PER_REQUEST: usize = 100;
/// How long it may take until everything is dead, or delivered.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a megabyte.
const MB: f64 = 1e6;

#[derive(Default)]
struct Figures {
    dry_run: Vec<f64>,
    redrive: Vec<f64>,
    delivered: Vec<f64>,
    memory: Vec<f64>,
}

pub(super) fn measure(bench: &Bench, letters: u64) -> Result<Vec<Line>> {
    let mut figures = Figures::default();
    bench.each_round("redrive", || round(bench, letters, &mut figures))?;
    let Figures { dry_run, redrive, delivered, memory } = figures;
    Ok(vec![
        Line::new(format!("redriving {letters} dead letters"), "s", redrive).wants(Target::AtMost(SECONDS_MAX)),
        Line::new(format!("redriving {letters} dead letters, until all are delivered"), "s", delivered),
        Line::new(format!("a dry run on {letters} dead letters"), "s", dry_run),
        Line::new(format!("resident memory with {letters} dead letters, redriven"), "MB", memory)
            .wants(Target::AtMost(MEMORY_MB_MAX)),
    ])
}

fn round(bench: &Bench, letters: u64, figures: &mut Figures) -> Result<()> {
    let mut sink = Sink::start()?;
    let place = Workplace::make(&bench.work, "redrive")?;
    let mut setup = Setup::new(&bench.binary, place.folder(), Delivery::Crm(sink.address()))?;
    setup.route = FAULTY;
    let mut server = setup.start()?;
    let report = bench.load(setup.intake(), |load| {
        load.events_per_request = EVENTS_PER_REQUEST;
        load.warm_up = Duration::ZERO;
        load.duration = PATIENCE;
        load.requests_max = Some(letters.div_ceil(EVENTS_PER_REQUEST as u64));
    })?;
    let status = server.wait_until_settled(PATIENCE)?;
    let dead = status.number("dead_letters");
    ensure!(dead == report.accepted, "of {} events {dead} are dead letters", report.accepted);
    let groups: serde_json::Value =
        serde_json::from_str(&setup.ask(&["dead-letters", "groups", "--json"])?).context("the groups are not JSON")?;
    let count = groups["groups"].as_array().map_or(0, Vec::len);
    ensure!(count == 1, "{count} groups of dead letters, and not one");

    setup.route = MENDED;
    setup.write_config()?;
    setup.ask(&["reload"])?;
    let began = Instant::now();
    let said = setup.ask(&["redrive", "--all", "--dry-run"])?;
    ensure!(said.starts_with(&format!("{dead} would pass, 0 would fail")), "{said}");
    figures.dry_run.push(began.elapsed().as_secs_f64());

    let began = Instant::now();
    let said = setup.ask(&["redrive", "--all", "--rate", RATE])?;
    figures.redrive.push(began.elapsed().as_secs_f64());
    ensure!(said.starts_with(&format!("{dead} redriven, 0 refused")), "{said}");
    let status = server.wait_until_settled(PATIENCE)?;
    figures.delivered.push(began.elapsed().as_secs_f64());
    let seen = sink.seen()?;
    ensure!((seen.events, seen.requests) == (dead, dead), "of {dead} the CRM has seen {seen:?}");
    ensure!(status.number("dead_letters") == 0, "there are dead letters again");
    figures.memory.push(server.process.memory()?.most as f64 / MB);
    server.stop()
}
