//! Why a body cannot become events.

use crate::json::{Fault, Kind};

/// A body cannot become events. It never will, so sending it again does not help; each message says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// There is nothing, or nothing but whitespace.
    #[error("the body is empty; send a JSON object, or an array of objects")]
    Empty,
    /// It is text in another encoding than UTF-8.
    #[error("the body looks like {encoding}; send it as UTF-8")]
    Encoding {
        /// The encoding it looks like.
        encoding: &'static str,
    },
    /// It is not text.
    #[error("the body is not valid UTF-8 at byte {offset}; send it as UTF-8")]
    NotUtf8 {
        /// The first byte that does not belong, counted from 0.
        offset: usize,
    },
    /// It is not JSON.
    #[error("the body is not valid JSON: {problem} at line {line}, column {column} (byte {offset}); mend the sender")]
    Syntax {
        /// What is wrong.
        problem: &'static str,
        /// Counted from 0, a byte order mark included.
        offset: usize,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// It is JSON, but neither an object nor an array.
    #[error("the body is {found}, which is no event; send a JSON object, or an array of objects")]
    NotAnEvent {
        /// What it is.
        found: Kind,
    },
    /// It is an array, and the source does not split bodies.
    #[error("the body is an array, but its source does not split batches; send one object, or set `batch`")]
    NotSplit,
    /// Something in a batch is not an object.
    #[error(
        "item {index} of the batch is {found}, which is no event, so none of its items was accepted; \
         send only objects in it, or set `batch` for a source whose arrays are no batches"
    )]
    ItemNotAnEvent {
        /// Its place in the batch, counted from 0.
        index: usize,
        /// What it is.
        found: Kind,
    },
    /// `requestPayload` holds no event.
    #[error("`requestPayload` is {found}, which is no event; send an EventBridge event or an array of them in it")]
    PayloadNotAnEvent {
        /// What it is.
        found: Kind,
    },
    /// It holds more events than one body may.
    #[error("the body holds more than {max} events; send smaller batches, or raise `max_events_per_body`")]
    TooManyEvents {
        /// How many it may hold.
        max: usize,
    },
    /// A body that is split as a stream has a piece that is too large for memory.
    #[error(
        "an event or another single value of the body, at byte {offset}, has more than {max} bytes; send smaller events"
    )]
    PieceTooLarge {
        /// How many bytes it may have.
        max: usize,
        /// Where it begins in the body.
        offset: usize,
    },
    /// A body that is too large for a single event is no batch.
    #[error(
        "a body of more than {max} bytes must be a batch: an array, or an object with an array where its source looks for \
         the batch and at most {around} bytes around it; send smaller bodies, or set `batch` for the source"
    )]
    NoLargeBatch {
        /// From how many bytes on.
        max: usize,
        /// How many bytes there may be beside the array.
        around: usize,
    },
}

impl BodyError {
    /// Whether the body would be taken if it were smaller, or held fewer events.
    pub const fn is_size(&self) -> bool {
        matches!(self, Self::TooManyEvents { .. } | Self::PieceTooLarge { .. } | Self::NoLargeBatch { .. })
    }

    /// Finds the place of a fault in the body it was found in.
    pub(crate) fn at(body: &[u8], text: &str, fault: Fault) -> Self {
        let before = text.get(..fault.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::Syntax {
            problem: fault.problem,
            offset: fault.at + (body.len() - text.len()),
            line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
