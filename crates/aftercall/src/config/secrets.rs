//! Secrets that destinations send: named in the configuration, read when needed, again when their file changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use destinations::{Secret, SecretError};

use super::ConfigError;

/// A file is looked at for changes at most so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// More is no secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Finds secrets by their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets;

impl Secrets {
    /// The secret that `name` names; `key` is where the configuration names it.
    pub(crate) fn find(key: &str, name: &str) -> Result<Secret, ConfigError> {
        let cannot = |problem: SecretError| ConfigError::value(key, problem);
        match name.split_once(':') {
            Some(("env", variable)) => {
                let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
                let value = value
                    .ok_or_else(|| cannot(SecretError(format!("the environment variable {variable} is not set"))))?;
                Ok(Secret::fixed(value))
            }
            Some(("file", path)) => {
                let file = SecretFile::new(PathBuf::from(path));
                file.get().map_err(cannot)?;
                Ok(Secret::from_fn(move || file.get()))
            }
            _ => Err(ConfigError::value_with_help(
                key,
                "is no name of a secret",
                "secrets do not stand in the configuration; write \"env:NAME\" or \"file:PATH\"",
            )),
        }
    }
}

/// A file whose first line is a secret.
struct SecretFile {
    path: PathBuf,
    state: std::sync::Mutex<Option<Known>>,
}

struct Known {
    value: Arc<str>,
    looked: Instant,
    stamp: (Option<SystemTime>, u64),
}

impl SecretFile {
    fn new(path: PathBuf) -> Self {
        Self { path, state: std::sync::Mutex::default() }
    }

    /// The secret now. A file that cannot be read any more leaves the last secret in force.
    fn get(&self) -> Result<Arc<str>, SecretError> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = state.as_mut() {
            if now.duration_since(known.looked) < LOOK_EVERY || self.stamp().is_none_or(|stamp| stamp == known.stamp) {
                return Ok(Arc::clone(&known.value));
            }
            known.looked = now;
        }
        match (self.read(), state.as_ref()) {
            (Ok(value), _) => {
                *state =
                    Some(Known { value: Arc::clone(&value), looked: now, stamp: self.stamp().unwrap_or_default() });
                Ok(value)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "a secret's file cannot be read; the last secret stays in force");
                Ok(Arc::clone(&known.value))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn stamp(&self) -> Option<(Option<SystemTime>, u64)> {
        let data = std::fs::metadata(&self.path).ok()?;
        Some((data.modified().ok(), data.len()))
    }

    fn read(&self) -> Result<Arc<str>, SecretError> {
        let cannot = |problem: String| SecretError(format!("{}: {problem}", self.path.display()));
        if self.stamp().is_some_and(|(_, len)| len > MAX_FILE_BYTES) {
            return Err(cannot("is too long for a secret".to_owned()));
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| cannot(error.to_string()))?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() { Err(cannot("is empty".to_owned())) } else { Ok(Arc::from(line)) }
    }
}
