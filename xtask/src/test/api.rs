//! The admin API against its own description: schemathesis reads the OpenAPI document of the running server, makes good
//! and bad requests of it, and judges every answer: no 5xx, nothing that is not described, nothing bad taken, nothing
//! good refused.
//!
//! The number of requests is bounded and their seed is fixed, so a run ends by itself and can be repeated.

mod server;

use std::process::Command;

use anyhow::Result;

use self::server::Server;
use super::tool::{self, Tool};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

/// Requests of each operation in a phase, at most: all of it takes some 15 seconds.
const EXAMPLES: &str = "50";
/// Where the requests come from.
const SEED: &str = "1";
/// Seconds that an answer may take: a hung server ends the run, too.
const ANSWER_SECONDS: &str = "10";
/// Failures after which a run ends.
const FAILURES_MAX: &str = "20";
/// What is not judged here. It logs in wrongly once for every operation, which is more than a sender may do at once when
/// there are many; `access.rs` of the end-to-end tests asks every operation without a token and with lesser ones.
const NOT_JUDGED: &str = "ignored_auth";

const SCHEMATHESIS: Tool =
    Tool { name: "schemathesis", program: "st", requirements: include_str!("api/requirements.txt") };

/// How many operations passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let tool = tool::install(&SCHEMATHESIS, &cargo::target_dir()?)?;
    let mut server = Server::start(&cargo::binary(Profile::Dev, "aftercall")?, &cargo::target_dir()?)?;
    let mut command = Command::new(tool);
    command
        // It keeps what it found in the folder in which it runs.
        .current_dir(server.folder())
        .args(["--no-color", "run", &format!("http://{}/api/v1/openapi.json", server.console())])
        .args(["--header", &format!("Authorization: Bearer {}", server.token())])
        .args(["--checks", "all", "--exclude-checks", NOT_JUDGED, "--max-examples", EXAMPLES, "--seed", SEED])
        .args(["--request-timeout", ANSWER_SECONDS, "--max-failures", FAILURES_MAX, "--continue-on-failure"]);
    let mut tested = None;
    let status = cargo::run(&mut command, |line| tested = operations(line).or(tested))?;
    let fault = server.fault();
    if let Some(fault) = &fault {
        eprintln!("error: {fault}");
    }
    Ok(match tested {
        Some(passed) if passed > 0 && status.success() && fault.is_none() => Outcome { passed, failed: 0 },
        _ => Outcome::ONE_FAILED,
    })
}

/// From the line that says how many operations were tested.
fn operations(line: &str) -> Option<u64> {
    line.trim().strip_prefix("Tested: ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_operations_is_understood() {
        assert_eq!(operations("  Tested: 9"), Some(9));
        assert_eq!(operations("  Selected: 9/9"), None);
    }
}
