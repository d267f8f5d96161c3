//! Keyrings: the secrets of one source that are valid at the same time, so that they can be rotated without a gap.
//!
//! A keyring keeps no secret, only what is made of it to check requests. Files are read again when they change, and services
//! that keep secrets are asked from time to time; one that vanishes or cannot be read leaves its last good keys in force.

mod kept;
mod key;
mod usage;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use event::Timestamp;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::options::{MAX_KEYS, MAX_SECRET_FILE_BYTES, MISMATCH_REFRESH};
use crate::secret::{Secret, SecretError, SecretFormat, SecretSource};
use crate::stamp::Stamp;
use kept::kept;
use key::Key;

pub(crate) use key::{digest, salted};
pub use usage::KeyStatus;
pub(crate) use usage::Used;

/// Several secrets, each of which is good.
pub struct Keyring {
    format: SecretFormat,
    keys: ArcSwap<Vec<Arc<Key>>>,
    origins: Mutex<Vec<Origin>>,
    /// Milliseconds of the last reading that a mismatch caused.
    reread: AtomicI64,
    /// What is known of the use of keys by their fingerprints, from before the start or before they were taken out.
    past: Mutex<HashMap<String, Used>>,
}

/// One configured origin of secrets, and what it last gave.
struct Origin {
    source: SecretSource,
    stamp: Option<Stamp>,
    keys: Vec<Arc<Key>>,
    /// The line of the file on which each key stands, counted from 1.
    lines: Vec<usize>,
    /// When the secrets were last read from it.
    read_at: Option<Timestamp>,
    /// Set while the file cannot be read, so that this is said once.
    failing: Option<String>,
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
            past: Mutex::default(),
        })
    }

    /// The key by which one of `tags` is the HMAC-SHA256 of the joined `pieces`, as the audit trail names it. Every key is
    /// tried against every tag, so the time taken does not tell which one matched.
    ///
    /// A request that came at `used` counts as use of the key; one that is only looked at again has no such time.
    pub(crate) fn signer(&self, pieces: &[&[u8]], tags: &[[u8; 32]], used: Option<Timestamp>) -> Option<Arc<str>> {
        self.find(used, |key| {
            let expected = key.sign(pieces);
            tags.iter().fold(false, |found, tag| found | key::equal(expected.as_ref(), tag))
        })
    }

    /// The same as [`Self::signer`], of pieces that come one by one.
    pub(crate) fn begin(&self) -> Signing {
        let keys = self.keys.load_full();
        let contexts = keys.iter().map(|key| key.begin()).collect();
        Signing { keys, contexts }
    }

    /// The key of which `value` is the secret.
    pub(crate) fn has_secret(&self, value: &[u8], now: Timestamp) -> Option<Arc<str>> {
        let digest = key::digest(value);
        self.find(Some(now), |key| key.has_digest(&digest))
    }

    fn find(&self, used: Option<Timestamp>, check: impl Fn(&Key) -> bool) -> Option<Arc<str>> {
        let mut found = None;
        for key in self.keys.load().iter() {
            if check(key) {
                if let Some(at) = used {
                    key.used(at);
                }
                found = Some(key.proof());
            }
        }
        found
    }

    /// The key of whose secret only a salted digest was kept. No use of a key: the request was sent some time ago, and
    /// perhaps in vain.
    pub(crate) fn has_salted(&self, salt: &[u8], proof: &[u8; 32]) -> Option<Arc<str>> {
        self.find(None, |key| key.has_salted(salt, proof))
    }

    /// Reads the files again that have changed. Returns whether the keys did. Blocks on files.
    pub fn refresh(&self, now: Timestamp) -> bool {
        self.reread_files(false, now)
    }

    /// Whether a mismatch at `now` may cause [`Keyring::reread`]: there is something to read, and it was not read so within
    /// a second.
    pub(crate) fn may_reread(&self, now: Timestamp) -> bool {
        let last = self.reread.load(Ordering::Relaxed);
        let due = Timestamp::from_millis(last).plus(MISMATCH_REFRESH) <= now;
        due && self.can_change()
            && self.reread.compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads all files again, changed or not, because a change within one tick of the file system's clock leaves no
    /// trace. Returns whether the keys changed. Blocks on files.
    pub(crate) fn reread(&self, now: Timestamp) -> bool {
        self.reread_files(true, now)
    }

    fn can_change(&self) -> bool {
        let can = |origin: &Origin| matches!(origin.source, SecretSource::File(_) | SecretSource::Kept(_));
        self.origins.lock().iter().any(can)
    }

    fn reread_files(&self, all: bool, now: Timestamp) -> bool {
        let mut origins = self.origins.lock();
        let mut changed = false;
        for origin in origins.iter_mut() {
            changed |= origin.refresh(self.format, all, now);
        }
        if changed {
            self.carry_over(&self.keys.load(), &origins);
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

/// The signatures that all keys of a keyring make of the same bytes, while these are coming.
pub(crate) struct Signing {
    keys: Arc<Vec<Arc<Key>>>,
    contexts: Vec<hmac::Context>,
}

impl Signing {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.contexts.iter_mut().for_each(|context| context.update(piece));
    }

    /// Whether the keyring has the same keys still.
    pub(crate) fn is_current(&self, keyring: &Keyring) -> bool {
        Arc::ptr_eq(&self.keys, &keyring.keys.load())
    }

    /// The key by which one of `tags` is the signature, which was used at that time. Every key is tried against every tag.
    pub(crate) fn signer(&self, tags: &[[u8; 32]], used: Timestamp) -> Option<Arc<str>> {
        let mut found = None;
        for (key, context) in self.keys.iter().zip(&self.contexts) {
            let expected = context.clone().sign();
            if tags.iter().fold(false, |found, tag| found | key::equal(expected.as_ref(), tag)) {
                key.used(used);
                found = Some(key.proof());
            }
        }
        found
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.load().len()).finish_non_exhaustive()
    }
}

impl Origin {
    fn refresh(&mut self, format: SecretFormat, all: bool, now: Timestamp) -> bool {
        let path = match &self.source {
            SecretSource::File(path) => path,
            SecretSource::Kept(secret) => {
                let (read, failing) = (kept(&**secret, all, format), secret.failing());
                return self.take_kept(read, failing, now);
            }
            SecretSource::Env(_) | SecretSource::Value(_) => return false,
        };
        let read = reread(path, format, if all { None } else { self.stamp });
        if read.is_ok() && self.failing.take().is_some() {
            tracing::info!(file = %path.display(), "a secret file can be read again");
        }
        match read {
            Ok(None) => false,
            Ok(Some((stamp, (lines, secrets)))) => {
                (self.stamp, self.lines, self.read_at) = (Some(stamp), lines, Some(now));
                let (fresh, changed) = self.fresh(&secrets);
                if changed {
                    tracing::info!(file = %path.display(), keys = fresh.len(), "a secret file has changed and is in use");
                }
                self.keys = fresh;
                changed
            }
            Err(reason) => {
                if self.failing.replace(reason.to_string()).is_none() {
                    tracing::warn!(file = %path.display(), %reason, "a secret file cannot be read; its last keys stay valid");
                }
                false
            }
        }
    }
}

impl Origin {
    /// The keys of these secrets, and whether they are others than before.
    fn fresh(&self, secrets: &[Secret]) -> (Vec<Arc<Key>>, bool) {
        let fresh = keys_of(secrets, &self.keys);
        let same = fresh.len() == self.keys.len() && fresh.iter().zip(&self.keys).all(|(a, b)| Arc::ptr_eq(a, b));
        (fresh, !same)
    }
}

/// The file's secrets, if its stamp differs from `known`.
fn reread(path: &Path, format: SecretFormat, known: Option<Stamp>) -> Result<Option<(Stamp, Lines)>, Reason> {
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
    let single = |text: &str| match Secret::parse(text.as_bytes(), format) {
        Ok(secret) => Ok((None, (vec![1], vec![secret]))),
        Err(error) => Err(refuse(error.into())),
    };
    let (stamp, (lines, secrets)) = match &source {
        SecretSource::Env(name) => single(&Zeroizing::new(env(name).ok_or_else(|| refuse(Reason::NotSet))?))?,
        SecretSource::Value(text) => single(text)?,
        SecretSource::File(path) => {
            let stamp = Stamp::of(path).map_err(|error| refuse(error.into()))?;
            (Some(stamp), read_file(path, format).map_err(refuse)?)
        }
        SecretSource::Kept(secret) => (None, kept(&**secret, false, format).map_err(refuse)?),
    };
    let keys = keys_of(&secrets, &[]);
    Ok(Origin { source, stamp, keys, lines, read_at: None, failing: None })
}

/// The secrets of a file, and the lines on which they stand, counted from 1.
type Lines = (Vec<usize>, Vec<Secret>);

/// One secret per line; blank lines don't count.
fn read_file(path: &Path, format: SecretFormat) -> Result<Lines, Reason> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_SECRET_FILE_BYTES {
        return Err(Reason::TooLarge);
    }
    let text = Zeroizing::new(std::fs::read(path)?);
    let (mut lines, mut secrets) = (Vec::new(), Vec::new());
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            let secret = Secret::parse(line, format).map_err(|error| Reason::Line { line: at + 1, error })?;
            lines.push(at + 1);
            secrets.push(secret);
        }
    }
    if secrets.is_empty() { Err(Reason::Secret(SecretError::Empty)) } else { Ok((lines, secrets)) }
}

/// Makes keys, keeping those of `old` whose secret is still there, and so the time of their last use.
fn keys_of(secrets: &[Secret], old: &[Arc<Key>]) -> Vec<Arc<Key>> {
    secrets
        .iter()
        .map(|secret| {
            let digest = key::digest(secret.expose());
            let known = old.iter().find(|key| key.has_digest(&digest));
            known.cloned().unwrap_or_else(|| Arc::new(Key::new(secret)))
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
    /// The service that keeps it does not give it.
    #[error("{0}")]
    Service(String),
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
