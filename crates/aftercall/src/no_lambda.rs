//! `aftercall lambda` in a build that cannot do it: says so.

use std::process::ExitCode;

/// Never: such a build is no function.
pub(crate) fn is_wanted() -> bool {
    false
}

/// Refuses.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "this build of aftercall is no function of AWS Lambda; use one with the cargo feature `lambda`: cargo build --release \
         --features lambda"
    )
}
