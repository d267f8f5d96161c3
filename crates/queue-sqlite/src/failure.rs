//! What a failure of SQLite means for the queue: wait for room, try again, or stop.

use std::io::ErrorKind;
use std::time::Duration;

use queue::QueueError;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// When a sender should try again after the disk was full: space rarely comes back sooner.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Something the store could not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failed {
    /// No room; the transaction was undone.
    #[error("{0}")]
    Full(String),
    /// A passing failure; the transaction was undone.
    #[error("{0}")]
    Transient(String),
    /// The disk failed in a way that leaves its state unknown.
    #[error("{0}")]
    Disk(String),
    /// What is stored is damaged or not ours.
    #[error("{0}")]
    Damaged(String),
    /// Another server has the data directory.
    #[error("{0}")]
    Locked(String),
}

impl Failed {
    /// Whether the queue must stop.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Damaged(_))
    }

    pub(crate) fn to_queue_error(&self) -> QueueError {
        let detail = self.to_string();
        match self {
            Self::Full(_) => QueueError::Full { detail, retry_after: FULL_RETRY_AFTER },
            Self::Transient(_) | Self::Locked(_) => QueueError::Transient { detail },
            Self::Disk(_) => QueueError::Poisoned { reason: detail },
            Self::Damaged(_) => QueueError::Damaged { detail },
        }
    }
}

/// Says where a result of SQLite's came from, and sorts its failure.
pub(crate) trait Place<T> {
    fn place(self, doing: &str) -> Result<T, Failed>;
}

impl<T> Place<T> for Result<T, rusqlite::Error> {
    fn place(self, doing: &str) -> Result<T, Failed> {
        self.map_err(|error| sort(&error, doing))
    }
}

/// A write that the system refused: SQLite does not say why, but the last error of this thread does.
fn refused_write(text: &str) -> Failed {
    let error = std::io::Error::last_os_error();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Failed::Full(format!("{text}: {error}"))
        }
        _ => Failed::Transient(format!(
            "{text}: {error}; the write was undone and is tried again; if this lasts, the disk is failing: look at the \
             machine's log"
        )),
    }
}

fn sort(error: &rusqlite::Error, doing: &str) -> Failed {
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return Failed::Damaged(format!("{doing}: {error}; run `aftercall check`"));
    };
    let text = format!("{doing}: {error}");
    match (code.code, code.extended_code) {
        (ErrorCode::DiskFull, _) => Failed::Full(text),
        // A write that fails leaves the last commit as it was, so it can be tried again.
        (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_TRUNCATE) => refused_write(&text),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _)
        | (ErrorCode::FileLockingProtocolFailed, _)
        | (_, ffi::SQLITE_IOERR_NOMEM) => Failed::Transient(text),
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Failed::Damaged(format!(
            "{text}; stop the server, run `aftercall check`, and restore the newest backup if it confirms the damage"
        )),
        (ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly, _) => Failed::Disk(format!(
            "{text}; the data directory must exist and be writable for the user that runs Aftercall"
        )),
        _ => Failed::Disk(format!(
            "{text}; what was acknowledged is safe, nothing new is accepted; check the disk, then restart"
        )),
    }
}
