//! Checks what a request's head shows: method, size, media type. All of it before the first byte of the body.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::problem::{Reason, Refusal};

/// Refuses what no source accepts.
pub(crate) fn check(head: &Parts, max_body: usize, max_headers: usize) -> Result<(), Refusal> {
    if head.method != Method::POST {
        let detail = format!("events are sent by POST, this was {}", short(head.method.as_str()));
        return Err(Refusal::new(Reason::MethodNotAllowed, detail));
    }
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > max_headers {
        let detail =
            format!("the headers have {bytes} bytes, at most {max_headers} are allowed; send fewer or shorter ones");
        return Err(Refusal::new(Reason::HeadersTooLarge, detail));
    }
    check_encoding(&head.headers)?;
    check_type(&head.headers)?;
    match announced(&head.headers) {
        Some(bytes) if bytes > max_body as u64 => Err(too_large(max_body)),
        _ => Ok(()),
    }
}

/// The refusal of a body over the limit.
pub(crate) fn too_large(max: usize) -> Refusal {
    let detail = format!("a body may have {max} bytes; send smaller batches, or raise `max_body` of this source");
    Refusal::new(Reason::BodyTooLarge, detail)
}

/// The announced size of the body.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Bodies must come uncompressed: signatures cover the bytes as they are sent, and what a small body unpacks to has no
/// bound.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get_all(CONTENT_ENCODING).iter().find(|value| !plain(value)) {
        None => Ok(()),
        Some(_) => Err(Refusal::new(
            Reason::ContentType,
            "the body has a `Content-Encoding`; switch compression off at the sender",
        )),
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_TYPE) {
        Some(value) if !is_json(value.as_bytes()) => Err(Refusal::new(
            Reason::ContentType,
            "the body's `Content-Type` is not JSON in UTF-8; send `application/json`, or none",
        )),
        _ => Ok(()),
    }
}

/// `application/json`, `text/json`, `application/x-amz-json-…` or anything that ends in `+json`; in UTF-8 if it says.
fn is_json(value: &[u8]) -> bool {
    if value == b"application/json" {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    let mut parts = lower.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let media_type = parts.next().unwrap_or_default();
    let json = matches!(media_type, b"application/json" | b"text/json")
        || media_type.starts_with(b"application/x-amz-json-")
        || media_type.starts_with(b"application/") && media_type.ends_with(b"+json");
    let charset = |part: &[u8]| part.strip_prefix(b"charset=").map(|name| name.trim_ascii().to_vec());
    json && parts.filter_map(charset).all(|name| matches!(&*name, b"utf-8" | b"\"utf-8\"" | b"utf8" | b"us-ascii"))
}

/// Text of a sender's own, cut to what is worth repeating.
pub(crate) fn short(text: &str) -> &str {
    const MOST: usize = 40;
    text.char_indices().nth(MOST).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_by_any_of_its_names() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/cloudevents+json",
            "application/x-amz-json-1.1",
            "text/json",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=json",
            "application/json; charset=utf-16",
            "application/jsonp",
            "image/svg+xml",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_a_sender_wrote_is_cut() {
        assert_eq!(short("GET"), "GET");
        assert_eq!(short(&"ü".repeat(100)).chars().count(), 40);
    }
}
