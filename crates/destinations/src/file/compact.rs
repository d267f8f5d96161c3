//! JSON on one line: checks it, and takes out the white space between its parts. Numbers and strings stay as written.

use serde::de::IgnoredAny;

/// Appends `json` and a line feed to `out`, or says why it is not JSON and leaves `out` as it was.
pub(super) fn push_line(out: &mut Vec<u8>, json: &[u8]) -> Result<(), String> {
    std::str::from_utf8(json).map_err(|e| format!("the payload is not UTF-8 ({e})"))?;
    // Skips without recursion, and refuses raw control characters in strings: no line feed is left but between parts.
    serde_json::from_slice::<IgnoredAny>(json).map_err(|e| format!("the payload is not JSON ({e})"))?;
    out.reserve(json.len() + 1);
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
    out.push(b'\n');
    Ok(())
}
