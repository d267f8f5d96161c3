//! Runs seeds: `simulation [--seeds N] [--from S]`; `cargo xtask simulate` builds and starts it. A seed that fails prints
//! its last steps and how it is run again.
#![expect(clippy::print_stdout, reason = "a command line tells its results on standard output")]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use simulation::many;

/// Seeds that are run unless a number is given; as many as the tests run.
const SEEDS: u64 = 1_000;

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
    let (mut seeds, mut from) = (SEEDS, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let text = arguments.next().with_context(|| format!("{argument} wants a number"))?;
            text.replace(['_', ','], "").parse().with_context(|| format!("{argument} wants a number, not `{text}`"))
        };
        match argument.as_str() {
            "--seeds" => seeds = number()?,
            "--from" => from = number()?,
            other => bail!("`{other}` is not known; there are --seeds N and --from S"),
        }
    }
    let began = Instant::now();
    let (sum, failed) = many(from, seeds, |found| eprintln!("{found}\n"));
    println!("{sum:#?}");
    println!("{seeds} seeds from {from} took {:.1} s", began.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", seeds - failed);
    Ok(failed == 0)
}
