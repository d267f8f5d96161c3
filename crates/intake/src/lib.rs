//! From the wire to the queue: receives, verifies, splits and publishes; answers 200 only when durable.
//!
//! | path | what it does |
//! |---|---|
//! | `POST /in/{source}` | accepts the events of one body, all or none |
//! | `GET /health/live` | 200 while the process runs |
//! | `GET /health/ready` | 200 while requests can be accepted, else 503 with the reason |
//!
//! A body is read only after address, source, method, size, media type and every credential in the headers have been
//! found good, and what it may cost in bytes and time is bounded (`options`). Nothing is published before the body's
//! signature has been verified over its raw bytes, and of a source with rules nothing is stored before they have been
//! applied (`redact`). What cannot be verified is offered to the quarantine (`quarantine`),
//! from which it can be released once the keys are right (`release`). Every refusal is a problem detail of RFC 9457 (`problem`).

mod activity;
mod auth;
mod body;
mod connection;
mod connections;
mod counters;
pub mod direct;
mod error;
mod handle;
mod head;
mod keyring;
mod large;
mod memory;
pub mod options;
mod problem;
mod quarantine;
mod rate;
mod receive;
mod redact;
mod release;
mod respond;
mod secret;
mod server;
mod signature;
mod source;
mod spool;
#[cfg(feature = "aws")]
pub mod sqs;
mod stamp;
mod tls;
mod topics;
mod traced;

pub use counters::SourceCounts;
pub use error::{Error, SpoolError};
pub use handle::Handle;
pub use keyring::{KeyStatus, Keyring, KeyringError, Reason as KeyringReason};
pub use options::{Limits, Options, SpoolOptions, TlsFiles};
pub use problem::Reason;
pub use quarantine::{
    Credential, KeyUse, Quarantine, QuarantineCounts, QuarantineEntry, QuarantineError, QuarantineQuery,
    QuarantineSelection, QuarantineStatus, Quarantined,
};
pub use release::{NotReleased, Release, Released};
pub use secret::{KeptSecret, Secret, SecretError, SecretFormat, SecretSource, SecretSourceError, SecretText};
pub use server::{Clock, Intake};
pub use signature::{Claim, ContentError, Encoding, SignatureFailure, SignatureScheme, SignedContent, SignedTime};
pub use source::{Auth, Source};
pub use topics::TopicCounts;
