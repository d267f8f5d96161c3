//! Making an outcome of an event, and writing it as JSON, on one core.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use event::{Event, Outcome, SourceKind, SplitSettings, Splitter, Timestamp};

use super::super::Bench;
use super::super::report::Line;

/// An after-call-work event of an invented organisation, as EventBridge delivers it.
const ACW: &str = include_str!("acw_event.json");
/// A post-call analysis of an invented call, as a webhook delivers it.
const WEBHOOK: &str = include_str!("analysis_webhook.json");
/// How long each is measured.
const LASTS: Duration = Duration::from_secs(1);
/// Outcomes between two looks at the clock.
const TIMES: u32 = 1_000;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut acw, mut webhook) = (Vec::new(), Vec::new());
    bench.each_round("outcomes", || {
        acw.push(rate(&event(ACW)?));
        webhook.push(rate(&event(WEBHOOK)?));
        Ok(())
    })?;
    Ok(vec![
        Line::new("outcomes made and written as JSON on one core, of events of EventBridge", "outcomes/s", acw),
        Line::new("the same, of analyses by webhook", "outcomes/s", webhook),
    ])
}

fn event(text: &'static str) -> Result<Event> {
    let body = Bytes::from_static(text.trim().as_bytes());
    let mut parts = Splitter::new(&SplitSettings::new(SourceKind::Webhook)).split(&body)?.into_iter();
    let part = parts.next().context("the body has no event")?;
    Ok(Event {
        id: part.id,
        source: Arc::from("genesys"),
        topic: part.topic,
        conversation: part.conversation,
        received: Timestamp::from_millis(1_777_887_082_415),
        conflict_of: None,
        body: part.body,
    })
}

fn rate(event: &Event) -> f64 {
    let (mut json, mut count) = (String::new(), 0_u64);
    let began = Instant::now();
    while began.elapsed() < LASTS {
        for _ in 0..TIMES {
            json.clear();
            Outcome::of(black_box(event)).write_json(&mut json);
        }
        count += u64::from(TIMES);
    }
    count as f64 / began.elapsed().as_secs_f64()
}
