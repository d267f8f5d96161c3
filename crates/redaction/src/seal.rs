//! Seals: whole bodies that no rule can read, because they are no JSON or nobody has vouched for them.
//!
//! A sealed body is `aftercall-sealed-1 KEY`, a line feed, and the nonce with what is encrypted. It is made for one
//! source, and can be opened as a body of that source only. It says how long the body is, and nothing else.

use bytes::Bytes;

use crate::error::Error;
use crate::keys::{AROUND_BYTES, ID_DIGITS, Keys};

/// Begins every sealed body, and says how it is made.
const PREFIX: &[u8] = b"aftercall-sealed-1 ";

/// Whether a body is sealed, or begins like one.
pub fn is_sealed(body: &[u8]) -> bool {
    parts(body).is_some()
}

fn parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (id, rest) = body.strip_prefix(PREFIX)?.split_at_checked(ID_DIGITS)?;
    Some((id, rest.strip_prefix(b"\n")?))
}

fn purpose(source: &str) -> Vec<u8> {
    [b"a body of ", source.as_bytes()].concat()
}

impl Keys {
    /// Seals a body that was sent to a source.
    ///
    /// # Errors
    /// Only if the cipher fails.
    pub fn seal(&self, source: &str, body: &[u8]) -> Result<Bytes, Error> {
        let key = self.first()?;
        let mut sealed = Vec::with_capacity(PREFIX.len() + ID_DIGITS + 1 + AROUND_BYTES + body.len());
        sealed.extend_from_slice(PREFIX);
        sealed.extend_from_slice(key.id().as_bytes());
        sealed.push(b'\n');
        key.seal().encrypt(&purpose(source), body, &mut sealed)?;
        Ok(sealed.into())
    }

    /// The body that was sealed.
    ///
    /// # Errors
    /// If its key is not there, or it is not as it was made for this source.
    pub fn open(&self, source: &str, sealed: &[u8]) -> Result<Bytes, Error> {
        let (id, encrypted) = parts(sealed).ok_or(Error::Changed)?;
        self.by_id(id)?.seal().decrypt(&purpose(source), encrypted).map(Bytes::from)
    }

    /// The same without any key: what is not sealed is itself.
    ///
    /// # Errors
    /// As [`Self::open`]; also if it is sealed and there are no keys.
    pub fn opened(keys: Option<&Self>, source: &str, body: Bytes) -> Result<Bytes, Error> {
        match (parts(&body), keys) {
            (None, _) => Ok(body),
            (Some(_), Some(keys)) => keys.open(source, &body),
            (Some((id, _)), None) => Err(Error::NoKey(id.escape_ascii().to_string())),
        }
    }
}
