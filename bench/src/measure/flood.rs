//! A flood of requests with bad signatures beside genuine ones: what is left to the genuine, of all and of their share.
//!
//! Whoever refuses a request has to read it and to compute its signature, and on one machine the flood's sender takes
//! processor time too. So two ratios are told, both to the rate of genuine requests alone, with the same 64 connections:
//!
//! - *of all*: as it is, with the flood's sender and the refusals on the same cores;
//! - *of its share*: to that part of the rate alone which the flood leaves of the machine. What it takes is the time of
//!   its sender, which is measured, and that of the refusals: their number in the time, times what one takes when the
//!   server does nothing else. That says whether a flood costs genuine traffic more than its processor time: by waiting
//!   for locks, for the disk, for the quarantine. It holds only on a machine that is otherwise idle: what else runs
//!   there takes more of it the more is wanted, and is not taken off.
//!
//! Beside that everything is checked that must hold: each bad request is answered 401, each genuine one is accepted and no
//! duplicate, and the queue holds exactly the genuine ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use simulator::client::Auth;
use simulator::load;
use simulator::sign::{Scheme, Signer};

use super::report::{Line, Target};
use super::{Bench, WARM_UP, micros_each};
use crate::server::{Delivery, Server};

/// Of the rate alone, on what the flood leaves of the machine.
const SHARE_RATIO_MIN: f64 = 0.8;
/// Bad requests per second: what two cores refuse in about a third of their time, generator included.
const FLOOD_RATE: f64 = 25_000.0;
/// What the flood may add to resident memory: 24 MiB on their way to the quarantine, buffers of connections, and what
/// the allocator keeps of all that.
const MEMORY_MB_MAX: f64 = 64.0;
/// The quarantine keeps 10,000 requests of a source, here of 1.4 KB; the file has indexes and a log of its own.
const DISK_MB_MAX: f64 = 64.0;
/// Bad requests that are timed without genuine ones: a part of all.
const ALONE_PART: u64 = 5;
const FLOOD_MAX: Duration = Duration::from_secs(3_600);
/// The load of genuine requests ends a little before the flood.
const MARGIN: Duration = Duration::from_secs(3);
const MB: f64 = 1e6;

#[derive(Default)]
struct Figures {
    alone: Vec<f64>,
    beside: Vec<f64>,
    share: Vec<f64>,
    refusal_us: Vec<f64>,
    memory_mb: Vec<f64>,
    disk_mb: Vec<f64>,
}

pub(super) fn measure(bench: &Bench, requests: u64) -> Result<Vec<Line>> {
    let mut figures = Figures::default();
    bench.each_round("flood", || round(bench, requests, &mut figures))?;
    let Figures { alone, beside, share, refusal_us, memory_mb, disk_mb } = figures;
    let name = |what: &str| format!("flood of {requests} bad signatures, {what}");
    Ok(vec![
        Line::new(name("genuine acks"), "requests/s", beside.clone()).beside("alone", &alone),
        Line::new(name("genuine acks on their share of the cores"), "requests/s", beside)
            .beside("alone on as much", &share)
            .wants(Target::RatioAtLeast(SHARE_RATIO_MIN)),
        Line::new(name("processor time of a refusal"), "µs", refusal_us),
        Line::new(name("growth of resident memory"), "MB", memory_mb).wants(Target::AtMost(MEMORY_MB_MAX)),
        Line::new(name("size of the quarantine"), "MB", disk_mb).wants(Target::AtMost(DISK_MB_MAX)),
    ])
}

fn round(bench: &Bench, requests: u64, figures: &mut Figures) -> Result<()> {
    let (server, intake, place) = bench.server(Delivery::None)?;
    let lasts = Duration::from_secs_f64(requests as f64 / FLOOD_RATE);
    let duration = lasts.saturating_sub(WARM_UP + MARGIN);
    ensure!(!duration.is_zero(), "a flood of {requests} requests is over too soon; use at least 125,000");
    let alone = bench.load(intake, |load| load.duration = duration)?;
    let refusal = refusal_alone(&server, intake, requests / ALONE_PART)?;
    let memory_before = server.process.memory()?.now;
    let accepted_before = server.status()?.number("accepted");

    let began = Instant::now();
    let flooding = std::thread::spawn(move || flood(intake, requests, Some(FLOOD_RATE)));
    let genuine = bench.load(intake, |load| load.duration = duration)?;
    let genuine_lasted = began.elapsed();
    let flooded = flooding.join().map_err(|_| anyhow::anyhow!("the flood's thread has panicked"))??;
    let flood_lasted = began.elapsed();
    ensure!(flood_lasted >= genuine_lasted, "the flood was over before the load was; use more requests");

    ensure!(genuine.duplicates == 0, "{} genuine events were taken for known", genuine.duplicates);
    let accepted = server.status()?.number("accepted") - accepted_before;
    // Those without an answer at the end may have been accepted or not.
    ensure!(
        (genuine.accepted..=genuine.accepted + genuine.unanswered).contains(&accepted),
        "the queue took {accepted} events, and {} were acknowledged",
        genuine.accepted
    );
    let cores = std::thread::available_parallelism().context("counting the cores")?.get() as f64;
    let machine = flood_lasted.as_secs_f64() * cores;
    let taken = flooded.cpu.as_secs_f64() + refusal.as_secs_f64() * requests as f64;
    let left = (1.0 - taken / machine).max(0.0);
    ensure!(left > 0.0, "the flood took all of the machine; no share is left to compare with");
    figures.alone.push(alone.requests_per_second());
    figures.share.push(alone.requests_per_second() * left);
    figures.beside.push(genuine.requests_per_second());
    figures.refusal_us.push(refusal.as_secs_f64() * 1e6);
    figures.memory_mb.push(server.process.memory()?.most.saturating_sub(memory_before) as f64 / MB);
    figures.disk_mb.push(quarantine_bytes(place.folder())? as f64 / MB);
    server.stop()
}

/// What one refusal takes of the server when it does nothing else.
fn refusal_alone(server: &Server, intake: SocketAddr, requests: u64) -> Result<Duration> {
    let before = server.process.cpu();
    flood(intake, requests, None)?;
    let micros = micros_each(server.process.cpu().saturating_sub(before), requests);
    Ok(Duration::from_secs_f64(micros / 1e6))
}

/// Sends so many requests that are signed with another secret.
fn flood(target: SocketAddr, requests: u64, rate: Option<f64>) -> Result<load::Report> {
    let options = load::Options {
        auth: Auth::Signed(Signer::new(Scheme::Genesys, "guessed")?),
        requests_max: Some(requests),
        rate,
        warm_up: Duration::ZERO,
        duration: FLOOD_MAX,
        ..load::Options::new(target)
    };
    let report = load::run(&options)?;
    ensure!(
        (report.other, report.other_status, report.unanswered) == (requests, Some(401), 0),
        "of {requests} bad requests {} were answered {:?}, {} with success, {} not at all",
        report.other,
        report.other_status,
        report.ok,
        report.unanswered
    );
    Ok(report)
}

fn quarantine_bytes(folder: &std::path::Path) -> Result<u64> {
    let files = ["quarantine.db", "quarantine.db-wal"].map(|name| folder.join("data").join(name));
    files.iter().try_fold(0, |sum, file| {
        let bytes = std::fs::metadata(file).with_context(|| format!("looking at {}", file.display()))?.len();
        Ok(sum + bytes)
    })
}
