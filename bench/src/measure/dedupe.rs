//! The server with tens of millions of known identities.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use event::Timestamp;
use queue_sqlite::Options;

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup};
use crate::workplace::Workplace;

const EVENTS_PER_SECOND_MIN: f64 = 20_000.0;
const MEMORY_MB_MAX: f64 = 300.0;
/// Bytes of a megabyte.
const MB: f64 = 1e6;

pub(super) fn measure(bench: &Bench, keys: u64) -> Result<Vec<Line>> {
    let place = Workplace::make(&bench.work, "dedupe")?;
    let setup = Setup::new(&bench.binary, place.folder(), Delivery::None)?;
    seed(&setup, keys)?;
    let (mut fresh, mut again, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let mut ready_ms = Vec::new();
    bench.each_round("dedupe", || {
        let mut server = setup.spawn()?;
        ready_ms.push(server.wait_until_ready()?.as_secs_f64() * 1e3);
        let known = server.status()?.number("identities");
        ensure!(known >= keys, "only {known} of {keys} identities are known");
        let mut run = 0;
        let report = bench.load(setup.intake(), |load| run = load.run)?;
        ensure!(report.duplicates == 0, "{} new events were called duplicates", report.duplicates);
        fresh.push(report.events_per_second());
        let report = bench.load(setup.intake(), |load| load.run = run)?;
        ensure!(report.duplicates > 0, "events that were sent again were not recognised");
        again.push(report.events_per_second());
        memory.push(server.process.memory()?.most as f64 / MB);
        server.stop()
    })?;
    Ok(vec![
        Line::new(format!("new events with {keys} identities"), "events/s", fresh)
            .wants(Target::AtLeast(EVENTS_PER_SECOND_MIN)),
        Line::new(format!("duplicates with {keys} identities"), "events/s", again),
        Line::new(format!("resident memory with {keys} identities"), "MB", memory).wants(Target::AtMost(MEMORY_MB_MAX)),
        Line::new(format!("ready with {keys} identities"), "ms", ready_ms),
    ])
}

/// Makes so many identities known, received now.
fn seed(setup: &Setup, keys: u64) -> Result<()> {
    let began = Instant::now();
    let now = Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let options = Options::new(setup.data());
    queue_sqlite::seed_identities(&options, keys, now)?;
    println!("{keys} identities after {} s", began.elapsed().as_secs());
    Ok(())
}
