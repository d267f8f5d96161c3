//! Runs seeds: `simulation [--seeds N] [--from S]`; `cargo xtask simulate` builds and starts it. A seed that fails prints
//! its last steps and how it is run again. `simulation --outage HOURS [--rate EVENTS_PER_SECOND]` plays one long outage
//! instead, and says whether anything was lost, died or grew.
#![expect(clippy::print_stdout, reason = "a command line tells its results on standard output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use simulation::{Outage, many, outage};

/// Seeds that are run unless a number is given; as many as the tests run.
const SEEDS: u64 = 1_000;
/// Events per second in an outage, unless a number is given.
const RATE: f64 = 200.0;
/// The outage begins after, and events go on for, so long.
const BESIDE: Duration = Duration::from_secs(60);
/// Over how many conversations its events are spread.
const CONVERSATIONS: u32 = 5_000;
/// Bytes by which the memory of the second half may exceed that of the first: caches that fill up.
const GROWTH_MAX: u64 = 16 << 20;
/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let (mut seeds, mut from, mut hours, mut rate) = (SEEDS, 0, None, RATE);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<f64> {
            let text = arguments.next().with_context(|| format!("{argument} wants a number"))?;
            let number = text.replace(['_', ','], "").parse().ok().filter(|number: &f64| number.is_finite());
            let number = number.filter(|number| *number >= 0.0);
            number.with_context(|| format!("{argument} wants a number, not `{text}`"))
        };
        // Seeds and hours of any use are far below what a float holds exactly.
        match argument.as_str() {
            "--seeds" => seeds = number()? as u64,
            "--from" => from = number()? as u64,
            "--outage" => hours = Some(number()?),
            "--rate" => rate = number()?,
            other => bail!("`{other}` is not known; there are --seeds N and --from S, or --outage HOURS and --rate R"),
        }
    }
    match hours {
        Some(hours) => one_outage(hours, rate),
        None => Ok(many_seeds(seeds, from)),
    }
}

fn many_seeds(seeds: u64, from: u64) -> bool {
    let began = Instant::now();
    let (sum, failed) = many(from, seeds, |found| eprintln!("{found}\n"));
    println!("{sum:#?}");
    println!("{seeds} seeds from {from} took {:.1} s", began.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", seeds - failed);
    failed == 0
}

/// An outage of so many hours with so many events a second, on the embedded queue; whether nothing died or grew. What is
/// lost or out of order is an error.
fn one_outage(hours: f64, rate: f64) -> Result<bool> {
    ensure!(hours > 0.0 && rate > 0.0, "--outage and --rate want numbers above 0");
    let lasts = Duration::try_from_secs_f64(hours * 3_600.0).context("--outage wants hours")?;
    let (together, every) = match rate {
        slow if slow < 1.0 => (1, Duration::try_from_secs_f64(1.0 / slow).context("--rate is too small")?),
        fast => (fast as u32, Duration::from_secs(1)),
    };
    let began = Instant::now();
    let conversations = CONVERSATIONS;
    let report = outage(Outage { together, every, begins: BESIDE, lasts, after: BESIDE, conversations })?;
    let [first, second] = report.memory;
    let memory = report.memory.map(|bytes| bytes as f64 / MIB);
    let [(leases, retries), (leases_late, retries_late)] = report.held;
    println!("{hours} hours with {} events took {:.1} s", report.accepted, began.elapsed().as_secs_f64());
    println!("delivered {}, dead {}, attempts that failed {}", report.taken, report.dead.len(), report.failed);
    println!("caught up {:.0} s after the outage", report.caught_up.as_secs_f64());
    println!(
        "leases at most {leases} in its first half, {leases_late} in its second; retries {retries}, {retries_late}"
    );
    println!("memory at most {:.1} MiB in its first half, {:.1} MiB in its second", memory[0], memory[1]);
    Ok(report.dead.is_empty() && report.taken == report.accepted && second <= first + GROWTH_MAX)
}
