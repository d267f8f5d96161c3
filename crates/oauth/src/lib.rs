//! Access tokens by OAuth 2.0 client credentials (RFC 6749 §4.4): fetched once for all who ask, kept, and renewed
//! ahead of time.
//!
//! What it guarantees:
//!
//! - Whoever asks while a token is valid gets it at once; nobody waits for a renewal.
//! - There is one request to the token endpoint at a time, however many wait for its answer.
//! - A token that a resource refused is dropped once, however many report it, and not used again.
//! - A failed request leaves a token that is still valid in use, and is repeated after a growing pause.
//! - A rotated secret is used without a restart: when the endpoint refuses the old one, its source is asked again.
//! - Neither secrets nor tokens have a text in `Debug`, errors or logs.
//!
//! What to do is decided in [`state`], [`request`], [`answer`] and [`kept`], which are pure; the shell around them is
//! [`source`], [`endpoint`] and [`cache_file`]. A crash loses nothing: the next process asks for a token of its own, or
//! takes the one in the cache file.

mod answer;
mod cache_file;
mod endpoint;
mod error;
mod kept;
mod limits;
mod options;
mod request;
mod source;
mod state;
mod token;

pub use error::{Class, OptionsError, TokenError};
pub use options::{Credentials, Options};
pub use source::TokenSource;
pub use token::Token;
