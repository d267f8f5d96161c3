//! The program as functions of AWS Lambda: the real binary, driven by a server of Lambda's runtime interface, against an
//! emulator of what it uses.

use anyhow::Result;

use super::emulator;
use crate::outcome::Outcome;
use crate::repository::Repository;

/// The folder in the target folder in which the emulator runs; made anew each time.
const FOLDER: &str = "functions-test";

/// How many of the tests passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    emulator::tests(repository, FOLDER, "functions")
}
