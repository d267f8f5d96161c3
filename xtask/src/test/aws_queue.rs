//! The queue on AWS: the conformance suite, faults at every request, and several servers side by side, against an emulator
//! of DynamoDB.

use anyhow::Result;

use super::emulator;
use crate::outcome::Outcome;
use crate::repository::Repository;

/// The folder in the target folder in which the emulator runs; made anew each time.
const FOLDER: &str = "aws-queue-test";

/// How many of the tests passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    emulator::tests(repository, FOLDER, "emulated")
}
