//! An event that is given on the command line, as a webhook would bring it.

use anyhow::Context;
use bytes::Bytes;
use event::{Event, SourceKind, SplitSettings, Splitter, Timestamp};

/// The one event that the body is, received in the beginning of 1970.
pub(crate) fn event(body: Bytes, source: &str) -> anyhow::Result<Event> {
    let splitter = Splitter::new(&SplitSettings::new(SourceKind::Webhook));
    let mut parts = splitter.split(&body).context("the event cannot be read")?;
    anyhow::ensure!(parts.len() == 1, "that is a batch of {} events; take one at a time", parts.len());
    let part = parts.remove(0);
    Ok(Event {
        id: part.id,
        source: source.into(),
        topic: part.topic,
        conversation: part.conversation,
        received: Timestamp::default(),
        conflict_of: None,
        body: part.body,
    })
}
