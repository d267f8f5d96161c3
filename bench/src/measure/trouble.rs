//! How fast the others are beside what goes wrong: one event in a thousand that the CRM never takes, and a second
//! destination that is down. Both beside the same server without it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup};
use crate::sink::Sink;
use crate::workplace::free_address;

/// Of what it does when nothing is wrong.
const RATIO_MIN: f64 = 0.95;
/// One event in so many is never taken.
const POISON_EVERY: u64 = 1_000;
/// The time counts until so large a share of the events is at the CRM: what is poison never comes, and what is behind it
/// in its conversation comes when it is dead.
const SHARE: f64 = 0.99;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long between two looks at the CRM.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut well, mut poisoned, mut beside_dead) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("trouble", || {
        well.push(events_per_second(bench, 0, |_| {})?);
        poisoned.push(events_per_second(bench, POISON_EVERY, |_| {})?);
        // Nobody listens there, so every attempt is refused at once.
        let down = free_address()?;
        let more = format!(
            "[destinations.down]\nkind = \"http\"\nurl = \"http://{down}/\"\n[[routes]]\ndestination = \"down\"\n"
        );
        beside_dead.push(events_per_second(bench, 0, |setup| setup.more = more)?);
        Ok(())
    })?;
    let line = |name: &str, values| {
        Line::new(name, "events/s", values).beside("all well", &well).wants(Target::RatioAtLeast(RATIO_MIN))
    };
    Ok(vec![
        line("life-cycle, one in 1,000 answered 503 for ever", poisoned),
        line("life-cycle, a second destination down", beside_dead),
    ])
}

/// From the first request until nearly everything is at the CRM.
fn events_per_second(bench: &Bench, reject_every: u64, set: impl FnOnce(&mut Setup)) -> Result<f64> {
    let mut sink = Sink::rejecting(reject_every)?;
    let (server, intake, _place) = bench.server_with(Delivery::Crm(sink.address()), set)?;
    let began = Instant::now();
    let report = bench.load(intake, |load| load.warm_up = Duration::ZERO)?;
    let wanted = report.accepted as f64 * SHARE;
    while (sink.seen()?.events as f64) < wanted {
        ensure!(began.elapsed() < PATIENCE, "only {} of {} events came", sink.seen()?.events, report.accepted);
        std::thread::sleep(LOOK_EVERY);
    }
    let rate = wanted / began.elapsed().as_secs_f64();
    // What is left is not waited for.
    server.kill()?;
    Ok(rate)
}
