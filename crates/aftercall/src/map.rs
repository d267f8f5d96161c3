//! `aftercall map`: what a mapping makes of an event.

use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use event::{Event, SourceKind, SplitSettings, Splitter, Timestamp};
use routing::Mapping;

use crate::cli::{MapArgs, text_or_file};
use crate::{output, router};

/// Applies a mapping to one event.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<ExitCode> {
    let source = text_or_file(&args.mapping)?;
    let source = String::from_utf8(source).context("the mapping is not UTF-8")?;
    let mapping = Mapping::compile(&source).context("the mapping cannot be used")?;
    let body = Bytes::from(text_or_file(&args.event)?);
    let mut parts =
        Splitter::new(&SplitSettings::new(SourceKind::Webhook)).split(&body).context("the event cannot be read")?;
    anyhow::ensure!(parts.len() == 1, "that is a batch of {} events; a mapping gets one at a time", parts.len());
    let part = parts.remove(0);
    let event = Event {
        id: part.id,
        source: "map".into(),
        topic: part.topic,
        conversation: part.conversation,
        received: Timestamp::default(),
        conflict_of: None,
        body: part.body,
    };
    match router::apply(&mapping, &event) {
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
