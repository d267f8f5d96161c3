//! Durable answers per second to requests of one event of 1 KiB, and how long they take at half that load.

use anyhow::Result;

use super::report::{Line, Target};
use super::{Bench, micros_each};
use crate::server::Delivery;
use crate::yardstick::Kind;

/// Connections of the loads.
const CONNECTIONS: [usize; 2] = [64, 512];
/// Of what the raw server does.
const RATIO_MIN: f64 = 0.85;
/// Redis with a stream and `appendfsync always`, the fastest queue that was measured, does this many.
const FASTEST_QUEUE: f64 = 32_000.0;
/// The 99th percentile at half load.
const P99_MS_MAX: f64 = 5.0;

#[derive(Default)]
struct Figures {
    null: Vec<f64>,
    raw: Vec<f64>,
    raw_cpu_us: Vec<f64>,
    raw_p99_ms: Vec<f64>,
    own: Vec<f64>,
    p99_ms: Vec<f64>,
    cpu_us: Vec<f64>,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let mut figures: [Figures; 2] = Default::default();
    bench.each_round("acks", || {
        CONNECTIONS.iter().zip(&mut figures).try_for_each(|(connections, figures)| round(bench, *connections, figures))
    })?;
    let lines = CONNECTIONS.iter().zip(figures).flat_map(|(connections, figures)| lines(*connections, figures));
    Ok(lines.collect())
}

fn round(bench: &Bench, connections: usize, figures: &mut Figures) -> Result<()> {
    let (report, _) = bench.load_yardstick(Kind::Null, |load| load.connections = connections)?;
    figures.null.push(report.requests_per_second());
    let (report, cpu) = bench.load_yardstick(Kind::Raw, |load| load.connections = connections)?;
    figures.raw.push(report.requests_per_second());
    figures.raw_cpu_us.push(micros_each(cpu, report.sent));
    let half = report.requests_per_second() / 2.0;
    let (report, _) = bench.load_yardstick(Kind::Raw, |load| {
        load.connections = connections;
        load.rate = Some(half);
    })?;
    figures.raw_p99_ms.push(report.latency.summary().p99.as_secs_f64() * 1e3);
    let (server, intake, _place) = bench.server(Delivery::None)?;
    let report = bench.load(intake, |load| load.connections = connections)?;
    let rate = report.requests_per_second();
    figures.own.push(rate);
    figures.cpu_us.push(micros_each(server.process.cpu(), report.sent));
    let half = bench.load(intake, |load| {
        load.connections = connections;
        load.rate = Some(rate / 2.0);
    })?;
    figures.p99_ms.push(half.latency.summary().p99.as_secs_f64() * 1e3);
    server.stop()
}

fn lines(connections: usize, figures: Figures) -> Vec<Line> {
    let Figures { null, raw, raw_cpu_us, raw_p99_ms, own, p99_ms, cpu_us } = figures;
    vec![
        Line::new(format!("acks, {connections} connections"), "requests/s", own.clone())
            .beside("raw", &raw)
            .wants(Target::RatioAtLeast(RATIO_MIN)),
        Line::new(format!("acks, {connections} connections, beside other queues"), "requests/s", own.clone())
            .wants(Target::AtLeast(FASTEST_QUEUE)),
        Line::new(format!("acks, {connections} connections, beside storing nothing"), "requests/s", own)
            .beside("null", &null),
        Line::new(format!("acks, {connections} connections, p99 at half load"), "ms", p99_ms)
            .beside("raw", &raw_p99_ms)
            .wants(Target::AtMost(P99_MS_MAX)),
        Line::new(format!("acks, {connections} connections, processor time each"), "µs", cpu_us)
            .beside("raw", &raw_cpu_us),
    ]
}
