//! `cargo xtask fuzz`: builds the targets of `fuzz/` with coverage instrumentation and runs each for a number of inputs.
//!
//! It needs no nightly compiler: the coverage counters are a pass of LLVM's, and the sanitizers that would need one
//! find little in safe Rust.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::repository::Repository;

/// The targets, each a binary of `fuzz/`.
const TARGETS: [&str; 5] = ["bodies", "envelopes", "outcomes", "patterns", "signatures"];
/// Inputs tried with each target.
const RUNS: &str = "1000000";
/// Longest input, in bytes; longer ones are tried by the tests.
const MAX_LEN: &str = "4096";
/// What makes the compiler count edges and comparisons for libFuzzer.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs all targets, or those that are named; `--runs N` says for how many inputs.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<bool> {
    let mut runs = RUNS;
    let mut wanted = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--runs" => runs = rest.next().context("--runs wants a number")?,
            target if TARGETS.contains(&target) => wanted.push(target),
            other => bail!("`{other}` is no fuzz target; there are: {}", TARGETS.join(", ")),
        }
    }
    if wanted.is_empty() {
        wanted.extend(TARGETS);
    }
    let target_dir = cargo::target_dir()?.join("fuzz");
    let host = build(repository, &target_dir)?;
    let mut all_well = true;
    for target in wanted {
        let found = fuzz(&target_dir, &host, &repository.root().join("fuzz/seeds").join(target), target, runs)?;
        all_well &= !found;
    }
    Ok(all_well)
}

/// Builds the targets; returns the name of the machine's kind, which cargo needs so as not to instrument build scripts.
fn build(repository: &Repository, target_dir: &Path) -> Result<String> {
    let version = Command::new("rustc").arg("-vV").output().context("rustc cannot be started")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    let status = cargo::cargo(repository)
        .current_dir(repository.root().join("fuzz"))
        .args(["build", "--release", "--locked", "--target", host])
        .env("CARGO_TARGET_DIR", target_dir)
        .env("RUSTFLAGS", COVERAGE)
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("building the fuzz targets failed; they need a C++ compiler (apt-get install g++)");
    }
    Ok(host.to_owned())
}

/// Runs one target; whether it found something. What it found is left in the target folder.
fn fuzz(target_dir: &Path, host: &str, seeds: &Path, target: &str, runs: &str) -> Result<bool> {
    let corpus = target_dir.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    println!("\n== {target}: {runs} inputs");
    let status = Command::new(target_dir.join(host).join("release").join(target))
        .arg(format!("-runs={runs}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", corpus.display()))
        .arg(&corpus)
        .arg(seeds)
        .status()
        .with_context(|| format!("the fuzz target {target} cannot be started"))?;
    if !status.success() {
        eprintln!("{target} failed; the input is in {} (crash-…): make a test of it", corpus.display());
    }
    Ok(!status.success())
}
