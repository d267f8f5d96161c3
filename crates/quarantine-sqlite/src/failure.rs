//! What a failure of SQLite means for the quarantine: leave this batch out, or close for good.

use rusqlite::ErrorCode;

/// Something the store could not do.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It passes by itself or with some room on the disk; nothing was changed.
    Passing(String),
    /// The file cannot be used.
    Unusable(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passing(text) | Self::Unusable(text) => f.write_str(text),
        }
    }
}

/// How a file that cannot be used is replaced.
pub(crate) const CURE: &str =
    "stop the server, move quarantine.db, quarantine.db-wal and quarantine.db-shm away, and start it again";

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        let text = format!("quarantine.db: {error}");
        let rusqlite::Error::SqliteFailure(code, _) = &error else {
            return Self::Unusable(format!("{text}; {CURE}"));
        };
        match code.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Unusable(format!("{text}; {CURE}")),
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
                Self::Unusable(format!("{text}; it must be writable for the user that runs Aftercall"))
            }
            _ => Self::Passing(text),
        }
    }
}
