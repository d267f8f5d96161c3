//! Tokens: what stands in place of a value, for whoever has the key to have it back.
//!
//! `token1:KEY:TEXT`: the version, the id of the key, and base64url without padding of the nonce and what is encrypted: a
//! byte for the kind of value, and what it says. A token says how long its value is, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::json::Raw;

use crate::error::Error;
use crate::keys::{ID_DIGITS, Keys};

/// Begins every token, and says how it is made.
const PREFIX: &str = "token1:";
/// What a token is encrypted for.
const PURPOSE: &[u8] = b"token";
/// The first byte of what a string says, and of a value as JSON.
const SAID: u8 = b's';
const JSON: u8 = b'j';

/// A value that was behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revealed {
    /// What a string said.
    Text(String),
    /// Another value, as it was written.
    Json(String),
}

impl Keys {
    /// The token of a value. A string that is a token of one of these keys already is left as it is.
    pub(crate) fn tokenise(&self, value: Raw<'_>) -> Result<String, Error> {
        let said = value.string_bytes();
        // A string with half of a surrogate pair cannot be said in UTF-8.
        let text = said.as_deref().and_then(|said| std::str::from_utf8(said).ok());
        if let Some(token) = text.filter(|text| text.starts_with(PREFIX) && self.reveal(text).is_ok()) {
            return Ok(token.to_owned());
        }
        let (kind, bytes) = text.map_or((JSON, value.as_str()), |text| (SAID, text));
        self.token_of(&[&[kind], bytes.as_bytes()].concat())
    }

    fn token_of(&self, clear: &[u8]) -> Result<String, Error> {
        let key = self.first()?;
        let mut encrypted = Vec::new();
        key.token().encrypt(PURPOSE, clear, &mut encrypted)?;
        let mut token = format!("{PREFIX}{}:", key.id());
        URL_SAFE_NO_PAD.encode_string(encrypted, &mut token);
        Ok(token)
    }

    /// The token that the key in use would make of what is behind one.
    pub(crate) fn renew(&self, token: &str) -> Option<String> {
        self.clear(token).and_then(|clear| self.token_of(&clear)).ok()
    }

    /// The value behind a token.
    ///
    /// # Errors
    /// If the text is no token, its key is not there, or it is not as it was made.
    pub fn reveal(&self, token: &str) -> Result<Revealed, Error> {
        let clear = self.clear(token)?;
        let (kind, value) = clear.split_first().ok_or(Error::Changed)?;
        let value = std::str::from_utf8(value).map_err(|_| Error::Changed)?.to_owned();
        match *kind {
            SAID => Ok(Revealed::Text(value)),
            JSON => Ok(Revealed::Json(value)),
            _ => Err(Error::Changed),
        }
    }

    fn clear(&self, token: &str) -> Result<Vec<u8>, Error> {
        let rest = token.strip_prefix(PREFIX).ok_or(Error::NotAToken)?;
        let (id, text) = rest.split_once(':').filter(|(id, _)| id.len() == ID_DIGITS).ok_or(Error::NotAToken)?;
        let encrypted = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::Changed)?;
        self.by_id(id.as_bytes())?.token().decrypt(PURPOSE, &encrypted)
    }
}
