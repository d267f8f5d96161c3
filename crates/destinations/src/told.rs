//! What failures of AWS mean for a delivery.
//!
//! No event dies of credentials, rights, a missing queue or load: those concern all deliveries, which wait. Only what is
//! wrong with a message itself is for good, and only if it was sent alone or the service has named it.

use outbound::aws::{About, Trouble, about};

use crate::SendError;

/// What is answered where the service asks for fewer requests; delivery then sends fewer.
const TOO_MANY: u16 = 429;

/// A whole request failed.
pub(crate) fn of_all(trouble: &Trouble) -> SendError {
    let mut error = SendError::transient(trouble.text.clone());
    if trouble.about == About::Load {
        error.status = Some(TOO_MANY);
    }
    error
}

/// A single entry was refused, by the service or because it was alone in its request.
pub(crate) fn of_content(text: impl std::fmt::Display) -> SendError {
    SendError::permanent(format!("{text}; mend its mapping and redrive it"))
}

/// An entry of a request that went well failed. `sender` says whether the service blames the entry.
pub(crate) fn of_entry(service: &str, code: &str, message: Option<&str>, sender: bool) -> SendError {
    let trouble = outbound::aws::trouble(service, Some(code), message, &std::fmt::Error);
    match about(code) {
        About::Content => of_content(trouble.text),
        About::Passing if sender => of_content(trouble.text),
        _ => of_all(&trouble),
    }
}

/// Nothing came back within the time of an attempt.
pub(crate) fn no_answer(service: &str, within: std::time::Duration) -> SendError {
    SendError::transient(format!("{service} has not answered within {} s", within.as_secs_f32()))
}
