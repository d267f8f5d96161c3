//! The tokens as the running server knows them: read again when the file has changed.
//!
//! Whatever happens to the file, the API never opens by it: a file that cannot be read or is gone leaves the last
//! tokens' rule in force until a restart.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use event::Timestamp;
use parking_lot::Mutex;

use super::{Entry, Token, TokenFile};
use crate::Error;

/// Tells one state of the file from another: it is replaced as a whole, so another state is another file.
type Stamp = (u64, u64, u64, i64, i64);

/// The tokens.
#[derive(Debug)]
pub(crate) struct Known {
    file: TokenFile,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stamp: Option<Stamp>,
    tokens: Arc<Vec<Entry>>,
    /// There was a file, so nobody gets in without a token.
    needed: bool,
}

/// Whose a token is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Of this one.
    Good(Entry),
    /// Of one whose time is over.
    Expired,
    /// Of nobody.
    Unknown,
}

impl Known {
    /// Reads the file.
    pub(crate) fn open(file: TokenFile) -> Result<Self, Error> {
        let stamp = stamp(&file);
        let tokens = file.read()?;
        let state = State { stamp, needed: tokens.is_some(), tokens: Arc::new(tokens.unwrap_or_default()) };
        Ok(Self { file, state: Mutex::new(state) })
    }

    /// Whether there is one that can be used.
    pub(crate) fn any_usable(&self, now: Timestamp) -> bool {
        self.all().iter().any(|entry| !entry.is_expired(now))
    }

    /// All of them, as they are in the file now.
    pub(crate) fn all(&self) -> Arc<Vec<Entry>> {
        self.refresh();
        Arc::clone(&self.state.lock().tokens)
    }

    /// Whether a request needs one.
    pub(crate) fn needed(&self) -> bool {
        self.refresh();
        self.state.lock().needed
    }

    pub(super) fn login(&self, token: &Token, now: Timestamp) -> Login {
        match self.all().iter().find(|entry| entry.is_of(token)) {
            Some(entry) if entry.is_expired(now) => Login::Expired,
            Some(entry) => Login::Good(entry.clone()),
            None => Login::Unknown,
        }
    }

    /// One look at the file's times for each request, which takes microseconds; a change is in force with the next one.
    fn refresh(&self) {
        let mut state = self.state.lock();
        let stamp = stamp(&self.file);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match self.file.read() {
            Ok(Some(tokens)) => {
                tracing::info!(tokens = tokens.len(), "the tokens were read again");
                (state.tokens, state.needed) = (Arc::new(tokens), true);
            }
            Ok(None) => {
                tracing::error!(file = %self.file.path().display(), "the file of tokens is gone; nobody is let in");
                state.tokens = Arc::default();
            }
            Err(error) => {
                tracing::error!(%error, "the tokens cannot be read; the last ones stay in force");
                state.needed = true;
            }
        }
    }
}

fn stamp(file: &TokenFile) -> Option<Stamp> {
    let data = fs::metadata(file.path()).ok()?;
    Some((
        data.dev(),
        data.ino(),
        data.len(),
        data.mtime().saturating_mul(1_000_000_000) + data.mtime_nsec(),
        data.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    #[test]
    fn changes_are_in_force_with_the_next_request() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        let known = Known::open(file.clone()).unwrap();
        assert!(!known.needed() && !known.any_usable(NOW));
        let (token, entry) = file.create("a", Scope::Read, NOW, Some(Timestamp::from_millis(2_000))).unwrap();
        assert!(known.needed() && known.any_usable(NOW));
        assert_eq!(known.login(&token, NOW), Login::Good(entry));
        assert_eq!(known.login(&token, Timestamp::from_millis(2_000)), Login::Expired);
        assert!(!known.any_usable(Timestamp::from_millis(2_000)));
        file.revoke("a").unwrap();
        assert_eq!(known.login(&token, NOW), Login::Unknown);
        assert!(known.needed(), "the last token revoked opens nothing");
    }

    #[test]
    fn a_damaged_or_missing_file_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        let (token, _) = file.create("a", Scope::Read, NOW, None).unwrap();
        let known = Known::open(file.clone()).unwrap();
        fs::write(file.path(), "nonsense").unwrap();
        assert!(known.needed() && matches!(known.login(&token, NOW), Login::Good(_)), "the last ones stay");
        fs::remove_file(file.path()).unwrap();
        assert!(known.needed() && known.login(&token, NOW) == Login::Unknown);
        let (token, _) = file.create("b", Scope::Read, NOW, None).unwrap();
        assert!(matches!(known.login(&token, NOW), Login::Good(_)));
        fs::write(file.path(), "nonsense").unwrap();
        assert!(Known::open(file).is_err(), "a start with a damaged file is refused");
    }
}
