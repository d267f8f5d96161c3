//! What can go wrong with the platform. Each variant tells the caller what to do.

use std::time::Duration;

use oauth::TokenError;

/// A client could not be made, or a call has failed. Holds neither tokens nor addresses of transcripts.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GenesysError {
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
    Setup(#[from] outbound::ClientError),
    /// There is no access token. Its class says whether trying again helps.
    #[error("no access token: {0}")]
    Token(#[from] TokenError),
    /// It is not there, or not there yet: transcripts take from minutes to days.
    #[error("{call}: it is not there, or not there yet{}", tagged(correlation))]
    NotFound {
        /// Which call.
        call: String,
        /// The id by which Genesys finds the request.
        correlation: Option<String>,
    },
    /// The budget of requests is used up. Try again after that time.
    #[error("{call}: no more requests for {} s{}", retry_after.as_secs_f32().ceil(), tagged(correlation))]
    RateLimited {
        /// Which call.
        call: String,
        /// How long to wait.
        retry_after: Duration,
        /// The id by which Genesys finds the request; none if it was not made.
        correlation: Option<String>,
    },
    /// The platform, or the way to it, has a passing trouble. Try again.
    #[error("{call}: {problem}{}", tagged(correlation))]
    Transient {
        /// Which call.
        call: String,
        /// What happened.
        problem: String,
        /// How long the platform asked to be left alone.
        retry_after: Option<Duration>,
        /// The id by which Genesys finds the request.
        correlation: Option<String>,
    },
    /// The platform refuses the request for good. A person must change something.
    #[error("{call}: {problem}{}", tagged(correlation))]
    Refused {
        /// Which call.
        call: String,
        /// HTTP status.
        status: u16,
        /// The platform's own code, such as `not.authorized`; may be empty.
        code: String,
        /// What happened and what to do.
        problem: String,
        /// The id by which Genesys finds the request.
        correlation: Option<String>,
    },
}

impl GenesysError {
    pub(crate) fn option(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { key, problem: problem.into() }
    }

    /// When to try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Token(error) => error.retry_after,
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Transient { retry_after, .. } => *retry_after,
            Self::Option { .. } | Self::Setup(_) | Self::NotFound { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether trying again can help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Token(error) => error.class != oauth::Class::Refused,
            Self::RateLimited { .. } | Self::Transient { .. } | Self::NotFound { .. } => true,
            Self::Option { .. } | Self::Setup(_) | Self::Refused { .. } => false,
        }
    }
}

fn tagged(correlation: &Option<String>) -> String {
    correlation.as_ref().map(|id| format!(" (correlation id {id})")).unwrap_or_default()
}
