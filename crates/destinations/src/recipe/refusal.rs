//! What is said when a service refuses, the same for all of them.
//!
//! | status | becomes |
//! |---|---|
//! | 401 | transient, for all: the credentials are those of every delivery |
//! | 408, 423, 425, 429, 502, 503, 504 and other 5xx but 500 | transient, for all |
//! | 500 | transient; tried in halves, since one record may be the cause |
//! | 3xx, 404, 405, 410, 415 | transient, for all: the address is that of every delivery, and can be mended |
//! | 413, 414, 431, and any other 4xx with a code of the service | permanent, for the record that is the cause |
//! | any other 4xx without one | transient; tried in halves. It may be a page of something before the service |
//!
//! A service's module decides before this table where it knows more.

use std::time::Duration;

use super::service::{Answer, Said};
use crate::http::answer::excerpt;
use crate::{ErrorClass, SendError};

/// How long a service is left alone whose limit for a day is used up, if it does not say so itself. Such a limit looks
/// back over 24 hours, so some of it comes back all the time; what waits is tried again soon enough, and calls that are
/// refused are few.
pub(super) const DAILY_LIMIT_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Bytes of a code or a name of a service that are shown in a message.
const CODE_MAX: usize = 100;

/// A code of a service, as far as it looks like one: messages are logged and grouped, and no value may be in them.
pub(super) fn code(text: &str) -> String {
    let is_code = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.chars().filter(is_code).take(CODE_MAX).collect()
}

/// The error with what the answer says.
pub(super) fn explained(error: SendError, answer: &Answer) -> SendError {
    let retry_after = error.retry_after.or(answer.retry_after);
    SendError { status: Some(answer.status), excerpt: excerpt(&answer.body, &[]), retry_after, ..error }
}

/// A call was not answered with success: what that means where the service has no meaning of its own for it. `code` is
/// the service's, or empty; `place` names what of the configuration the address is made of.
pub(super) fn of_call(service: &str, answer: &Answer, code: &str, place: &str) -> Said {
    let status = answer.status;
    let shown = if code.is_empty() { String::new() } else { format!(" ({code})") };
    let told = format!("{service} answered {status}{shown}");
    let transient = |text: String| explained(SendError::transient(text), answer);
    match status {
        401 => Said::All(transient(format!("{told}; look at `auth`"))),
        300..=399 | 404 | 405 | 410 | 415 => Said::All(transient(format!("{told}; look at {place}"))),
        408 | 423 | 425 | 429 | 501..=599 => Said::All(transient(told)),
        500 => Said::Unclear(transient(told)),
        _ if code.is_empty() && !matches!(status, 413 | 414 | 431) => {
            Said::Unclear(transient(format!("{told} and no reason of its own; look at what is between here and there")))
        }
        _ => Said::Content(explained(SendError::permanent(format!("{told}; mend its mapping and redrive it")), answer)),
    }
}

/// An answer that cannot be understood. Nobody knows what was written: all is written again, which changes nothing, and in
/// halves, since one record may be why.
pub(super) fn unreadable(service: &str, answer: &Answer, problem: &str) -> Said {
    let text = format!("{service} answered {} with {problem}, so it is not known what was written", answer.status);
    Said::Unclear(explained(SendError::transient(text), answer))
}

/// A record was refused, by a code of the service's and for some of its fields. `told` is what the service says of it.
pub(super) fn of_record(service: &str, code: &str, fields: &[String], told: String, class: ErrorClass) -> SendError {
    let fields = match fields {
        [] => String::new(),
        fields => format!(" ({})", fields.join(", ")),
    };
    let error = match class {
        ErrorClass::Permanent => SendError::permanent(format!(
            "{service} refused the record: {code}{fields}; mend its mapping and redrive it"
        )),
        ErrorClass::Transient | ErrorClass::NotYet(_) => {
            SendError::transient(format!("{service} cannot write the record for now: {code}{fields}"))
        }
    };
    SendError { excerpt: excerpt(told.as_bytes(), &[]), ..error }
}

/// Nothing came back within the time of an attempt.
pub(super) fn no_answer(service: &str) -> SendError {
    SendError::transient(format!("{service} has not answered for this record within `timeout`"))
}
