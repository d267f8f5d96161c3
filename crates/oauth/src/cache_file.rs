//! A file in which processes on one machine share a token.
//!
//! Whoever needs a token takes the lock (a file beside it) first, looks whether another has just fetched one, and if not
//! fetches it and writes it down before letting go. So there is one request for all. The file is replaced as a whole and
//! readable for its owner only; one that others can read or write is not used. Whatever is wrong with it, the token is
//! fetched as if there were none. A crash leaves the old file, and the system lets go of the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tokio::time::{Instant, sleep};

use crate::answer::Grant;
use crate::kept::{self, Found};
use crate::limits::{CACHE_FILE_MAX, LOCK_EVERY, LOCK_WAIT};

/// Read and write for the owner alone.
const OWNER_ONLY: u32 = 0o600;

/// The file, and whose token is in it.
#[derive(Debug, Clone)]
pub(crate) struct CacheFile {
    path: PathBuf,
    whose: String,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl CacheFile {
    pub(crate) fn new(path: PathBuf, whose: String) -> Self {
        Self { path, whose }
    }

    /// Waits for the lock, for a bounded time. `None` if there is none to be had: then everybody asks for themselves.
    pub(crate) async fn lock(&self) -> Option<Lock> {
        let deadline = Instant::now() + LOCK_WAIT;
        let path = lock_path(&self.path);
        loop {
            match try_lock(&path) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if Instant::now() < deadline => sleep(LOCK_EVERY).await,
                Ok(None) => {
                    tracing::warn!(file = %path.display(), "the lock of a token's file is held for too long");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a token's file cannot be locked, so it is not shared");
                    return None;
                }
            }
        }
    }

    /// The token in the file, if it can be used.
    pub(crate) async fn read(&self) -> Found {
        let path = self.path.clone();
        match apart(move || read_private(&path)).await {
            Ok(text) => kept::read(&text, &self.whose, now_ms()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing("it is not there"),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "a token's file is not used");
                Found::Nothing("it cannot be read")
            }
        }
    }

    /// Replaces the file. That it cannot be written is a warning: the token is good all the same.
    pub(crate) async fn write(&self, grant: &Grant) {
        let (path, text) = (self.path.clone(), kept::write(grant, &self.whose, now_ms()));
        if let Err(error) = apart(move || replace(&path, &text)).await {
            tracing::warn!(file = %self.path.display(), %error, "a token's file cannot be written");
        }
    }
}

/// Works on a thread that may wait for a disk.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Reads a file that only its owner can read or write, and that is no link to another.
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    if path.symlink_metadata()?.file_type().is_symlink() {
        return Err(io::Error::other("it is a link; name the file itself"));
    }
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others than its owner may read or write it; remove it, or set its mode to 600"));
    }
    let mut text = Vec::new();
    file.take(CACHE_FILE_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with the mode 600.
    let mut file = tempfile::Builder::new().prefix(".token-").tempfile_in(directory)?;
    file.write_all(text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn now_ms() -> u64 {
    let since = outbound::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Duration;

    use super::*;
    use crate::token::TokenText;

    fn grant() -> Grant {
        Grant {
            text: TokenText::new("t0ken").unwrap(),
            lifetime: Duration::from_secs(3_600),
            age: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn a_token_is_read_back_from_a_file_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = CacheFile::new(dir.path().join("token"), "me".into());
        assert!(matches!(file.read().await, Found::Nothing("it is not there")));
        file.write(&grant()).await;
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(file.read().await, Found::Token(found) if found.text == grant().text));

        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(file.read().await, Found::Nothing("it cannot be read")), "others could have written it");
        let link = CacheFile::new(dir.path().join("link"), "me".into());
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file.path, &link.path).unwrap();
        assert!(matches!(link.read().await, Found::Nothing("it cannot be read")));
        // Nobody is stopped by a directory that is not there.
        CacheFile::new(dir.path().join("none/token"), "me".into()).write(&grant()).await;
    }

    #[tokio::test]
    async fn one_at_a_time_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let file = CacheFile::new(dir.path().join("token"), "me".into());
        let lock = file.lock().await.unwrap();
        assert!(try_lock(&lock_path(&file.path)).unwrap().is_none());
        drop(lock);
        assert!(try_lock(&lock_path(&file.path)).unwrap().is_some());
        let nowhere = CacheFile::new(dir.path().join("none/token"), "me".into());
        assert!(nowhere.lock().await.is_none());
    }
}
