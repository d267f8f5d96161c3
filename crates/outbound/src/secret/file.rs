//! A file whose first line is a secret.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::SecretError;

/// A file is looked at for changes at most so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// More is no secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A file whose first line is a secret. It is read again when its size or its time of change is another.
pub struct SecretFile {
    path: PathBuf,
    state: Mutex<Option<Known>>,
}

struct Known {
    value: Arc<str>,
    looked: Instant,
    stamp: (Option<SystemTime>, u64),
}

impl SecretFile {
    /// The file; nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default() }
    }

    /// The secret now. A file that cannot be read any more leaves the last secret in force.
    ///
    /// # Errors
    /// If the file was never read and cannot be read now.
    pub fn get(&self) -> Result<Arc<str>, SecretError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = state.as_mut() {
            if now.duration_since(known.looked) < LOOK_EVERY || self.stamp().is_none_or(|stamp| stamp == known.stamp) {
                return Ok(Arc::clone(&known.value));
            }
            known.looked = now;
        }
        self.read_into(&mut state, now)
    }

    /// The secret in the file now, whether or not the file looks changed: two secrets of one length, written within
    /// one tick of the file system's clock, look the same.
    ///
    /// # Errors
    /// As [`SecretFile::get`].
    pub fn get_again(&self) -> Result<Arc<str>, SecretError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_into(&mut state, Instant::now())
    }

    fn read_into(&self, state: &mut Option<Known>, looked: Instant) -> Result<Arc<str>, SecretError> {
        // Taken before the text: a change in between is seen the next time.
        let stamp = self.stamp().unwrap_or_default();
        match (self.read(), state.as_ref()) {
            (Ok(value), _) => {
                *state = Some(Known { value: Arc::clone(&value), looked, stamp });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_secret_is_read_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let file = SecretFile::new(path.clone());
        assert!(file.get().unwrap_err().to_string().contains("secret"), "names its place");
        std::fs::write(&path, "old-one\nsecond line\n").unwrap();
        assert_eq!(&*file.get().unwrap(), "old-one");
        std::fs::write(&path, "new-one\n").unwrap();
        assert_eq!(&*file.get_again().unwrap(), "new-one");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&*file.get_again().unwrap(), "new-one", "the last one stays in force");
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(&*file.get_again().unwrap(), "new-one");
    }
}
