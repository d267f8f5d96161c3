//! Measures how fast the server is, beside yardsticks that run in the same minutes on the same machine.
//!
//! Each figure is the median of the rounds, and a ratio is the median of the rounds' ratios, so that a machine that is
//! slower today than yesterday, or slower in one round than in the next, changes little.

mod acks;
mod analytics;
mod backlog;
mod batches;
mod dedupe;
mod flood;
mod large;
mod latency;
mod lifecycle;
mod machine;
mod patterns;
mod redrive;
mod report;
mod trouble;

use std::cell::Cell;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use simulator::load;

use crate::Places;
use crate::companion::Companion;
use crate::server::{Delivery, Server, Setup};
use crate::workplace::Workplace;
use crate::yardstick::{self, Kind};
use machine::Machine;
use report::Report;

/// Arguments of `measure`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    places: Places,
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each load lasts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Where to write the report as JSON [default: bench.json in the work folder]
    #[arg(long)]
    json: Option<PathBuf>,
    /// Events that wait while `backlog` is measured
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Outcomes that wait when `analytics` begins
    #[arg(long, default_value_t = 1_000_000)]
    outcomes: u64,
    /// Dead letters that `redrive` is measured with
    #[arg(long, default_value_t = 50_000)]
    letters: u64,
    /// Identities that are known while `dedupe` is measured
    #[arg(long, default_value_t = 50_000_000)]
    keys: u64,
    /// Bad requests of `flood`
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Durable answers to requests of one event
    Acks,
    /// Durable events in requests of 100, and batches of 100 and 300 MB
    Batches,
    /// From the signed request to the settled delivery
    Lifecycle,
    /// How soon an event is at the CRM under light load
    Latency,
    /// Matching patterns on one core
    Patterns,
    /// All of the above, without the large batches
    All,
    /// The speed of the others beside events that never pass, and beside a destination that is down
    Trouble,
    /// Thousands of dead letters, redriven
    Redrive,
    /// Outcomes in Parquet files and rows in PostgreSQL, from a full queue, and what access tokens cost
    Analytics,
    /// The server with a long backlog
    Backlog,
    /// The server with many known identities
    Dedupe,
    /// Genuine requests beside a flood of bad signatures
    Flood,
}

/// Measures, prints a table and writes the report; whether every target is met.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let bench = Bench::new(arguments)?;
    let machine = Machine::look(&bench.work)?;
    println!("{machine}");
    let lines = match arguments.what {
        What::Acks => acks::measure(&bench)?,
        What::Batches => [batches::measure(&bench)?, large::measure(&bench)?].concat(),
        What::Lifecycle => lifecycle::measure(&bench)?,
        What::Latency => latency::measure(&bench)?,
        What::Patterns => patterns::measure(&bench)?,
        What::All => [
            acks::measure(&bench)?,
            batches::measure(&bench)?,
            lifecycle::measure(&bench)?,
            latency::measure(&bench)?,
            patterns::measure(&bench)?,
        ]
        .concat(),
        What::Trouble => trouble::measure(&bench)?,
        What::Redrive => redrive::measure(&bench, arguments.letters)?,
        What::Analytics => analytics::measure(&bench, arguments.outcomes)?,
        What::Backlog => backlog::measure(&bench, arguments.events)?,
        What::Dedupe => dedupe::measure(&bench, arguments.keys)?,
        What::Flood => flood::measure(&bench, arguments.requests)?,
    };
    let report = Report { machine, rounds: bench.rounds, seconds: bench.duration.as_secs(), lines };
    println!("\n{report}");
    let path = arguments.json.clone().unwrap_or_else(|| arguments.places.work.join("bench.json"));
    let json = serde_json::to_vec_pretty(&report.to_json()).context("writing the report")?;
    std::fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(report.lines.iter().all(|line| line.is_met() != Some(false)))
}

/// What every measurement needs.
struct Bench {
    binary: PathBuf,
    work: PathBuf,
    rounds: u32,
    duration: Duration,
    /// The load of each run has ids of its own.
    runs: Cell<u64>,
}

/// How long a load lasts before it counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// One request in so many may stay without an answer: those that are under way when the load ends.
const UNANSWERED_MAX: f64 = 0.01;

impl Bench {
    fn new(arguments: &Arguments) -> Result<Self> {
        Ok(Self {
            binary: std::path::absolute(&arguments.places.aftercall).context("finding the server")?,
            work: std::path::absolute(&arguments.places.work).context("finding the work folder")?,
            rounds: arguments.rounds,
            duration: Duration::from_secs(arguments.seconds),
            runs: Cell::new(0),
        })
    }

    /// Does something once for each round.
    fn each_round(&self, name: &str, mut round: impl FnMut() -> Result<()>) -> Result<()> {
        for number in 1..=self.rounds {
            println!("{name}: round {number} of {}", self.rounds);
            round().with_context(|| format!("{name}, round {number}"))?;
        }
        Ok(())
    }

    /// Sends load, and makes sure that all of it was answered well.
    fn load(&self, target: SocketAddr, set: impl FnOnce(&mut load::Options)) -> Result<load::Report> {
        self.runs.set(self.runs.get() + 1);
        let mut options = load::Options {
            auth: Setup::webhook_auth()?,
            warm_up: WARM_UP,
            duration: self.duration,
            run: self.runs.get(),
            ..load::Options::new(target)
        };
        set(&mut options);
        let report = load::run(&options)?;
        if let Some(status) = report.other_status {
            anyhow::bail!("{} of {} requests were answered {status}", report.other, report.sent);
        }
        ensure!(report.ok > 0, "no request was answered");
        ensure!(
            report.unanswered as f64 <= UNANSWERED_MAX * report.sent as f64,
            "{} of {} requests had no answer",
            report.unanswered,
            report.sent
        );
        Ok(report)
    }

    /// Sends load to a yardstick that lives for it alone; also the processor time that the yardstick took.
    fn load_yardstick(&self, kind: Kind, set: impl FnOnce(&mut load::Options)) -> Result<(load::Report, Duration)> {
        let place = Workplace::make(&self.work, "yardstick")?;
        let yardstick = self.yardstick(kind, place.folder())?;
        let report = self.load(yardstick.address, set)?;
        Ok((report, yardstick.cpu()))
    }

    fn yardstick(&self, kind: Kind, folder: &Path) -> Result<Companion> {
        let file = folder.join("journal");
        yardstick::start(kind, Some(file.as_os_str()).filter(|_| kind == Kind::Raw))
    }

    /// A server on an empty queue.
    fn server(&self, delivery: Delivery) -> Result<(Server, SocketAddr, Workplace)> {
        self.server_with(delivery, |_| {})
    }

    /// The same, set up otherwise.
    fn server_with(&self, delivery: Delivery, set: impl FnOnce(&mut Setup)) -> Result<(Server, SocketAddr, Workplace)> {
        let place = Workplace::make(&self.work, "server")?;
        let mut setup = Setup::new(&self.binary, place.folder(), delivery)?;
        set(&mut setup);
        Ok((setup.start()?, setup.intake(), place))
    }
}

/// The relay that forwards to this CRM.
fn relay(crm: SocketAddr) -> Result<Companion> {
    yardstick::start(Kind::Relay, Some(OsStr::new(&crm.to_string())))
}

/// Microseconds of processor time for each of so many.
fn micros_each(cpu: Duration, count: u64) -> f64 {
    if count == 0 { 0.0 } else { cpu.as_secs_f64() * 1e6 / count as f64 }
}
