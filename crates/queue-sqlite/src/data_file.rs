//! The database file beside SQLite: syncs what a checkpoint has copied, gently.
//!
//! A commit's sync waits for whatever the disk has been given before. A checkpoint that hands over tens of megabytes at
//! once would hold up every commit for as long as they take, so they go in small pieces.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes handed to the disk at once: a millisecond or less of it.
const PIECE_BYTES: u64 = 1 << 20;

/// The file. Closing it ends this process's locks on the database, so every connection must be closed before.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: File,
    /// Up to here the file was synced when it was that long.
    synced: AtomicU64,
}

impl DataFile {
    /// Opens the file, which must exist.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let synced = AtomicU64::new(file.metadata()?.len());
        Ok(Self { file, synced })
    }

    /// Makes all that was written durable. The end, where nearly everything new is, goes first and in pieces.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        let mut at = self.synced.load(Ordering::Relaxed).min(len);
        while at < len {
            let piece = PIECE_BYTES.min(len - at);
            self.write_out(at, piece);
            at += piece;
        }
        self.file.sync_data()?;
        self.synced.store(len, Ordering::Relaxed);
        Ok(())
    }

    /// Has the disk write a piece, and waits for that. Promises nothing: what fails here fails again in the sync.
    #[cfg(target_os = "linux")]
    fn write_out(&self, at: u64, bytes: u64) {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        let range = i64::try_from(at).ok().zip(i64::try_from(bytes).ok());
        if let Some((at, bytes)) = range {
            // SAFETY: the descriptor is open as long as `self.file` lives; no memory is passed.
            unsafe { libc::sync_file_range(self.file.as_raw_fd(), at, bytes, flags) };
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn write_out(&self, _at: u64, _bytes: u64) {}
}
