//! The server with tens of millions of known identities.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use event::{EventId, Timestamp, content_hash};
use queue::{NewEvent, Publication, Queue as _};
use queue_sqlite::{Options, SqliteQueue};

use super::Bench;
use super::report::{Line, Target};
use crate::server::{Delivery, Setup};
use crate::workplace::Workplace;

const EVENTS_PER_SECOND_MIN: f64 = 20_000.0;
const MEMORY_MB_MAX: f64 = 300.0;
/// Events of one publication while the identities are made.
const PUBLISHED_AT_ONCE: u64 = 4_000;
/// Publications under way at once, so that one is prepared while another is synced.
const UNDER_WAY: usize = 2;
/// Identities between two lines of progress.
const TELL_EVERY: u64 = 5_000_000;
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

/// Publishes so many events, as small as can be, to the queue itself.
fn seed(setup: &Setup, keys: u64) -> Result<()> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("starting the runtime")?;
    let queue = SqliteQueue::open(&Options { dir: setup.data(), queue: queue::Options::default() })?;
    let queue = Arc::new(queue);
    let now = Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    runtime.block_on(async {
        let mut under_way = tokio::task::JoinSet::new();
        let mut first = 0;
        while first < keys {
            let next = (first + PUBLISHED_AT_ONCE).min(keys);
            let (queue, publication) = (Arc::clone(&queue), publication(first..next, now));
            under_way.spawn(async move { queue.publish(publication).await });
            if under_way.len() >= UNDER_WAY
                && let Some(published) = under_way.join_next().await
            {
                published.context("publishing broke off")??;
            }
            if next / TELL_EVERY > first / TELL_EVERY {
                println!("{next} identities after {} s", began.elapsed().as_secs());
            }
            first = next;
        }
        while let Some(published) = under_way.join_next().await {
            published.context("publishing broke off")??;
        }
        queue.close().await.context("closing the queue")
    })
}

fn publication(numbers: std::ops::Range<u64>, now: Timestamp) -> Publication {
    let event = |number: u64| NewEvent {
        id: EventId::from_identity("seed", [number.to_be_bytes().as_slice()]),
        topic: "".into(),
        conversation: None,
        body: Bytes::from_static(b"{}"),
    };
    Publication { source: "seed".into(), received: now, events: numbers.map(event).collect(), content: content_hash }
}
