//! Keyrings: the secrets of one source that are valid at the same time, so that they can be rotated without a gap.
//!
//! A keyring keeps no secret, only what is made of it to check requests. Files are read again when they change; one
//! that vanishes or becomes unreadable leaves its last good keys in force.

mod key;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use event::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::options::{MAX_KEYS, MAX_SECRET_FILE_BYTES, MISMATCH_REFRESH};
use crate::secret::{Secret, SecretError, SecretFormat, SecretSource};
use crate::stamp::Stamp;
use key::Key;

/// Several secrets, each of which is good.
pub struct Keyring {
    format: SecretFormat,
    keys: ArcSwap<Vec<Arc<Key>>>,
    origins: Mutex<Vec<Origin>>,
    /// Milliseconds of the last reading that a mismatch caused.
    reread: AtomicI64,
}

/// One configured origin of secrets, and what it last gave.
struct Origin {
    source: SecretSource,
    stamp: Option<Stamp>,
    keys: Vec<Arc<Key>>,
    /// Set while the file cannot be read, so that this is said once.
    failing: bool,
}

/// One key, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// Where it comes from.
    pub origin: String,
    /// The first 8 hexadecimal digits of its SHA-256, to tell keys apart.
    pub fingerprint: String,
    /// When a request was last verified with it; `None` since start.
    pub last_used: Option<Timestamp>,
}

impl Keyring {
    /// Reads all secrets; `env` looks up an environment variable. Blocks on files.
    pub fn load(
        sources: impl IntoIterator<Item = SecretSource>,
        format: SecretFormat,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeyringError> {
        let origins: Vec<Origin> =
            sources.into_iter().map(|source| open(source, format, env)).collect::<Result<_, _>>()?;
        let keys = gather(&origins);
        if keys.is_empty() {
            return Err(KeyringError::NoSecret);
        }
        if keys.len() > MAX_KEYS {
            return Err(KeyringError::TooMany { keys: keys.len() });
        }
        Ok(Self {
            format,
            keys: ArcSwap::from_pointee(keys),
            origins: Mutex::new(origins),
            reread: AtomicI64::new(i64::MIN),
        })
    }

    /// The keys with their last use, in the order of the configuration.
    pub fn status(&self) -> Vec<KeyStatus> {
        self.keys.load().iter().map(|key| key.status()).collect()
    }

    /// Whether one of `tags` is the HMAC-SHA256 of the joined `pieces` by one of the keys. Every key is tried against
    /// every tag, so the time taken does not tell which one matched.
    pub(crate) fn has_signed(&self, pieces: &[&[u8]], tags: &[[u8; 32]], now: Timestamp) -> bool {
        self.any(now, |key| {
            let expected = key.sign(pieces);
            tags.iter().fold(false, |found, tag| found | key::equal(expected.as_ref(), tag))
        })
    }

    /// Whether `value` is one of the secrets.
    pub(crate) fn has_secret(&self, value: &[u8], now: Timestamp) -> bool {
        let digest = key::digest(value);
        self.any(now, |key| key.has_digest(&digest))
    }

    fn any(&self, now: Timestamp, check: impl Fn(&Key) -> bool) -> bool {
        let mut found = false;
        for key in self.keys.load().iter() {
            if check(key) {
                key.used(now);
                found = true;
            }
        }
        found
    }

    /// Reads the files again that have changed. Returns whether the keys did. Blocks on files.
    pub fn refresh(&self) -> bool {
        self.reread_files(false)
    }

    /// Whether a mismatch at `now` may cause [`Keyring::reread`]: there are files, and none was read so within a second.
    pub(crate) fn may_reread(&self, now: Timestamp) -> bool {
        let last = self.reread.load(Ordering::Relaxed);
        let due = Timestamp::from_millis(last).plus(MISMATCH_REFRESH) <= now;
        due && self.has_files()
            && self.reread.compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads all files again, changed or not, because a change within one tick of the file system's clock leaves no
    /// trace. Returns whether the keys changed. Blocks on files.
    pub(crate) fn reread(&self) -> bool {
        self.reread_files(true)
    }

    fn has_files(&self) -> bool {
        self.origins.lock().iter().any(|origin| matches!(origin.source, SecretSource::File(_)))
    }

    fn reread_files(&self, all: bool) -> bool {
        let mut origins = self.origins.lock();
        let mut changed = false;
        for origin in origins.iter_mut() {
            changed |= origin.refresh(self.format, all);
        }
        if changed {
            let mut keys = gather(&origins);
            if keys.len() > MAX_KEYS {
                tracing::warn!(
                    keys = keys.len(),
                    used = MAX_KEYS,
                    "a keyring has too many secrets; the last are not used"
                );
                keys.truncate(MAX_KEYS);
            }
            self.keys.store(Arc::new(keys));
        }
        changed
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.load().len()).finish_non_exhaustive()
    }
}

impl Origin {
    fn refresh(&mut self, format: SecretFormat, all: bool) -> bool {
        let SecretSource::File(path) = &self.source else { return false };
        match reread(path, format, if all { None } else { self.stamp }) {
            Ok(None) => false,
            Ok(Some((stamp, secrets))) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(file = %path.display(), "a secret file can be read again");
                }
                self.stamp = Some(stamp);
                let fresh = keys_of(&self.source, &secrets, &self.keys);
                let changed =
                    fresh.len() != self.keys.len() || !fresh.iter().zip(&self.keys).all(|(a, b)| Arc::ptr_eq(a, b));
                if changed {
                    tracing::info!(file = %path.display(), keys = fresh.len(), "a secret file has changed and is in use");
                }
                self.keys = fresh;
                changed
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(file = %path.display(), %reason, "a secret file cannot be read; its last keys stay valid");
                }
                false
            }
        }
    }
}

/// The file's secrets, if its stamp differs from `known`.
fn reread(path: &Path, format: SecretFormat, known: Option<Stamp>) -> Result<Option<(Stamp, Vec<Secret>)>, Reason> {
    let stamp = Stamp::of(path)?;
    if known == Some(stamp) {
        return Ok(None);
    }
    Ok(Some((stamp, read_file(path, format)?)))
}

fn open(
    source: SecretSource,
    format: SecretFormat,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Origin, KeyringError> {
    let refuse = |reason| KeyringError::Unusable { origin: source.to_string(), reason };
    let (stamp, secrets) = match &source {
        SecretSource::Env(name) => {
            let text = Zeroizing::new(env(name).ok_or_else(|| refuse(Reason::NotSet))?);
            (None, vec![Secret::parse(text.as_bytes(), format).map_err(|error| refuse(error.into()))?])
        }
        SecretSource::Value(text) => {
            (None, vec![Secret::parse(text.as_bytes(), format).map_err(|error| refuse(error.into()))?])
        }
        SecretSource::File(path) => {
            let stamp = Stamp::of(path).map_err(|error| refuse(error.into()))?;
            (Some(stamp), read_file(path, format).map_err(refuse)?)
        }
    };
    let keys = keys_of(&source, &secrets, &[]);
    Ok(Origin { source, stamp, keys, failing: false })
}

/// One secret per line; blank lines don't count.
fn read_file(path: &Path, format: SecretFormat) -> Result<Vec<Secret>, Reason> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_SECRET_FILE_BYTES {
        return Err(Reason::TooLarge);
    }
    let text = Zeroizing::new(std::fs::read(path)?);
    let mut secrets = Vec::new();
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            let secret = Secret::parse(line, format).map_err(|error| Reason::Line { line: at + 1, error })?;
            secrets.push(secret);
        }
    }
    if secrets.is_empty() { Err(Reason::Secret(SecretError::Empty)) } else { Ok(secrets) }
}

/// Makes keys, keeping those of `old` whose secret is still there, and so the time of their last use.
fn keys_of(source: &SecretSource, secrets: &[Secret], old: &[Arc<Key>]) -> Vec<Arc<Key>> {
    secrets
        .iter()
        .map(|secret| {
            let digest = key::digest(secret.expose());
            let known = old.iter().find(|key| key.has_digest(&digest));
            known.cloned().unwrap_or_else(|| Arc::new(Key::new(secret, source.to_string().into())))
        })
        .collect()
}

fn gather(origins: &[Origin]) -> Vec<Arc<Key>> {
    origins.iter().flat_map(|origin| origin.keys.iter().cloned()).collect()
}

/// A keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// No secret is configured.
    #[error("no secret is configured; name at least one by `env:NAME` or `file:PATH`")]
    NoSecret,
    /// Each key costs one HMAC per request.
    #[error("{keys} secrets are configured, at most {MAX_KEYS} can be valid at once; remove old ones")]
    TooMany {
        /// How many.
        keys: usize,
    },
    /// One origin gives no secret.
    #[error("the secret from {origin} cannot be used: {reason}")]
    Unusable {
        /// Where it should come from.
        origin: String,
        /// Why not.
        reason: Reason,
    },
}

/// Why an origin gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The environment variable does not exist.
    #[error("the variable is not set")]
    NotSet,
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is not one of secrets.
    #[error("the file is larger than {MAX_SECRET_FILE_BYTES} bytes")]
    TooLarge,
    /// The text is no secret.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// A line is no secret.
    #[error("line {line}: {error}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        error: SecretError,
    },
}

#[cfg(test)]
mod tests;
