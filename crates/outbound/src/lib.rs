//! What everything that calls out has in common: an HTTP client, secrets, and what an answer asks for.
//!
//! What it guarantees: redirects are not followed and proxies from the environment not used; certificates are verified
//! against the system's authorities and those that are named; a secret has no text in `Debug`; an answer is read only
//! as far as it is wanted.

mod answer;
#[cfg(feature = "aws")]
pub mod aws;
mod client;
mod clock;
mod secret;
pub mod tls;

pub use answer::{read, retry_after};
pub use client::{ClientError, ClientOptions, HttpClient, client, root_cause};
pub use clock::now;
pub use secret::{Secret, SecretError, SecretFile};

/// Some APIs refuse requests that do not say who sends them.
pub const USER_AGENT: &str = concat!("aftercall/", env!("CARGO_PKG_VERSION"));
