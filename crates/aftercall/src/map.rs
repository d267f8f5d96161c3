//! `aftercall map`: what a mapping makes of an event.

use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use routing::Mapping;

use crate::cli::{MapArgs, text_or_file};
use crate::{output, single};

/// Applies a mapping to one event.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<ExitCode> {
    let source = text_or_file(&args.mapping)?;
    let source = String::from_utf8(source).context("the mapping is not UTF-8")?;
    let mapping = Mapping::compile(&source).context("the mapping cannot be used")?;
    let event = single::event(Bytes::from(text_or_file(&args.event)?), "map")?;
    match mapping.apply(&event) {
        Ok(payload) => {
            output::print(&format!("{}\n", String::from_utf8_lossy(&payload)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(output::NO))
        }
    }
}
