//! An access token. Its text is shown nowhere.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderValue;

use crate::limits::TOKEN_MAX;
use crate::source::Inner;

/// The text of a token, and the header made of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenText {
    text: String,
    header: HeaderValue,
}

impl TokenText {
    /// `None` if the text can stand in no header.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= TOKEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok().filter(|_| fits)?;
        header.set_sensitive(true);
        Some(Self { text: text.to_owned(), header })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// A token as it was handed out. Cheap to clone.
#[derive(Clone)]
pub struct Token {
    pub(crate) id: u64,
    pub(crate) text: Arc<TokenText>,
    pub(crate) expires_in: Duration,
    pub(crate) source: Weak<Inner>,
}

impl Token {
    /// `Bearer …`, marked as sensitive.
    pub fn authorization(&self) -> HeaderValue {
        self.text.header.clone()
    }

    /// The token itself, for example to blot it out of a text. Not for logs.
    pub fn expose(&self) -> &str {
        self.text.as_str()
    }

    /// How long it was valid when it was handed out.
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Whether it is the very token that was handed out before.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && Weak::ptr_eq(&self.source, &other.source)
    }

    /// Reports that a resource took it. Then a refusal that comes shortly after its issue is not taken for its own.
    pub fn accept(&self) {
        if let Some(source) = self.source.upgrade() {
            source.accept(self.id);
        }
    }

    /// Reports that a resource refused it with 401: it is dropped, if it is still the one in use, and the next who asks
    /// gets another. Many reports of one token make for one request to the token endpoint.
    pub fn reject(&self) {
        if let Some(source) = self.source.upgrade() {
            source.reject(self.id);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
