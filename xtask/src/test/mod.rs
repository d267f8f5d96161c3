//! `cargo xtask test`: everything that must hold, in the order of what fails soonest.
//!
//! Works on a fresh machine: what the tests need besides Rust is installed first.

mod api;
mod aws;
mod aws_queue;
mod aws_template;
mod clouds;
pub(crate) mod emulator;
mod functions;
mod lake;
mod needs;
mod proxy;
mod s3;
mod tool;

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cargo::{self, Profile, cargo};
use crate::outcome::Outcome;
use crate::repository::Repository;
use crate::trial;

/// The pattern cases of known answer.
const CASES: &str = "crates/routing/tests/fixtures/cases.jsonl";
/// Kills in a run of the tests: some seconds, and enough to meet each kind of moment.
const KILLS: &str = "20";

/// A part of the tests.
type Step = fn(&Repository) -> Result<Outcome>;

/// All parts: how each is called on the command line, and what it is.
const STEPS: [(&str, &str, Step); 11] = [
    ("tests", "tests", tests),
    ("cases", "pattern cases", cases),
    ("api", "admin API", api::run),
    ("archive", "archive in S3", s3::run),
    ("queues", "queues and buses", aws::run),
    ("aws-queue", "queue on AWS", aws_queue::run),
    ("aws-template", "template for AWS", aws_template::run),
    ("functions", "functions of AWS Lambda", functions::run),
    ("lake", "Parquet files", lake::run),
    ("stores", "object stores", clouds::run),
    ("kills", "kills", kills),
];

/// Runs everything, or the parts that are named, and prints `N passed, N failed` last; whether nothing failed.
pub(crate) fn run(repository: &Repository, wanted: &[String]) -> Result<bool> {
    if let Some(unknown) = wanted.iter().find(|name| !STEPS.iter().any(|(known, ..)| known == name)) {
        let known: Vec<_> = STEPS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no part `{unknown}` of the tests; there are {}", known.join(", "));
    }
    let began = Instant::now();
    needs::install()?;
    let mut sum = Outcome::default();
    for (_, name, step) in STEPS.iter().filter(|(name, ..)| wanted.is_empty() || wanted.iter().any(|one| one == name)) {
        println!("\n== {name}");
        let outcome = step(repository).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::ONE_FAILED
        });
        println!("== {name}: {outcome}");
        sum += outcome;
    }
    println!("\n== all of it took {} s", began.elapsed().as_secs());
    println!("{sum}");
    Ok(sum.failed == 0 && sum.passed > 0)
}

/// All tests of the workspace, those in the documentation included.
fn tests(repository: &Repository) -> Result<Outcome> {
    count(&mut cargo_test(repository))
}

/// Runs tests of the workspace, all unless they are named. With all features always, or everything would be built twice.
fn cargo_test(repository: &Repository) -> Command {
    let mut command = cargo(repository);
    command.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command
}

/// How many of the tests passed that cargo runs.
fn count(command: &mut Command) -> Result<Outcome> {
    let mut sum = Outcome::default();
    let status = cargo::run(command, |line| {
        if let Some(outcome) = Outcome::of_test_result(line) {
            sum += outcome;
        }
    })?;
    if !status.success() && sum.failed == 0 {
        // Something did not compile, or a test took the whole process down.
        sum += Outcome::ONE_FAILED;
    }
    Ok(sum)
}

/// The cases through the real binary.
fn cases(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let mut command = Command::new(cargo::binary(Profile::Dev, "aftercall")?);
    command.current_dir(repository.root()).args(["match", "--cases", CASES]);
    let mut outcome = None;
    let status = cargo::run(&mut command, |line| outcome = Outcome::of_summary(line).or(outcome))?;
    Ok(match outcome {
        Some(outcome) if status.success() == (outcome.failed == 0) => outcome,
        _ => Outcome::ONE_FAILED,
    })
}

fn kills(repository: &Repository) -> Result<Outcome> {
    trial::kill(repository, Profile::Dev, ["--kills", KILLS].into_iter())
}
