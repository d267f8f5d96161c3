//! JSON as it was received: checked, looked into and cut up without being changed.
//!
//! Everything here works on the text itself. Numbers keep their digits, an event keeps its bytes, and nothing is
//! copied. One pass checks the grammar and picks out all the values that are wanted ([`Lookup`]), or says where all that
//! is to be changed stands ([`Places`]). How deeply a body
//! is nested does not matter: nesting costs one bit a level and no stack.
//!
//! Decided where the standard leaves it open:
//! - Of members with the same name the last one counts.
//! - A byte order mark in front is skipped.
//! - Escaped surrogates without their other half are accepted; where such a string is read, each reads as U+FFFD.
//! - Numbers may be of any length and size.

mod lookup;
mod path;
mod places;
mod pointer;
mod raw;
mod scan;

use crate::BodyError;

pub use lookup::{Found, Lookup};
pub use path::Path;
pub use places::{Place, Places, Take};
pub use pointer::{MAX_POINTER_TOKENS, ParsePointerError, Pointer};
pub use raw::{Kind, Raw};
pub(crate) use scan::{Container, Fault, Scanner, Text, Visit, is_whitespace};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The body as text, without the byte order mark if it begins with one.
///
/// # Errors
/// If the body is empty or not UTF-8. Whether it is JSON is not looked at.
pub fn text(body: &[u8]) -> Result<&str, BodyError> {
    if let Some(encoding) = other_encoding(body) {
        return Err(BodyError::Encoding { encoding });
    }
    let skipped = mark_len(body);
    let rest = &body[skipped..];
    let text =
        std::str::from_utf8(rest).map_err(|error| BodyError::NotUtf8 { offset: error.valid_up_to() + skipped })?;
    if text.bytes().all(is_whitespace) {
        return Err(BodyError::Empty);
    }
    Ok(text)
}

/// How long the byte order mark is that a body begins with.
pub(crate) fn mark_len(body: &[u8]) -> usize {
    if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

/// UTF-16 and UTF-32 give themselves away by a byte order mark, or by the zero bytes beside a first ASCII character.
pub(crate) fn other_encoding(body: &[u8]) -> Option<&'static str> {
    match body {
        [0, 0, 0xfe, 0xff, ..] | [0xff, 0xfe, 0, 0, ..] => Some("UTF-32"),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Some("UTF-16"),
        [0, 0, 0, ascii, ..] | [ascii, 0, 0, 0, ..] if *ascii != 0 => Some("UTF-32"),
        [0, ascii, ..] | [ascii, 0, ..] if *ascii != 0 => Some("UTF-16"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
