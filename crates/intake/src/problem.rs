//! Refusals, and how they are written: problem details of RFC 9457, with a stable code, a cause and a cure.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::respond::AnswerBody;

/// An answer of intake.
pub(crate) type Answer = Response<AnswerBody>;

/// Why a request was not accepted: stable codes, which the documentation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body did not arrive whole.
    BodyIncomplete,
    /// Signature or credential is not there.
    AuthMissing,
    /// Signature or credential does not have the configured form.
    AuthMalformed,
    /// Signature or credential matches none of the keys.
    AuthMismatch,
    /// The signed time is outside the tolerance.
    AuthTime,
    /// The sender's address is not in the source's list.
    AddressNotAllowed,
    /// No such path.
    NotFound,
    /// No such source.
    UnknownSource,
    /// Not a POST.
    MethodNotAllowed,
    /// Head or body came too slowly.
    Timeout,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is not declared to be JSON, or is compressed.
    ContentType,
    /// The source's own rate limit.
    RateLimited,
    /// The headers are over the limit.
    HeadersTooLarge,
    /// A fault in Aftercall.
    Internal,
    /// Intake has as much to do as it may.
    Busy,
    /// The spool for large bodies has no room.
    SpoolFull,
    /// A large body was accepted, and not all of it is in the queue yet: this one, or one with earlier events of the same
    /// conversation.
    BatchPending,
    /// The queue has as much to do as it may, or cannot store for the moment.
    QueueBusy,
    /// The queue's disk is full.
    QueueFull,
    /// The queue has stopped.
    QueueStopped,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::BodyIncomplete,
        Self::AuthMissing,
        Self::AuthMalformed,
        Self::AuthMismatch,
        Self::AuthTime,
        Self::AddressNotAllowed,
        Self::NotFound,
        Self::UnknownSource,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::BodyTooLarge,
        Self::ContentType,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Busy,
        Self::SpoolFull,
        Self::BatchPending,
        Self::QueueBusy,
        Self::QueueFull,
        Self::QueueStopped,
    ];

    /// The code in answers, logs and counters.
    pub const fn code(self) -> &'static str {
        self.facts().0
    }

    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether the request did not prove where it comes from.
    pub const fn is_unproved(self) -> bool {
        matches!(self, Self::AuthMissing | Self::AuthMalformed | Self::AuthMismatch | Self::AuthTime)
    }

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.facts().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    const fn title(self) -> &'static str {
        self.facts().2
    }

    const fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BodyIncomplete => ("body-incomplete", 400, "The body did not arrive whole"),
            Self::AuthMissing => ("auth-missing", 401, "The request carries no signature or credential"),
            Self::AuthMalformed => ("auth-malformed", 401, "The signature or credential is malformed"),
            Self::AuthMismatch => ("auth-mismatch", 401, "The signature or credential is wrong"),
            Self::AuthTime => ("auth-time", 401, "The request was signed too long ago or ahead of time"),
            Self::AddressNotAllowed => ("address-not-allowed", 403, "The sender's address is not allowed"),
            Self::NotFound => ("not-found", 404, "There is nothing at this path"),
            Self::UnknownSource => ("unknown-source", 404, "There is no such source"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "The method is not allowed here"),
            Self::Timeout => ("timeout", 408, "The request came too slowly"),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            Self::ContentType => ("content-type", 415, "The body is not plain JSON"),
            Self::RateLimited => ("rate-limited", 429, "The source sends too many requests"),
            Self::HeadersTooLarge => ("headers-too-large", 431, "The headers are too large"),
            Self::Internal => ("internal", 500, "Something is wrong inside Aftercall"),
            Self::Busy => ("busy", 503, "Aftercall is busy"),
            Self::SpoolFull => ("spool-full", 503, "There is no room for another large body"),
            Self::BatchPending => ("batch-pending", 503, "An accepted batch is still being published"),
            Self::QueueBusy => ("queue-busy", 503, "The queue is busy"),
            Self::QueueFull => ("queue-full", 503, "The queue is full"),
            Self::QueueStopped => ("queue-stopped", 503, "The queue has stopped"),
        }
    }
}

/// A request that is not accepted.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// The cause and what to do about it. Goes to the sender: no secrets, no expected values.
    pub(crate) detail: Cow<'static, str>,
    /// `Retry-After`, rounded up to seconds.
    pub(crate) retry_after: Option<Duration>,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// `Allow`.
    allow: &'static str,
    /// What the log says in place of `detail`.
    pub(crate) cause: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, challenge: None, allow: "POST", cause: None }
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub(crate) fn challenge(self, challenge: String) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    pub(crate) fn allow(self, allow: &'static str) -> Self {
        Self { allow, ..self }
    }

    pub(crate) fn because(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The answer. `close` tells the sender that the connection ends with it.
    pub(crate) fn answer(&self, close: bool) -> Answer {
        let mut answer = Answer::new(self.body().into());
        *answer.status_mut() = self.reason.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if self.reason == Reason::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static(self.allow));
        }
        if self.reason == Reason::ContentType {
            headers.insert(HeaderName::from_static("accept-encoding"), HeaderValue::from_static("identity"));
        }
        if let Some(challenge) = self.challenge.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// The whole answer as HTTP/1.1 text, for connections on which no request is being served.
    pub(crate) fn raw(&self) -> Vec<u8> {
        let body = self.body();
        let status = self.reason.status();
        let mut text = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or(""),
            body.len()
        );
        if let Some(wait) = self.retry_after {
            text.push_str(&format!("retry-after: {}\r\n", seconds(wait)));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The problem detail.
    pub(crate) fn body(&self) -> Bytes {
        #[derive(Serialize)]
        struct Problem<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
        }
        let code = self.reason.code();
        let problem = Problem {
            r#type: format!("/problems/{code}"),
            title: self.reason.title(),
            status: self.reason.status().as_u16(),
            detail: &self.detail,
            code,
        };
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_order_and_have_codes_of_their_own() {
        let mut codes = std::collections::HashSet::new();
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(codes.insert(reason.code()));
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(reason.is_unproved(), reason.status() == StatusCode::UNAUTHORIZED);
            assert!(reason.status().is_client_error() || reason.status().is_server_error());
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
    }
}
