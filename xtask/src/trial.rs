//! Builds the server and the crate `bench`, and starts the latter; or the simulation, which needs no server.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;
use crate::test::emulator::{self, Emulator};

/// What the function of AWS Lambda is measured with, in the folder of `aftercall`.
const FUNCTION_FIGURES: [&str; 2] = ["function_start", "function_ingest"];
/// The folder in the target folder in which the emulator runs meanwhile; made anew each time.
const FUNCTION_FOLDER: &str = "functions-bench";

/// `cargo xtask torture`.
pub(crate) fn torture(repository: &Repository, arguments: &[String]) -> Result<bool> {
    let profile = if arguments.iter().any(|argument| argument == "--dev") { Profile::Dev } else { Profile::Release };
    let passed_on = arguments.iter().filter(|argument| *argument != "--dev").map(String::as_str);
    let outcome = kill(repository, profile, passed_on)?;
    Ok(outcome.failed == 0)
}

/// Tortures the server of a profile; how many kills it stood, and what was wrong.
pub(crate) fn kill<'a>(
    repository: &Repository,
    profile: Profile,
    arguments: impl Iterator<Item = &'a str>,
) -> Result<Outcome> {
    let mut command = prepare(repository, profile, "torture")?;
    let mut outcome = None;
    let status = cargo::run(command.args(arguments), |line| outcome = Outcome::of_summary(line).or(outcome))?;
    let outcome = outcome.unwrap_or_default();
    Ok(if status.success() || outcome.failed > 0 { outcome } else { Outcome::ONE_FAILED })
}

/// `cargo xtask bench`.
pub(crate) fn bench(repository: &Repository, arguments: &[String]) -> Result<bool> {
    if arguments.first().is_some_and(|what| what == "functions") {
        return bench_functions(repository);
    }
    let mut command = prepare(repository, Profile::Release, "measure")?;
    let status = command.args(arguments).status().context("the benchmark cannot be started")?;
    Ok(status.success())
}

/// What the program costs as a function of AWS Lambda, against an emulator of the table.
fn bench_functions(repository: &Repository) -> Result<bool> {
    let emulator = Emulator::start(&emulator::folder(FUNCTION_FOLDER)?)?;
    let build = |command: &mut Command| -> Result<bool> {
        let options = ["--release", "--package", "aftercall", "--features", "lambda"];
        Ok(command.args(options).status().context("cargo cannot be started")?.success())
    };
    let mut went_well = build(cargo::cargo(repository).args(["build", "--bins"]))?;
    for example in FUNCTION_FIGURES {
        let mut run = cargo::cargo(repository);
        run.args(["run", "--example", example]).env("AWS_ENDPOINT_URL", format!("http://{}", emulator.address));
        went_well = went_well && build(&mut run)?;
    }
    Ok(went_well)
}

/// `cargo xtask simulate`.
pub(crate) fn simulate(repository: &Repository, arguments: &[String]) -> Result<bool> {
    cargo::build(repository, Profile::Release, &["simulation"])?;
    let mut command = Command::new(cargo::binary(Profile::Release, "simulation")?);
    let status = command.args(arguments).status().context("the simulation cannot be started")?;
    Ok(status.success())
}

/// The `bench` binary with one of its commands, both it and the server built.
fn prepare(repository: &Repository, profile: Profile, what: &str) -> Result<Command> {
    cargo::build(repository, profile, &["aftercall", "bench"])?;
    let mut command = Command::new(cargo::binary(profile, "bench")?);
    command
        .current_dir(repository.root())
        .arg(what)
        .arg("--aftercall")
        .arg(cargo::binary(profile, "aftercall")?)
        .arg("--work")
        .arg(cargo::target_dir()?);
    Ok(command)
}
