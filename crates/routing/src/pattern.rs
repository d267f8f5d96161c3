//! Patterns: EventBridge's language for "which events?", as Event Ruler 2.0 understands it.
//!
//! A pattern is compiled into *combinations*, one per way through its `$or`s. A combination is a list of fields that
//! must all be satisfied by one consistent choice of array elements. Where the documentation of EventBridge is silent,
//! Event Ruler's behaviour decides, down to these corners:
//!
//! - A field's path is its member names joined by dots, so `{"a.b": …}` and `{"a": {"b": …}}` are the same field. A
//!   path that is written twice counts as written last.
//! - `$or` is an operator where it can be one, and otherwise a member name like any other.
//! - Numbers are compared by value; those that a 64-bit float cannot hold exactly, by their writing.
//! - `anything-but` accepts every value of another type. A text that is an IP address accepts all its writings.
//! - An empty array or object in an event is no value.
//!
//! It differs from Event Ruler in three points: an address only matches a block of its own family, a character beyond
//! the basic plane can be compared without regard to case, and a member that an event repeats counts once, as its last.

mod folded;
mod network;
mod number;
mod parse;
mod test;
mod wildcard;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

pub(crate) use folded::Folded;
pub(crate) use network::{Network, parse_address};
pub(crate) use number::{NumberRange, comparable};
pub(crate) use test::{Alternative, Test, Value, write_joined};

use crate::json::{parse_tree, without_bom};
use crate::limits::MAX_PATTERN_BYTES;

/// A pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct PatternError {
    /// The field that is wrong, its names joined by dots; empty if it is the pattern as a whole.
    pub path: String,
    /// What is wrong and what is needed instead.
    pub message: String,
}

/// A compiled event pattern. Cheap to keep, not cheap to make.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Every field with what it needs, in the order written. A path that stands in several branches is here once each.
    pub(crate) fields: Vec<Field>,
    /// Each combination: indexes into `fields`, in the order of [`compare_paths`]. One of them must be satisfied.
    pub(crate) combinations: Vec<Vec<usize>>,
}

/// What a pattern asks of one field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Member names joined by dots.
    pub(crate) path: String,
    /// One of these must hold. Never empty.
    pub(crate) alternatives: Vec<Alternative>,
}

impl Pattern {
    /// Compiles a pattern from its JSON text.
    ///
    /// # Errors
    /// Refuses what EventBridge refuses, and what is beyond the limits in [`crate::limits`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let whole = |message| PatternError { path: String::new(), message };
        if text.len() > MAX_PATTERN_BYTES {
            return Err(whole(format!(
                "a pattern may have at most {MAX_PATTERN_BYTES} bytes; this one has {}",
                text.len()
            )));
        }
        let bytes = without_bom(text.as_bytes());
        let text = &text[text.len() - bytes.len()..];
        let tree = parse_tree(text).map_err(|error| {
            let (line, column) = error.line_and_column(bytes);
            whole(format!("a pattern must be JSON: {} (line {line}, column {column})", error.what))
        })?;
        parse::compile(&tree)
    }

    /// Every field that it names, its member names joined by dots; some may come twice.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.path.as_str())
    }
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl Field {
    pub(crate) fn allows_absence(&self) -> bool {
        self.alternatives.contains(&Alternative::Absent)
    }

    pub(crate) fn accepts(&self, value: Value<'_>) -> bool {
        self.alternatives.iter().any(|alternative| alternative.accepts(value))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_joined(f, &self.alternatives)
    }
}

/// The order in which fields choose their array elements, which shows where `exists: false` meets arrays: by UTF-16
/// units, as Java sorts strings.
pub(crate) fn compare_paths(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}
