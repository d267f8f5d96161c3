//! What can go wrong at a destination: when it is opened ([`OpenError`]) and at an attempt ([`SendError`]).

use std::path::PathBuf;
use std::time::Duration;

/// Longest message of a [`SendError`], in bytes. It is kept with every dead letter.
const MESSAGE_LIMIT: usize = 512;

/// Whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    /// It can: the destination, or the way to it, has a passing trouble.
    Transient,
    /// It can't: the destination will never take this delivery.
    Permanent,
    /// Nothing is wrong: what the delivery is about is not there yet, or it is not its turn. It comes again when
    /// [`Patience`] says so. That is no failure of the destination, and nothing is charged to the event.
    NotYet(Box<Patience>),
}

/// How what is not there yet is waited for. Pauses grow with the time that it has been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The pause at the beginning.
    pub shortest: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// For how long it is tried, and what is said then; without it, for as long as the queue keeps the event.
    pub give_up: Option<(Duration, &'static str)>,
}

/// An attempt failed. Holds neither credentials nor a query string.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// Whether trying again can help.
    pub class: ErrorClass,
    /// HTTP status, if the destination answered.
    pub status: Option<u16>,
    /// What happened, in one line of at most 512 bytes.
    pub message: String,
    /// The start of the answer, at most 2 KiB of clean text.
    pub excerpt: Option<String>,
    /// How long the destination asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// A passing failure without an answer.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message.into())
    }

    /// A failure for good without an answer.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message.into())
    }

    /// Not there yet. With a status if the destination was asked and said so; without one it tells nothing about the
    /// destination.
    pub fn not_yet(patience: Patience, status: Option<u16>, message: impl Into<String>) -> Self {
        Self { status, ..Self::new(ErrorClass::NotYet(Box::new(patience)), message.into()) }
    }

    fn new(class: ErrorClass, message: String) -> Self {
        let message = event::shortened(&message, MESSAGE_LIMIT);
        Self { class, status: None, message, excerpt: None, retry_after: None }
    }
}

/// A destination cannot be opened as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong.
    #[error("`{key}` {problem}")]
    Option {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// What a setting names is not as it must be: somebody has to mend it there, or to change the setting.
    #[error("`{key}` {problem}")]
    Place {
        /// The setting.
        key: &'static str,
        /// What is wrong, and the cure.
        problem: String,
    },
    /// The directory of the file is missing.
    #[error("the directory `{}` does not exist; create it, or change `path`", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Another destination or process writes to the file.
    #[error("`{}` is in use by another destination or process; give each its own `path`", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("cannot open `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client cannot be made, for example because no root certificates can be loaded.
    #[error("cannot set up the client: {detail}")]
    Client {
        /// What is missing.
        detail: String,
    },
}

impl OpenError {
    pub(crate) fn option(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { key, problem: problem.into() }
    }

    pub(crate) fn place(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Place { key, problem: problem.into() }
    }

    /// Whether the settings are wrong by themselves. All else was found by asking the destination, and may be mended there.
    pub fn is_of_settings(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::Client { .. })
    }
}

impl From<outbound::ClientError> for OpenError {
    fn from(error: outbound::ClientError) -> Self {
        match error {
            outbound::ClientError::NoCertificate => Self::option("ca", error.to_string()),
            outbound::ClientError::Tls(detail) => Self::Client { detail },
        }
    }
}
