//! What developers run: `cargo xtask tidy`, `test`, `simulate`, `torture`, `bench` and `fuzz`.
//!
//! It stays light, because everything waits for it to be built: what measures and tortures is the crate `bench`, which
//! this builds and starts.
#![expect(clippy::print_stdout, reason = "a command line tells its results on standard output")]

mod cargo;
mod fuzz;
mod outcome;
mod repository;
mod test;
mod tidy;
mod trial;

use std::process::ExitCode;

use anyhow::{Result, bail};
use repository::Repository;

const HELP: &str = "\
cargo xtask COMMAND

  tidy                  Checks what the compiler cannot: crate arrows, file sizes, module headers, banned calls, links.
  test [PART]...        Everything that must hold: installs what the tests need, runs all tests, the pattern cases
                        through the binary, the admin API against its description, the archive, queues, the queue on AWS,
                        its template, functions, Parquet files and object stores against emulators, and 20 kills. The
                        last line is `N passed, N failed`. With names only these parts: tests, cases, api, archive,
                        queues, aws-queue, aws-template, functions, lake, stores, kills.
  simulate [--seeds N] [--from S]
                        Runs N seeds (default 1,000) of the whole pipeline in virtual time with faults of all kinds, the
                        first of them S (default 0). One that fails prints its last steps, and how it is run again.
  simulate --outage HOURS [--rate R]
                        One outage of the destination with R events a second (default 200) on the embedded queue:
                        nothing may die, be lost, or make memory grow. Four hours at 200/s take some minutes.
  torture [--kills N] [--seed S] [--rate EVENTS_PER_SECOND] [--dev]
                        Kills the real server N times (default 20) under load, and checks that nothing that was
                        acknowledged is lost, doubled or out of order. --dev takes the development build.
  bench [WHAT] [--rounds 3] [--seconds S] [--json FILE] [--events N] [--keys N] [--letters N] [--requests N]
                        Measures against yardsticks in the same run, and writes target/bench.json. WHAT is one of
                          acks, batches, lifecycle, latency, patterns    under a few minutes each
                          all (default)                                  these five
                          trouble    beside one event in 1,000 that never passes, and beside a destination that is down
                          redrive    50,000 dead letters by one bad mapping, or as many as --letters says
                          analytics  outcomes in Parquet files and PostgreSQL from a queue with --outcomes N, default
                                     1,000,000, in it, and what access tokens cost: some 3 GB of disk, a minute a round
                          backlog    with N events waiting, default 5,000,000: some 8 GB of disk, three minutes
                          dedupe     with N known identities, default 50,000,000: some 2 GB of disk, two minutes
                          functions  the program as a function of AWS Lambda: size, start, memory, and what an event
                                     costs `ingest`, against an emulator that this starts
                          flood      N requests with bad signatures, default 1,000,000, beside genuine ones: two minutes
                                     a round
  fuzz [TARGET]... [--runs N]
                        Throws N inputs (default 1,000,000) at each fuzz target: bodies, envelopes, outcomes, patterns,
                        signatures.
  help                  This text.

Every command exits with 1 when something is wrong, and says what to do about it.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; whether all was well.
fn run(arguments: &[String]) -> Result<bool> {
    let (command, rest) = arguments.split_first().map_or(("help", arguments), |(first, rest)| (first.as_str(), rest));
    match command {
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return Ok(true);
        }
        "tidy" if !rest.is_empty() => bail!("`{command}` takes no arguments, but got `{}`", rest.join(" ")),
        _ => {}
    }
    let repository = Repository::find()?;
    match command {
        "tidy" => tidy::run(&repository),
        "test" => test::run(&repository, rest),
        "simulate" => trial::simulate(&repository, rest),
        "torture" => trial::torture(&repository, rest),
        "bench" => trial::bench(&repository, rest),
        "fuzz" => fuzz::run(&repository, rest),
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}
