//! The `http` kind: one request for each delivery, to any CRM.
//!
//! What it guarantees: a value from an event can change neither the host, nor the number of path segments, nor a
//! header line; redirects are not followed and proxies from the environment not used; an answer is read only so far
//! as it is needed; no secret reaches an error.

pub(crate) mod answer;
pub(crate) mod call;
mod client;
mod headers;
mod options;
pub(crate) mod pointer;
mod send;
mod status;
mod template;
#[cfg(test)]
mod tests;

pub use options::{Auth, HeaderText, Options};
pub use send::HttpDestination;
pub use status::{ParseStatusError, Statuses};
pub(crate) use template::RESERVED;
pub use template::{UrlTemplate, UrlTemplateError};
