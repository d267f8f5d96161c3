//! When and how often keys are used, so that it is known when an old one may be retired.
//!
//! Counting is two atomic additions per request. What has been counted survives a restart if it is saved somewhere
//! ([`Keyring::usage`]) and given back ([`Keyring::remember`]); a crash loses what came after the last saving.

use std::sync::Arc;

use event::Timestamp;
use serde::Serialize;

use super::key::Key;
use super::{Keyring, Origin};
use crate::secret::SecretSource;

/// One key, as `secrets status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyStatus {
    /// Where it comes from: `env:NAME`, `file:PATH#LINE`, or `secretsmanager:NAME`.
    pub origin: String,
    /// The first 8 hexadecimal digits of its SHA-256, to tell keys apart.
    pub fingerprint: String,
    /// When a request was last verified with it; `None` if none is known.
    pub last_used: Option<Timestamp>,
    /// How many requests were verified with it, as far as is known.
    pub uses: u64,
    /// When it was last read from its origin.
    pub read_at: Option<Timestamp>,
    /// Why its origin cannot be read now; the key stays in force.
    pub error: Option<String>,
}

/// How a key was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    /// Last.
    pub(crate) last: Timestamp,
    /// How often.
    pub(crate) uses: u64,
}

impl Keyring {
    /// The keys with their last use, in the order of the configuration.
    pub fn status(&self) -> Vec<KeyStatus> {
        self.origins.lock().iter().flat_map(Origin::status).collect()
    }

    /// Takes note that the secrets were read at this time, where none is known.
    pub(crate) fn read_at(&self, now: Timestamp) {
        for origin in self.origins.lock().iter_mut() {
            origin.read_at.get_or_insert(now);
        }
    }

    /// The use of each key that is known to have been used, by its fingerprint; also of keys that are gone.
    pub(crate) fn usage(&self) -> Vec<(String, Used)> {
        let keys = self.keys.load();
        let here = keys.iter().filter_map(|key| Some((key.fingerprint().to_owned(), key.usage()?)));
        let mut usage: Vec<_> = here.collect();
        for (fingerprint, used) in self.past.lock().iter() {
            if !usage.iter().any(|(known, _)| known == fingerprint) {
                usage.push((fingerprint.clone(), *used));
            }
        }
        usage
    }

    /// Adds what is known from before to the keys that are there, and to those that come back later.
    pub(crate) fn remember(&self, usage: impl IntoIterator<Item = (String, Used)>) {
        let keys = self.keys.load();
        for (fingerprint, used) in usage {
            match keys.iter().find(|key| key.fingerprint() == fingerprint) {
                Some(key) => key.add(&used),
                None => drop(self.past.lock().insert(fingerprint, used)),
            }
        }
    }

    /// Before other keys come into force: keeps the use of those that go, and gives it to those that come back.
    pub(super) fn carry_over(&self, old: &[Arc<Key>], origins: &[Origin]) {
        let mut past = self.past.lock();
        let is_in = |key: &Arc<Key>, keys: &[Arc<Key>]| keys.iter().any(|other| Arc::ptr_eq(key, other));
        for key in old.iter().filter(|key| !origins.iter().any(|origin| is_in(key, &origin.keys))) {
            if let Some(used) = key.usage() {
                past.insert(key.fingerprint().to_owned(), used);
            }
        }
        for key in origins.iter().flat_map(|origin| &origin.keys).filter(|key| !is_in(key, old)) {
            if let Some(used) = past.remove(key.fingerprint()) {
                key.add(&used);
            }
        }
    }
}

impl Origin {
    fn status(&self) -> Vec<KeyStatus> {
        let name = |line: usize| match &self.source {
            SecretSource::File(_) => format!("{}#{line}", self.source),
            SecretSource::Kept(_) if line > 1 => format!("{} (the one before)", self.source),
            _ => self.source.to_string(),
        };
        let of = |(key, line): (&Arc<Key>, &usize)| {
            let used = key.usage();
            KeyStatus {
                origin: name(*line),
                fingerprint: key.fingerprint().to_owned(),
                last_used: used.map(|used| used.last),
                uses: used.map_or(0, |used| used.uses),
                read_at: self.read_at,
                error: self.failing.clone(),
            }
        };
        self.keys.iter().zip(&self.lines).map(of).collect()
    }
}
