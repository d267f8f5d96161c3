//! Who may ask the admin API for what: named tokens with scopes, kept hashed in one file of the data directory.
//!
//! The command line writes the file while the server runs; the server reads it again when it has changed. Without the
//! file, an API on a loopback address is open to everyone on the machine. With it, every request needs a token, also
//! when the last one in it is revoked or expired. An address that others can reach is never open.
//!
//! A crash while the file is written leaves the old file, and perhaps a piece of the new one beside it, which the next
//! write replaces.

mod caller;
mod failures;
mod file;
mod guard;
mod host;
mod known;
mod token;

pub use self::caller::Caller;
pub use self::file::TokenFile;
pub(crate) use self::guard::{Guard, guard, needed_by_method};
pub(crate) use self::known::Known;
pub use self::token::{Entry, Scope, Token};

/// Tokens in the file, at most: each request looks through them.
pub(crate) const TOKENS_MAX: usize = 1_000;
/// Bytes of the file that are read, at most; a thousand tokens take a quarter of it.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Characters of a token's name, at most: it stands in tables and logs.
pub(crate) const NAME_CHARS_MAX: usize = 64;
/// Failed logins that one sender may make at once.
pub(crate) const FAILURES_AT_ONCE: i64 = 20;
/// Milliseconds after which a sender may fail once more: twenty a minute.
pub(crate) const FAILURE_EVERY_MS: i64 = 3_000;
/// Senders whose failed logins are counted, at most; some 200 KiB.
pub(crate) const SENDERS_MAX: usize = 4_096;
