//! What an answer of the token endpoint means; pure.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use outbound::retry_after;
use serde::Deserialize;
use serde_json::Value;

use crate::limits::{DESCRIPTION_MAX, LIFETIME_MAX, LIFETIME_UNKNOWN};
use crate::token::TokenText;
use crate::{Class, TokenError};

/// A token that was issued, and since when it lives.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) text: TokenText,
    /// From its issue to its end.
    pub(crate) lifetime: Duration,
    /// How much of that has passed.
    pub(crate) age: Duration,
}

/// The members that matter (RFC 6749 §5.1). Some endpoints write the lifetime as text.
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

/// The members of an error (RFC 6749 §5.2). Genesys Cloud has `description` too.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<Value>,
    error_description: Option<String>,
    description: Option<String>,
}

/// An answer as it came.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// How long it took, from the beginning of the request.
    pub(crate) took: Duration,
}

/// What it means. `place` is the endpoint as messages name it; none of `confidential` gets into one.
pub(crate) fn judge(
    answer: &Answer<'_>,
    place: &str,
    confidential: &[String],
    now: SystemTime,
) -> Result<Grant, TokenError> {
    match answer.status {
        200..=299 => issued(answer.body, answer.took).map_err(|problem| TokenError {
            status: Some(answer.status),
            ..TokenError::transient(format!("token endpoint answered {} {problem}; it is {place}", answer.status))
        }),
        _ => Err(refused(answer, place, confidential, now)),
    }
}

fn issued(body: &[u8], took: Duration) -> Result<Grant, &'static str> {
    let issued: Issued = serde_json::from_slice(body).map_err(|_| "without a token; is that the token endpoint?")?;
    if issued.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("with a token that is no bearer token");
    }
    let text = TokenText::new(&issued.access_token).ok_or("with a token that can stand in no header")?;
    let lifetime = match &issued.expires_in {
        None | Some(Value::Null) => LIFETIME_UNKNOWN,
        Some(value) => lifetime(value).ok_or("with a token whose `expires_in` is no time")?,
    };
    Ok(Grant { text, lifetime, age: took })
}

/// Seconds, as a number or as text.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds: f64 = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|seconds: &f64| seconds.is_finite())?;
    let lifetime = Duration::try_from_secs_f64(seconds.min(LIFETIME_MAX.as_secs_f64())).ok()?;
    (!lifetime.is_zero()).then_some(lifetime)
}

fn refused(answer: &Answer<'_>, place: &str, confidential: &[String], now: SystemTime) -> TokenError {
    let Answer { status, headers, body, .. } = *answer;
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = refusal.error.as_ref().and_then(Value::as_str).unwrap_or_default();
    let described = refusal.error_description.or(refusal.description).unwrap_or_default();
    // Genesys Cloud answers 400 where others answer 429.
    let limited = status == 429 || status == 400 && is_rate_limit(&described);
    let (class, hint) = match (status, code) {
        _ if limited => (Class::RateLimited, "it wants fewer requests"),
        (408 | 425 | 500.., _) | (_, "temporarily_unavailable" | "server_error") => (Class::Transient, ""),
        (300..=399, _) => (Class::Refused, "redirects are not followed: configure the final address"),
        (_, "invalid_scope") => (Class::Refused, "check `scope`"),
        (401, _) | (_, "invalid_client" | "unauthorized_client" | "invalid_grant") => {
            (Class::Refused, "check client_id and client_secret")
        }
        _ => (Class::Refused, "check the address and the credentials"),
    };
    // What matters first: tables show the beginning alone.
    let mut message = format!("token endpoint answered {status}");
    for (open, part, close) in [(" ", code, ""), (" (", described.as_str(), ")")] {
        if !part.is_empty() {
            message.extend([open, &clean(part, confidential), close]);
        }
    }
    if !hint.is_empty() {
        message.extend(["; ", hint]);
    }
    message.extend(["; it is ", place]);
    TokenError { class, status: Some(status), message, retry_after: retry_after(headers, now) }
}

fn is_rate_limit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("rate limit") || text.contains("too many requests")
}

/// One line of printable text without anything confidential.
fn clean(text: &str, confidential: &[String]) -> String {
    let mut text = text.to_owned();
    for part in confidential.iter().filter(|part| !part.is_empty()) {
        text = text.replace(part.as_str(), "[secret]");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DESCRIPTION_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Grant, TokenError> {
        let pair = |(name, value): &(&str, &str)| {
            (http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(pair).collect();
        let answer = Answer { status, headers: &headers, body: body.as_bytes(), took: Duration::from_millis(30) };
        judge(&answer, "https://a.b/token", &["hunter2".to_owned()], SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn tokens_in_every_form_that_endpoints_write() {
        for (body, seconds) in [
            (r#"{"access_token":"t0ken","token_type":"bearer","expires_in":86399}"#, 86_399),
            (r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":"3600","scope":"a"}"#, 3_600),
            (r#"{"access_token":"t0ken","expires_in":60.0}"#, 60),
            (r#"{"access_token":"t0ken","expires_in":null}"#, 300),
            (r#"{"access_token":"t0ken"}"#, 300),
            (r#"{"access_token":"t0ken","expires_in":1e300}"#, 30 * 24 * 3600),
        ] {
            let grant = judged(200, &[], body).unwrap();
            assert_eq!((grant.text.as_str(), grant.lifetime.as_secs()), ("t0ken", seconds), "{body}");
            assert_eq!(grant.age, Duration::from_millis(30));
        }
    }

    #[test]
    fn what_is_no_token_is_a_passing_trouble() {
        for body in [
            "",
            "<html>Welcome to the proxy</html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","expires_in":0}"#,
            r#"{"access_token":"a","expires_in":-1}"#,
            r#"{"access_token":"a","expires_in":true}"#,
            r#"{"access_token":"a","expires_in":"soon"}"#,
            r#"{"access_token":"a","expires_in":"nan"}"#,
        ] {
            let error = judged(200, &[], body).unwrap_err();
            assert_eq!((error.class, error.status), (Class::Transient, Some(200)), "{body}");
            assert!(error.message.starts_with("token endpoint answered 200 with"), "{error}");
        }
    }

    #[test]
    fn errors_have_their_class_their_place_and_a_cure() {
        let invalid = r#"{"error":"invalid_client","description":"no, hunter2\n","error_description":"no, hunter2\n"}"#;
        let limited = r#"{"error":"invalid_request","description":"Rate limit exceeded; 300 a minute"}"#;
        for (status, body, class, part) in [
            (401, invalid, Class::Refused, "401 invalid_client (no, [secret]"),
            (400, invalid, Class::Refused, "check client_id"),
            (401, "", Class::Refused, "check client_id"),
            (400, limited, Class::RateLimited, "it wants fewer requests"),
            (400, r#"{"error":"invalid_request"}"#, Class::Refused, "invalid_request"),
            (400, r#"{"error":"invalid_scope"}"#, Class::Refused, "check `scope`"),
            (429, "", Class::RateLimited, "429"),
            (503, "gone", Class::Transient, "503"),
            (400, r#"{"error":"temporarily_unavailable"}"#, Class::Transient, "temporarily"),
            (302, "", Class::Refused, "redirects are not followed"),
            (404, "", Class::Refused, "check the address"),
            (408, "", Class::Transient, "408"),
        ] {
            let error = judged(status, &[], body).unwrap_err();
            assert_eq!((error.class, error.status), (class, Some(status)), "{error}");
            assert!(error.message.contains(part), "{error}");
            assert!(!error.message.contains("hunter2") && !error.message.contains('\n'), "{error}");
        }
        let asked = judged(429, &[("retry-after", "7")], "").unwrap_err();
        assert_eq!(asked.retry_after, Some(Duration::from_secs(7)));
    }

    proptest! {
        /// Whatever comes, it is judged, the message has one line and is short, and no secret is in it.
        #[test]
        fn every_answer_is_judged(
            status in 100u16..1_000,
            body in prop_oneof![
                any::<String>(),
                any::<String>().prop_map(|text| serde_json::json!({"error": text, "description": "hunter2"}).to_string()),
                any::<String>().prop_map(|text| serde_json::json!({"access_token": text}).to_string()),
            ],
        ) {
            match judged(status, &[], &body) {
                Ok(grant) => prop_assert!(grant.text.as_str().bytes().all(|byte| byte.is_ascii_graphic())),
                Err(error) => {
                    prop_assert!(!error.message.contains("hunter2") && !error.message.contains('\n'));
                    prop_assert!(error.message.chars().count() < 3 * DESCRIPTION_MAX);
                }
            }
        }
    }
}
