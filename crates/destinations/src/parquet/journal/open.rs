//! The open segment: the one that deliveries are appended to.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use super::super::frame;

/// A segment that is being filled.
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) file: File,
    pub(super) created: i64,
    /// Where the last synced frame ends.
    pub(super) length: u64,
    /// Records in it.
    pub(super) rows: u64,
    /// What the mark on the disk says at least.
    pub(super) marked: u64,
    /// The turn of the next mark, so that the last one stays while it is written.
    pub(super) turn: usize,
    /// Bytes beyond `length` may be in the file.
    pub(super) is_dirty: bool,
}

impl Open {
    /// Writes a frame and the mark of what was synced before, and syncs both.
    pub(super) fn append(&mut self, text: &[u8], rows: u64) -> io::Result<()> {
        self.clean()?;
        let marked = self.length;
        let written = self
            .write_mark(marked)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)).map(drop))
            .and_then(|()| self.file.write_all(text))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += text.len() as u64;
                self.rows += rows;
                self.is_marked(marked);
            }
            Err(_) => self.is_dirty = true,
        }
        written
    }

    /// Notes how much is synced, if that is not noted yet; from then on it is seen when it is missing.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.clean()?;
        if self.marked < self.length {
            let marked = self.length;
            self.write_mark(marked)?;
            self.file.sync_data()?;
            self.is_marked(marked);
        }
        Ok(())
    }

    /// The next mark goes to the other place; one that failed is written again where it may be torn.
    fn is_marked(&mut self, synced: u64) {
        if self.marked < synced {
            self.marked = synced;
            self.turn += 1;
        }
    }

    fn write_mark(&mut self, synced: u64) -> io::Result<()> {
        if synced == self.marked {
            return Ok(());
        }
        let (at, mark) = frame::mark(self.created, synced, self.turn);
        self.file.seek(SeekFrom::Start(at as u64))?;
        self.file.write_all(&mark)
    }

    /// Cuts off what may be there of a group that failed.
    pub(super) fn clean(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.is_dirty = false;
        }
        Ok(())
    }
}
