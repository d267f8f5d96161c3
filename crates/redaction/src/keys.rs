//! Keys: made of secrets, known by short ids, and what is derived of them.
//!
//! A secret is never used itself. For each use a key of its own is derived (HMAC-SHA256 of what it is for), so that a hash
//! says nothing of a token, and neither of what is sealed. The id is derived too; it is no secret and says nothing of one.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use event::json::Raw;

use crate::error::Error;
use crate::limits::{MAX_KEYS, MIN_KEY_CHARACTERS};

/// Goes into everything that is derived; a change of how that is done changes it.
const VERSION: &str = "aftercall redaction 1: ";
/// Begins every hash, and says how it is made.
const HASH_PREFIX: &str = "hmac-sha256:";
/// Hexadecimal digits of an id: enough to tell a few keys apart.
pub(crate) const ID_DIGITS: usize = 8;
/// Bytes that a cipher adds in front of and behind what it encrypts.
pub(crate) const AROUND_BYTES: usize = NONCE_LEN + 16;

/// The keys of a configuration. The first makes hashes and tokens and seals; all of them reveal and open.
pub struct Keys(Vec<Key>);

/// One key.
pub(crate) struct Key {
    id: String,
    hash: hmac::Key,
    token: Cipher,
    seal: Cipher,
}

/// AES-256-GCM-SIV with nonces that are made of what is encrypted: the same gives the same, and nothing else can be seen
/// of it. It stays safe should two nonces ever be alike.
pub(crate) struct Cipher {
    key: LessSafeKey,
    nonces: hmac::Key,
}

impl Keys {
    /// Makes keys of secrets, the one to use first.
    ///
    /// # Errors
    /// If there is none, if there are too many, or if one is too short or there twice.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for secret in secrets {
            let key = Key::new(secret.as_ref())?;
            if keys.iter().any(|known: &Key| known.id == key.id) {
                return Err(Error::SameKey(key.id));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(Error::NoKeys),
            1..=MAX_KEYS => Ok(Self(keys)),
            _ => Err(Error::TooManyKeys),
        }
    }

    /// The ids, that of the key in use first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// All, the one in use first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The one that is in use.
    pub(crate) fn first(&self) -> Result<&Key, Error> {
        self.0.first().ok_or(Error::NoKeys)
    }

    /// The one with an id.
    pub(crate) fn by_id(&self, id: &[u8]) -> Result<&Key, Error> {
        let known = self.0.iter().find(|key| key.id.as_bytes() == id);
        known.ok_or_else(|| Error::NoKey(id.escape_ascii().to_string()))
    }
}

/// By their ids: the same secrets in the same order.
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.ids().eq(other.ids())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < MIN_KEY_CHARACTERS {
            return Err(Error::ShortKey);
        }
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |what: &str| hmac::sign(&secret, format!("{VERSION}{what}").as_bytes());
        let mut id = hex::encode(derive("id"));
        id.truncate(ID_DIGITS);
        Ok(Self {
            id,
            hash: hmac::Key::new(hmac::HMAC_SHA256, derive("hash").as_ref()),
            token: Cipher::new(derive("token").as_ref(), derive("nonce of a token").as_ref())?,
            seal: Cipher::new(derive("seal").as_ref(), derive("nonce of a seal").as_ref())?,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn token(&self) -> &Cipher {
        &self.token
    }

    pub(crate) fn seal(&self) -> &Cipher {
        &self.seal
    }

    /// The text that stands for a value: the same for values that say the same.
    pub(crate) fn hash_of(&self, value: Raw<'_>) -> String {
        let hash = hmac::sign(&self.hash, &event::canonical_form(value));
        format!("{HASH_PREFIX}{}:{}", self.id, hex::encode(hash))
    }
}

impl Cipher {
    fn new(key: &[u8], nonces: &[u8]) -> Result<Self, Error> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).map_err(|_| Error::Cipher)?;
        Ok(Self { key: LessSafeKey::new(key), nonces: hmac::Key::new(hmac::HMAC_SHA256, nonces) })
    }

    /// Appends the nonce and what was encrypted for a purpose to `out`.
    pub(crate) fn encrypt(&self, purpose: &[u8], clear: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut nonce = hmac::Context::with_key(&self.nonces);
        nonce.update(&(purpose.len() as u64).to_be_bytes());
        nonce.update(purpose);
        nonce.update(clear);
        let mut bytes = [0; NONCE_LEN];
        bytes.copy_from_slice(&nonce.sign().as_ref()[..NONCE_LEN]);
        out.reserve(clear.len() + AROUND_BYTES);
        out.extend_from_slice(&bytes);
        let start = out.len();
        out.extend_from_slice(clear);
        let nonce = Nonce::assume_unique_for_key(bytes);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(purpose), &mut out[start..]);
        out.extend_from_slice(tag.map_err(|_| Error::Cipher)?.as_ref());
        Ok(())
    }

    /// What was encrypted for a purpose.
    pub(crate) fn decrypt(&self, purpose: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, rest) = encrypted.split_first_chunk::<NONCE_LEN>().ok_or(Error::Changed)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(purpose), &mut rest);
        let clear = opened.map_err(|_| Error::Changed)?.len();
        rest.truncate(clear);
        Ok(rest)
    }
}
