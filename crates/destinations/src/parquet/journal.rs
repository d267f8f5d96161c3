//! The journal: deliveries that are taken over and not in the object store yet, on this machine's disk.
//!
//! Deliveries are appended to the open segment; each group of them is synced before any of it is reported. A segment that
//! is large or old enough is closed: a rename, synced, which fixes for good which rows it has. What is made of a closed
//! segment is named after it, so it is the same however often it is made. Then its ids are kept, and it is dropped.
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | held by whoever writes; has the journal's own name, which is random and made once |
//! | `000000000007.open` | the open segment ([`frame`]) |
//! | `000000000006.rows` | a closed segment |
//! | `000000000005.ids` | the ids of the events of a segment that is dropped ([`ids`]) |
//! | `replacing` | which files in the store are being replaced ([`super::replace`]); none if none is |
//!
//! What is made as a whole has another name until it is: `.part` is added to it.
//!
//! A crash leaves a torn last frame, which is cut off; or a segment and its ids, of which the segment counts.

mod disk;
mod erase;
mod load;
mod open;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::EventId;

use self::disk::{lock, make_dir, remove, sync_dir, write_whole};
pub(super) use self::load::left_in;
use self::open::Open;
use super::frame::{self, HEAD_BYTES, Record};
use super::ids::{self, Ids};
use crate::OpenError;

/// The file with the note.
const NOTE: &str = "replacing";

/// What a journal does, and when.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// A segment of so many bytes is closed.
    pub(super) segment_bytes: u64,
    /// A segment whose first delivery is so old is closed.
    pub(super) segment_age: Duration,
    /// Bytes of all segments; no more is taken beyond.
    pub(super) most_bytes: u64,
    /// Ids that are remembered of segments that are dropped.
    pub(super) remembered: usize,
}

/// The journal of one destination.
pub(super) struct Journal {
    dir: PathBuf,
    /// Held as long as this is.
    _lock: File,
    name: String,
    rules: Rules,
    open: Option<Open>,
    closed: BTreeMap<u64, Size>,
    /// The directory may not be synced since a segment was closed.
    is_dir_dirty: bool,
    /// The number of the next segment.
    next: u64,
    ids: Ids,
}

/// How much is in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

/// Where records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment.
    pub(super) segment: u64,
    /// When it was made, in milliseconds since 1970.
    pub(super) created: i64,
    /// Records that were in it before.
    pub(super) before: u64,
}

/// Why a group was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is as much as there may be.
    Full,
    /// The disk.
    Disk(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Journal {
    /// Opens it, or makes it with a `name`, and locks it.
    pub(super) fn open(dir: &Path, rules: Rules, name: impl FnOnce() -> String) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File { path: dir.to_owned(), source };
        make_dir(dir).map_err(failed)?;
        let (lock, name) = lock(dir, name)?;
        let mut journal = Self {
            dir: dir.to_owned(),
            _lock: lock,
            name,
            rules,
            open: None,
            closed: BTreeMap::new(),
            is_dir_dirty: false,
            next: 1,
            ids: Ids::default(),
        };
        journal.load().map_err(|problem| problem.explain(dir))?;
        Ok(journal)
    }

    /// A name that no other journal has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where what is appended now will be.
    pub(super) fn place(&self, now: i64) -> Place {
        match &self.open {
            Some(open) => Place { segment: open.number, created: open.created, before: open.rows },
            None => Place { segment: self.next, created: now, before: 0 },
        }
    }

    /// Whether an event has no row yet. It has one now, which must be appended.
    pub(super) fn is_new(&mut self, event: EventId) -> bool {
        self.ids.insert(event)
    }

    /// Appends rows that are new, at [`Self::place`], and syncs. If that fails they have no row.
    pub(super) fn append(&mut self, records: &[Record<'_>], now: i64) -> Result<(), Refused> {
        if records.is_empty() {
            return Ok(());
        }
        let appended = self.append_new(records, now);
        if appended.is_err() {
            records.iter().for_each(|record| self.ids.remove(record.event));
        }
        appended
    }

    fn append_new(&mut self, records: &[Record<'_>], now: i64) -> Result<(), Refused> {
        let text = frame::frame_of(records);
        if self.size().bytes + text.len() as u64 > self.rules.most_bytes {
            return Err(Refused::Full);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        let written = open.append(&text, records.len() as u64);
        let is_full = open.length >= self.rules.segment_bytes;
        self.open = Some(open);
        written?;
        if is_full {
            // It is tried again later; the deliveries are taken over in any case.
            let _ = self.close();
        }
        Ok(())
    }

    /// Notes how much of the open segment is synced, if nothing has come since that would have noted it.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), Open::mark)
    }

    /// Closes the open segment if it is large or old enough.
    pub(super) fn close_if_due(&mut self, now: i64) -> io::Result<()> {
        self.settle_dir()?;
        let age = i64::try_from(self.rules.segment_age.as_millis()).unwrap_or(i64::MAX);
        match &self.open {
            Some(open) if open.length <= HEAD_BYTES as u64 => Ok(()),
            // A clock that was set back makes a segment older than it is.
            Some(open)
                if open.length >= self.rules.segment_bytes || now - open.created >= age || now < open.created =>
            {
                self.close()
            }
            _ => Ok(()),
        }
    }

    /// The oldest closed segment, and how many records it has. None while a crash might open it again: until then nothing may be made of it.
    pub(super) fn oldest_closed(&self) -> Option<(u64, PathBuf, u64)> {
        let oldest = self.closed.iter().next().filter(|_| !self.is_dir_dirty);
        oldest.map(|(number, size)| (*number, self.path(*number, "rows"), size.rows))
    }

    /// The segments that are here, so that files may still be made of them.
    pub(super) fn segments(&self) -> BTreeSet<u64> {
        self.closed.keys().copied().chain(self.open.as_ref().map(|open| open.number)).collect()
    }

    /// The note that was left, if there is one.
    pub(super) fn note(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(NOTE)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves a note, synced.
    pub(super) fn leave_note(&self, text: &[u8]) -> io::Result<()> {
        write_whole(&self.dir, &self.dir.join(format!("{NOTE}.part")), &self.dir.join(NOTE), text)
    }

    /// Removes the note.
    pub(super) fn remove_note(&self) -> io::Result<()> {
        remove(&self.dir.join(NOTE))?;
        sync_dir(&self.dir)
    }

    /// Drops a segment whose rows are in the object store; its ids are kept.
    pub(super) fn drop_segment(&mut self, number: u64, ids: &[EventId]) -> io::Result<()> {
        write_whole(&self.dir, &self.path(number, "ids.part"), &self.path(number, "ids"), &ids::write(ids))?;
        remove(&self.path(number, "rows"))?;
        sync_dir(&self.dir)?;
        self.closed.remove(&number);
        self.ids.keep(number, ids);
        self.forget()
    }

    /// What is in all segments.
    pub(super) fn size(&self) -> Size {
        let open = self.open.as_ref().map(|open| Size { bytes: open.length, rows: open.rows });
        self.closed
            .values()
            .copied()
            .chain(open)
            .fold(Size::default(), |sum, size| Size { bytes: sum.bytes + size.bytes, rows: sum.rows + size.rows })
    }

    fn forget(&mut self) -> io::Result<()> {
        while let Some(number) = self.ids.oldest_beyond(self.rules.remembered) {
            let path = self.path(number, "ids");
            let gone = ids::read(&fs::read(&path)?).unwrap_or_default();
            remove(&path)?;
            self.ids.forget(number, &gone);
        }
        Ok(())
    }

    /// A segment that is there is whole: it is made under another name.
    fn begin(&mut self, now: i64) -> io::Result<Open> {
        let path = self.path(self.next, "open");
        write_whole(&self.dir, &self.path(self.next, "open.part"), &path, &frame::head(now))?;
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = HEAD_BYTES as u64;
        let open = Open {
            number: self.next,
            file,
            created: now,
            length: bytes,
            rows: 0,
            marked: bytes,
            turn: 0,
            is_dirty: false,
        };
        self.next += 1;
        Ok(open)
    }

    fn close(&mut self) -> io::Result<()> {
        self.mark()?;
        self.close_as_it_is()
    }

    fn close_as_it_is(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.clean()?;
        let (number, size) = (open.number, Size { bytes: open.length, rows: open.rows });
        fs::rename(self.path(number, "open"), self.path(number, "rows"))?;
        self.open = None;
        self.closed.insert(number, size);
        self.is_dir_dirty = true;
        self.settle_dir()
    }

    fn settle_dir(&mut self) -> io::Result<()> {
        if self.is_dir_dirty {
            sync_dir(&self.dir)?;
            self.is_dir_dirty = false;
        }
        Ok(())
    }

    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.dir.join(format!("{number:012}.{kind}"))
    }
}
