//! What is taken from a destination's answer: a clean excerpt of its body.

/// Longest excerpt of an answer, in bytes. Enough for an error's text; it is kept with every dead letter.
pub(crate) const EXCERPT_LIMIT: usize = 2 * 1024;

/// How much of an answer is read, in bytes, so that its connection can be used again; after a longer one it is closed.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024;

/// Secrets shorter than this are not looked for in answers: they would blot out ordinary text.
const SECRET_MIN: usize = 6;

/// Clean text from the start of a body: valid UTF-8, no control characters, none of `secrets`, at most 2 KiB.
pub(crate) fn excerpt(body: &[u8], secrets: &[String]) -> Option<String> {
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
