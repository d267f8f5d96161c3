//! What can be wrong with a mapping, or with what it is applied to.

use std::any::Any;

use crate::json::JsonError;
use crate::limits::{MAX_INTEGER_BITS, MAX_MAPPING_MESSAGE_CHARS, MAX_REGEX_BYTES, MAX_VALUE_BYTES, MAX_VALUE_DEPTH};

/// A mapping could not be compiled, or gave no payload. All but [`MappingError::Bug`] are permanent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The mapping's text is not a program.
    #[error("line {line}, column {column}: {message}")]
    Source {
        /// The line of what is wrong, counted from 1.
        line: usize,
        /// The column, in characters, counted from 1.
        column: usize,
        /// What is wrong, and where it helps, what to do.
        message: String,
    },
    /// The event's body cannot be read.
    #[error("the event cannot be mapped: {0}")]
    Event(JsonError),
    /// The mapping raised an error.
    #[error("the mapping failed: {message}")]
    Failed {
        /// What the mapping, or jq, says.
        message: String,
    },
    /// The mapping gave no value.
    #[error("the mapping gave no value; it must give exactly one (put `// null` behind it if that is meant)")]
    NoOutput,
    /// The mapping gave two values or more.
    #[error("the mapping gave more than one value; it must give exactly one (put it in [ ] to get an array)")]
    SeveralOutputs,
    /// The value has no form as JSON.
    #[error("the mapping's value is no JSON: {0}")]
    NotJson(&'static str),
    /// A limit was reached.
    #[error("the mapping was stopped: {0}")]
    Limit(MappingLimit),
    /// The interpreter panicked. Caught; counts as permanent.
    #[error("the mapping ran into a bug in Aftercall, please report it: {0}")]
    Bug(String),
}

/// Which limit a mapping reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MappingLimit {
    /// See [`crate::limits::DEFAULT_MAPPING_STEPS`].
    #[error("it takes too many steps; look for a loop without end")]
    Steps,
    /// See [`crate::limits::MAX_MAPPING_STACK_BYTES`].
    #[error("its recursion goes too deep; look for a function that calls itself without end")]
    Recursion,
    /// See [`MAX_VALUE_DEPTH`].
    #[error("a value is nested more than {MAX_VALUE_DEPTH} levels deep")]
    Depth,
    /// See [`MAX_VALUE_BYTES`].
    #[error("a value takes more than {} MB", MAX_VALUE_BYTES / 1024 / 1024)]
    ValueSize,
    /// See [`MAX_INTEGER_BITS`].
    #[error("an integer has more than {MAX_INTEGER_BITS} bits")]
    Integer,
    /// See [`MAX_REGEX_BYTES`].
    #[error("a regular expression is longer than {MAX_REGEX_BYTES} bytes, counting what it repeats")]
    Regex,
    /// See [`crate::limits::DEFAULT_MAPPING_OUTPUT_BYTES`].
    #[error("the payload is longer than {max_bytes} bytes")]
    Output {
        /// The longest payload allowed.
        max_bytes: usize,
    },
}

impl MappingError {
    /// Whether Aftercall, and neither the mapping nor the event, is to blame.
    pub fn is_bug(&self) -> bool {
        matches!(self, Self::Bug(_))
    }

    pub(super) fn bug(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Bug(shortened(&message.unwrap_or_else(|| "a panic without a message".to_owned())))
    }
}

/// An error that a mapping raised.
pub(super) fn failed(message: &str) -> MappingError {
    MappingError::Failed { message: shortened(message) }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MAX_MAPPING_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
