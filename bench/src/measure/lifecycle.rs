//! The whole way: a signed request, durable, delivered to the CRM, settled; beside a relay that keeps nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::report::{Line, Target};
use super::{Bench, micros_each, relay};
use crate::server::Delivery;
use crate::sink::Sink;

/// Of what the relay does.
const RATIO_MIN: f64 = 0.6;
/// A hand-made queue in PostgreSQL does 12,000 to 15,000 on two cores.
const POSTGRES_QUEUE: f64 = 15_000.0;
/// How long it may take until everything is delivered.
const DRAIN: Duration = Duration::from_secs(300);
/// How long between two looks at the CRM.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut relayed, mut own, mut cpu_us) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("lifecycle", || {
        let mut sink = Sink::start()?;
        let relay = relay(sink.address())?;
        let began = Instant::now();
        let sent = send(bench, relay.address)?;
        relayed.push(sent as f64 / until_delivered(&mut sink, sent, began)?.as_secs_f64());
        drop((relay, sink));

        let mut sink = Sink::start()?;
        let (mut server, intake, _place) = bench.server(Delivery::Crm(sink.address()))?;
        let began = Instant::now();
        let sent = send(bench, intake)?;
        until_delivered(&mut sink, sent, began)?;
        let status = server.wait_until_settled(DRAIN)?;
        own.push(sent as f64 / began.elapsed().as_secs_f64());
        cpu_us.push(micros_each(server.process.cpu(), sent));
        ensure!(status.number("dead_letters") == 0, "there are dead letters");
        server.stop()
    })?;
    Ok(vec![
        Line::new("life-cycle", "events/s", own.clone())
            .beside("relay", &relayed)
            .wants(Target::RatioAtLeast(RATIO_MIN)),
        Line::new("life-cycle, beside a queue in PostgreSQL", "events/s", own).wants(Target::AtLeast(POSTGRES_QUEUE)),
        Line::new("life-cycle, processor time each", "µs", cpu_us),
    ])
}

/// Sends as fast as it is answered; how many events were accepted.
fn send(bench: &Bench, target: SocketAddr) -> Result<u64> {
    let report = bench.load(target, |load| load.warm_up = Duration::ZERO)?;
    // Those that were under way at the end may have been accepted or not, so that the counts below would differ.
    ensure!(report.unanswered == 0, "{} requests had no answer", report.unanswered);
    Ok(report.accepted)
}

/// How long it took until the CRM had them all.
fn until_delivered(sink: &mut Sink, events: u64, began: Instant) -> Result<Duration> {
    loop {
        let seen = sink.seen()?;
        if seen.events >= events {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < DRAIN, "only {} of {events} events have reached the CRM", seen.events);
        std::thread::sleep(LOOK_EVERY);
    }
}
