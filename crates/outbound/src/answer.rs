//! What is taken from an answer: its body as far as it is wanted, and how long to leave the other side alone.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

/// Reads a body up to `limit` bytes and up to the deadline, and gives its first `keep` bytes. Reading on beyond what is
/// kept lets the connection be used again; after a longer body it is closed.
pub async fn read(answer: Response<Incoming>, keep: usize, limit: usize, deadline: Instant) -> Bytes {
    let mut kept = BytesMut::new();
    let mut body = answer.into_body();
    let mut total = 0;
    while total < limit
        && !body.is_end_stream()
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        if let Ok(data) = frame.into_data() {
            total += data.len();
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        }
    }
    kept.freeze()
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110 §10.2.3). A date is taken relative to the answer's own `Date`, if
/// it has one, so that a server whose clock is wrong is still understood; else to `now`.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let base = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?));
    Some(date(text)?.duration_since(base.unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let parse = |pairs: &[(HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, text)| (name.clone(), HeaderValue::from_str(text).unwrap()));
            retry_after(&pairs.collect::<HeaderMap>(), now)
        };
        let later = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[(header::RETRY_AFTER, "120")]), Some(Duration::from_secs(120)));
        assert_eq!(parse(&[(header::RETRY_AFTER, "soon")]), None);
        assert_eq!(parse(&[(header::RETRY_AFTER, "-1")]), None);
        assert!(parse(&[(header::RETRY_AFTER, "99999999999999999999")]).is_some(), "bounded later");
        assert_eq!(parse(&[(header::RETRY_AFTER, later)]), Some(Duration::from_secs(60)));
        let own_date = (header::DATE, "Sun, 06 Nov 1994 08:50:27 GMT");
        assert_eq!(parse(&[(header::RETRY_AFTER, later), own_date]), Some(Duration::from_secs(10)));
        let past = "Sun, 06 Nov 1994 08:00:00 GMT";
        assert_eq!(parse(&[(header::RETRY_AFTER, past)]), Some(Duration::ZERO));
    }
}
