//! Reading JSON text without building a document: what patterns need at line rate, and nothing else.
//!
//! The scanner is strict (RFC 8259) also about what it skips, and holds no recursion, so neither a malformed nor a
//! deeply nested event can make it panic.

mod scan;
mod text;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use scan::{Scalar, Scanner, Text};
pub(crate) use text::unescape;
pub(crate) use tree::{Node, parse_tree};

/// The text is not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct JsonError {
    /// Where, counted in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl JsonError {
    /// The line and column of the error in the text that it was found in, both counted from 1, columns in bytes.
    pub fn line_and_column(&self, text: &[u8]) -> (usize, usize) {
        let before = &text[..self.offset.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        (line, column)
    }
}

/// The text without a leading UTF-8 byte order mark.
pub(crate) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
