//! Durable events per second in requests of 100.

use anyhow::Result;

use super::Bench;
use super::report::{Line, Target};
use crate::server::Delivery;
use crate::yardstick::Kind;

const EVENTS_PER_REQUEST: usize = 100;
const EVENTS_PER_SECOND_MIN: f64 = 100_000.0;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut raw, mut own) = (Vec::new(), Vec::new());
    bench.each_round("batches", || {
        let (report, _) = bench.load_yardstick(Kind::Raw, |load| load.events_per_request = EVENTS_PER_REQUEST)?;
        raw.push(report.events_per_second());
        let (server, intake, _place) = bench.server(Delivery::None)?;
        let report = bench.load(intake, |load| load.events_per_request = EVENTS_PER_REQUEST)?;
        own.push(report.events_per_second());
        server.stop()
    })?;
    Ok(vec![
        Line::new("batches of 100", "events/s", own).beside("raw", &raw).wants(Target::AtLeast(EVENTS_PER_SECOND_MIN)),
    ])
}
