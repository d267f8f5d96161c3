//! The queue on AWS: the conformance suite, faults at every request, and several servers side by side, against an emulator
//! of DynamoDB.

use anyhow::Result;

use super::emulator::{self, Emulator};
use crate::cargo::{self, cargo};
use crate::outcome::Outcome;
use crate::repository::Repository;

/// The folder in the target folder in which the emulator runs; made anew each time.
const FOLDER: &str = "aws-queue-test";
/// How the tests know where the emulator listens.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";

/// How many of the tests passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    let emulator = Emulator::start(&emulator::folder(FOLDER)?)?;
    let mut tests = cargo(repository);
    tests.args(["test", "--workspace", "--all-features", "--no-fail-fast", "--test", "emulated"]);
    tests.env(ENDPOINT, format!("http://{}", emulator.address));
    let mut sum = Outcome::default();
    let status = cargo::run(&mut tests, |line| {
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
