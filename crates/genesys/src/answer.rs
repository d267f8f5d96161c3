//! What an answer of the API means; pure.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use outbound::retry_after;
use serde::Deserialize;

use crate::GenesysError;

/// Pause after a 429 that names no time.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest pause that is believed; a window has a minute.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Longest text that an error takes over from an answer, in characters.
const TEXT_MAX: usize = 300;

/// How much of the budget is used, as every answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests in this window, by all who use the OAuth client.
    pub count: u32,
    /// Requests that a window may have.
    pub allowed: u32,
    /// How long this window still lasts.
    pub reset: Duration,
}

impl Limits {
    /// Reads `inin-ratelimit-count`, `-allowed` and `-reset` (seconds). `None` unless all are there.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
        let reset = Duration::from_secs(u64::from(number("inin-ratelimit-reset")?)).min(PAUSE_MAX);
        Some(Self { count: number("inin-ratelimit-count")?, allowed: number("inin-ratelimit-allowed")?, reset })
    }
}

/// The members of an error that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiError {
    message: Option<String>,
    code: Option<String>,
    #[serde(rename = "contextId")]
    context_id: Option<String>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The body is what was asked for.
    Good,
    /// The token is not accepted.
    Unauthorised(GenesysError),
    /// Too many requests; none for this long.
    Limited(Duration, GenesysError),
    /// It has failed.
    Failed(GenesysError),
}

/// Judges an answer to the call that `call` names.
pub(crate) fn judge(call: &str, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Verdict {
    if (200..300).contains(&status) {
        return Verdict::Good;
    }
    let error: ApiError = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get("inin-correlation-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let correlation = header.or(error.context_id).map(|id| clean(&id));
    let code = clean(&error.code.unwrap_or_default());
    let message = clean(&error.message.unwrap_or_default());
    let (call, asked) = (call.to_owned(), retry_after(headers, now));
    let said = match (code.is_empty(), message.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(" ({message})"),
        (false, true) => format!(" ({code})"),
        (false, false) => format!(" ({code}: {message})"),
    };
    match status {
        404 => Verdict::Failed(GenesysError::NotFound { call, correlation }),
        429 => {
            let told = asked.or_else(|| seconds_in(&message)).or_else(|| Limits::read(headers).map(|l| l.reset));
            let pause = told.unwrap_or(PAUSE).clamp(Duration::from_secs(1), PAUSE_MAX);
            Verdict::Limited(pause, GenesysError::RateLimited { call, retry_after: pause, correlation })
        }
        408 | 425 | 500.. => {
            let problem = format!("the platform answered {status}{said}");
            Verdict::Failed(GenesysError::Transient { call, problem, retry_after: asked, correlation })
        }
        _ => {
            let hint = match status {
                401 => "; a fresh token is refused too: check that login_url and api_url are of one region",
                403 => "; give the roles of the OAuth client the permission that this call needs",
                300..=399 => "; redirects are not followed: configure the final address",
                _ => "",
            };
            let problem = format!("the platform answered {status}{said}{hint}");
            let error = GenesysError::Refused { call, status, code, problem, correlation };
            if status == 401 { Verdict::Unauthorised(error) } else { Verdict::Failed(error) }
        }
    }
}

/// The time in "Retry the request in [12] seconds".
fn seconds_in(message: &str) -> Option<Duration> {
    let number = message.split_once(" in [")?.1.split_once("] seconds")?.0;
    number.parse().ok().map(Duration::from_secs)
}

/// One line of printable text.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn judged(status: u16, pairs: &[(&str, &str)], body: &str) -> Verdict {
        judge("GET /x", status, &headers(pairs), body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    const BODY: &str = r#"{"message":"That is not allowed.","code":"not.authorized","status":403,"contextId":"c-1"}"#;

    #[test]
    fn statuses_say_what_to_do() {
        assert!(matches!(judged(200, &[], "anything"), Verdict::Good));
        assert!(matches!(judged(404, &[], BODY), Verdict::Failed(GenesysError::NotFound { .. })));
        assert!(matches!(judged(401, &[], BODY), Verdict::Unauthorised(GenesysError::Refused { status: 401, .. })));
        for status in [408, 500, 502, 503, 504] {
            let Verdict::Failed(error) = judged(status, &[("retry-after", "3")], "<html>") else { panic!("{status}") };
            assert_eq!((error.is_transient(), error.retry_after()), (true, Some(Duration::from_secs(3))), "{error}");
        }
        for status in [302, 400, 403, 409, 422] {
            let Verdict::Failed(error) = judged(status, &[], BODY) else { panic!("{status}") };
            assert!(matches!(&error, GenesysError::Refused { code, .. } if code == "not.authorized"), "{error}");
            assert!(error.to_string().contains("That is not allowed.") && !error.is_transient(), "{error}");
        }
    }

    #[test]
    fn an_error_names_the_call_and_the_correlation_id() {
        let Verdict::Failed(error) = judged(403, &[("inin-correlation-id", "k-2")], BODY) else { panic!() };
        assert_eq!(
            error.to_string(),
            "GET /x: the platform answered 403 (not.authorized: That is not allowed.); give the roles of the OAuth \
             client the permission that this call needs (correlation id k-2)"
        );
        let Verdict::Failed(error) = judged(403, &[], BODY) else { panic!() };
        assert!(error.to_string().ends_with("(correlation id c-1)"), "{error}");
    }

    #[test]
    fn a_429_names_its_time_in_one_of_four_ways() {
        let text = r#"{"message":"Rate limit exceeded. Retry the request in [12] seconds","code":"too.many.requests"}"#;
        let window =
            [("inin-ratelimit-count", "301"), ("inin-ratelimit-allowed", "300"), ("inin-ratelimit-reset", "9")];
        for (pairs, body, seconds) in [
            (&[("retry-after", "7")][..], text, 7),
            (&[], text, 12),
            (&window, "", 9),
            (&[], "", 10),
            (&[("retry-after", "0")], "", 1),
            (&[("retry-after", "99999999")], "", 600),
        ] {
            let Verdict::Limited(pause, _) = judged(429, pairs, body) else { panic!() };
            assert_eq!(pause.as_secs(), seconds);
        }
    }

    #[test]
    fn limits_are_read_whole_or_not_at_all() {
        let all = [("inin-ratelimit-count", "12"), ("inin-ratelimit-allowed", "300"), ("inin-ratelimit-reset", "42")];
        let limits = Limits { count: 12, allowed: 300, reset: Duration::from_secs(42) };
        assert_eq!(Limits::read(&headers(&all)), Some(limits));
        assert_eq!(Limits::read(&headers(&all[..2])), None);
        assert_eq!(Limits::read(&headers(&[all[0], all[1], ("inin-ratelimit-reset", "-1")])), None);
    }

    proptest! {
        #[test]
        fn every_answer_is_judged_in_one_line(
            status in 100u16..1_000,
            body in prop_oneof![
                any::<String>(),
                any::<String>().prop_map(|text| serde_json::json!({"message": text, "code": text}).to_string()),
            ],
        ) {
            match judged(status, &[], &body) {
                Verdict::Good => prop_assert!((200..300).contains(&status)),
                Verdict::Unauthorised(error) | Verdict::Limited(_, error) | Verdict::Failed(error) => {
                    prop_assert!(!error.to_string().contains('\n'));
                    prop_assert!(error.to_string().chars().count() < 3 * TEXT_MAX);
                }
            }
        }
    }
}
