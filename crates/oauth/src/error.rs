//! What can go wrong: when a source is made ([`OptionsError`]), and when a token is asked for ([`TokenError`]).

use std::time::Duration;

/// What a failure means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The endpoint, or the way to it, has a passing trouble.
    Transient,
    /// The endpoint wants fewer requests.
    RateLimited,
    /// The endpoint does not accept the credentials, or what is asked with them. A person must change something; when
    /// the secret changes it is tried at once.
    Refused,
}

/// There is no token. Holds neither the secret nor a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    /// What it means.
    pub class: Class,
    /// HTTP status, if the endpoint answered.
    pub status: Option<u16>,
    /// What happened and what to do, in one line.
    pub message: String,
    /// When it is worth asking again.
    pub retry_after: Option<Duration>,
}

impl TokenError {
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, status: None, message: message.into(), retry_after: None }
    }

    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self::new(Class::Transient, message)
    }
}

/// A source cannot be made as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A setting is wrong.
    #[error("`{key}` {problem}")]
    Option {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] outbound::ClientError),
}

impl OptionsError {
    pub(crate) fn option(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { key, problem: problem.into() }
    }
}
