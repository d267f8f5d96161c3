//! What is taken from a destination's answer: a clean excerpt of its body, and how long it asks to be left alone.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// Longest excerpt of an answer, in bytes. Enough for an error's text; it is kept with every dead letter.
pub(super) const EXCERPT_LIMIT: usize = 2 * 1024;

/// How much of an answer is read, in bytes, so that its connection can be used again; after a longer one it is closed.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024;

/// Secrets shorter than this are not looked for in answers: they would blot out ordinary text.
const SECRET_MIN: usize = 6;

/// Clean text from the start of a body: valid UTF-8, no control characters, none of `secrets`, at most 2 KiB.
pub(super) fn excerpt(body: &[u8], secrets: &[String]) -> Option<String> {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets.iter().filter(|s| s.len() >= SECRET_MIN) {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "[secret]");
        }
    }
    let mut text: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(EXCERPT_LIMIT));
    text.truncate(text.trim_end().len());
    (!text.is_empty()).then_some(text)
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110 §10.2.3). A date is taken relative to the answer's own `Date`, if
/// it has one, so that a destination whose clock is wrong is still understood; else to `now`.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let base = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?));
    Some(date(text)?.duration_since(base.unwrap_or(now)).unwrap_or_default())
}
