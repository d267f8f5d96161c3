//! Keys of objects that are made of values which others chose.
//!
//! A value is one part of a key or a piece of it, whatever is in it: all but letters, digits, `-`, `_` and `.` is
//! percent-encoded, and so are the dots of a value of nothing but dots. So no value leads out of its folder.

use std::fmt::Write as _;

use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a value.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// What stands for a value that there is not. No value becomes it, since `~` is encoded.
const NONE: &str = "~none";
/// Most bytes of a part of a key: file systems take no more.
const MAX_PART_BYTES: usize = 255;
/// Most bytes of a key: S3 takes no more.
const MAX_KEY_BYTES: usize = 1_024;

/// Adds a value to a key.
pub fn push(key: &mut String, value: &str) {
    if value.is_empty() {
        key.push_str(NONE);
    } else if value.bytes().all(|byte| byte == b'.') {
        key.push_str(&"%2E".repeat(value.len()));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(key, "{}", utf8_percent_encode(value, ENCODED));
    }
}

/// The key as stores take it; `example` is one that would be right.
///
/// # Errors
/// Why no store would take it.
pub fn path(key: &str, example: &str) -> Result<Path, String> {
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("it is longer than {MAX_KEY_BYTES} bytes; use a shorter template"));
    }
    if key.split('/').any(|part| part.len() > MAX_PART_BYTES) {
        return Err(format!("a part of it is longer than {MAX_PART_BYTES} bytes; leave that value out"));
    }
    if key.starts_with('/') || key.ends_with('/') {
        return Err("it begins or ends with a slash; take that out".to_owned());
    }
    Path::parse(key).map_err(|error| format!("{error}; write folders and a name, like {example}"))
}
