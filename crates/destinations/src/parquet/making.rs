//! Rows, made of what came together, and the texts that the journal keeps of them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use event::{Event, EventId, Outcome};

use super::frame::Record;
use super::held::New;
use super::row::Row;
use crate::{SendError, Took};

/// What a row is made of.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// An event, of which the outcome is made.
    Event(&'a Event),
    /// The outcome of an event as JSON.
    Payload(EventId, &'a [u8]),
}

/// What was made so far.
pub(super) struct Making<'a> {
    /// Without a time of its own a row is in the folder of this.
    now: i64,
    /// Of each new row.
    heads: Vec<Head<'a>>,
    /// The texts of those that were made here, one behind the other.
    texts: String,
    /// What is answered to each delivery once the rows are synced.
    answers: Vec<Result<Took, SendError>>,
}

struct Head<'a> {
    event: EventId,
    time: i64,
    text: Text<'a>,
}

enum Text<'a> {
    Given(&'a [u8]),
    Made(Range<usize>),
}

impl<'a> Making<'a> {
    /// Nothing yet; it is going to be of about so many bytes.
    pub(super) fn new(now: i64, bytes: usize) -> Self {
        Self { now, heads: Vec::new(), texts: String::with_capacity(bytes), answers: Vec::new() }
    }

    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Makes a row, if it can be made, and if its event has none yet, which is asked when the row is made.
    pub(super) fn make(&mut self, given: Given<'a>, is_new: impl FnOnce(EventId) -> bool) -> Option<New<'a>> {
        let made = match given {
            Given::Payload(event, payload) => Row::parse(payload)
                .map(|row| (event, row, Text::Given(payload), false))
                .map_err(|misfit| Err(SendError::permanent(misfit.to_string()))),
            Given::Event(event) => self.outcome(event).ok_or(Ok(Took::Unmade)),
        };
        let (event, row, text, unrecognised) = match made {
            Ok(made) => made,
            Err(answer) => {
                self.answers.push(answer);
                return None;
            }
        };
        self.answers.push(Ok(Took::Taken { unrecognised }));
        let bytes = match &text {
            Text::Given(text) => text.len(),
            Text::Made(range) => range.len(),
        };
        if !is_new(event) {
            return None;
        }
        let time = row.time().unwrap_or(self.now);
        self.heads.push(Head { event, time, text });
        Some(New { event, time, row, bytes })
    }

    /// An event's outcome; none if it panics, since others wait for their rows.
    fn outcome(&mut self, event: &'a Event) -> Option<(EventId, Row<'a>, Text<'a>, bool)> {
        let begins = self.texts.len();
        let texts = &mut self.texts;
        let made = catch_unwind(AssertUnwindSafe(|| {
            let outcome = Outcome::of(event);
            let extra = outcome.write_sparse_json(texts);
            (!outcome.unrecognised.is_empty(), Row::of(outcome, texts, &extra))
        }));
        match made {
            Ok((unrecognised, row)) => Some((event.id, row, Text::Made(begins..self.texts.len()), unrecognised)),
            Err(_) => {
                self.texts.truncate(begins);
                None
            }
        }
    }

    /// What the journal keeps of each new row.
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        let mut records = Vec::with_capacity(self.heads.len());
        for Head { event, time, text } in &self.heads {
            let payload = match text {
                Text::Given(text) => text,
                Text::Made(range) => &self.texts.as_bytes()[range.clone()],
            };
            records.push(Record { event: *event, time: *time, payload });
        }
        records
    }

    /// The answers, now that the rows are synced, or are not.
    pub(super) fn answers(self, synced: Result<(), SendError>) -> Vec<Result<Took, SendError>> {
        let Err(error) = synced else { return self.answers };
        let answer = |answer| match answer {
            Ok(Took::Taken { .. }) => Err(error.clone()),
            other => other,
        };
        self.answers.into_iter().map(answer).collect()
    }
}
