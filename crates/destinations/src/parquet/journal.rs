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
//!
//! A crash leaves a torn last frame, which is cut off; or a segment and its ids, of which the segment counts.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::EventId;

use super::frame::{self, Damage, Frame, HEAD_BYTES, Record};
use super::ids::{self, Ids};
use crate::OpenError;

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
    /// Closed segments, with their bytes.
    closed: BTreeMap<u64, u64>,
    /// The number of the next segment.
    next: u64,
    ids: Ids,
}

struct Open {
    number: u64,
    file: File,
    created: i64,
    /// Where the last synced frame ends.
    length: u64,
    /// Bytes beyond `length` may be in the file.
    is_dirty: bool,
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
            next: 1,
            ids: Ids::default(),
        };
        journal.load().map_err(|problem| match problem {
            Unreadable::Disk(source) => failed(source),
            Unreadable::Damaged(path, what) => OpenError::place(
                "journal",
                format!(
                    "has a damaged file: `{}` {what}; move it away to go on without it, and replay what was delivered \
                     to this destination since it was made",
                    path.display()
                ),
            ),
        })?;
        Ok(journal)
    }

    /// A name that no other journal has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Appends deliveries, and syncs. One whose event has a row already is passed over.
    pub(super) fn append(&mut self, records: &[Record<'_>], now: i64) -> Result<(), Refused> {
        let mut group = Frame::default();
        let mut new = Vec::new();
        for record in records {
            if !self.ids.contains(record.event) && !new.contains(&record.event) {
                group.push(*record);
                new.push(record.event);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let text = group.finish();
        if self.bytes() + text.len() as u64 > self.rules.most_bytes {
            return Err(Refused::Full);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        let written = open.append(&text);
        let is_full = open.length >= self.rules.segment_bytes;
        self.open = Some(open);
        written?;
        new.into_iter().for_each(|id| self.ids.insert(id));
        if is_full {
            // It is tried again later; the deliveries are taken over in any case.
            let _ = self.close();
        }
        Ok(())
    }

    /// Closes the open segment if it is large or old enough.
    pub(super) fn close_if_due(&mut self, now: i64) -> io::Result<()> {
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

    /// The oldest closed segment.
    pub(super) fn oldest_closed(&self) -> Option<(u64, PathBuf)> {
        self.closed.keys().next().map(|number| (*number, self.path(*number, "rows")))
    }

    /// Drops a segment whose rows are in the object store; its ids are kept.
    pub(super) fn drop_segment(&mut self, number: u64, ids: &[EventId]) -> io::Result<()> {
        let (kept, part) = (self.path(number, "ids"), self.path(number, "ids.part"));
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&part)?;
        file.write_all(&ids::write(ids))?;
        file.sync_all()?;
        fs::rename(&part, &kept)?;
        sync_dir(&self.dir)?;
        remove(&self.path(number, "rows"))?;
        sync_dir(&self.dir)?;
        self.closed.remove(&number);
        self.ids.keep(number, ids);
        self.forget()
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.closed.values().sum::<u64>() + self.open.as_ref().map_or(0, |open| open.length)
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

    fn begin(&mut self, now: i64) -> io::Result<Open> {
        let path = self.path(self.next, "open");
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(true)).open(&path)?;
        file.write_all(&frame::head(now))?;
        file.sync_all()?;
        sync_dir(&self.dir)?;
        let open = Open { number: self.next, file, created: now, length: HEAD_BYTES as u64, is_dirty: false };
        self.next += 1;
        Ok(open)
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.clean()?;
        let (number, length) = (open.number, open.length);
        fs::rename(self.path(number, "open"), self.path(number, "rows"))?;
        self.open = None;
        self.closed.insert(number, length);
        // Until the rename is durable a crash may open the segment again, so nothing may be made of it.
        sync_dir(&self.dir)
    }

    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.dir.join(format!("{number:012}.{kind}"))
    }

    fn load(&mut self) -> Result<(), Unreadable> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            files.push((number, kind.to_owned()));
        }
        files.sort_unstable();
        // A file was renamed or made just before a crash; whatever is done next must not be durable before that.
        sync_dir(&self.dir)?;
        for (number, kind) in &files {
            let path = self.path(*number, kind);
            let has = |kind: &str| files.iter().any(|(known, other)| known == number && other == kind);
            match kind.as_str() {
                "ids.part" => remove(&path)?,
                "ids" if has("rows") => {}
                "ids" => {
                    let ids = ids::read(&fs::read(&path)?).ok_or_else(|| damaged(&path, "is not what was written"))?;
                    self.ids.keep(*number, &ids);
                }
                "rows" => {
                    let text = fs::read(&path)?;
                    let segment = segment(&path, &text)?;
                    if segment.is_torn {
                        return Err(damaged(&path, "ends in the middle of a delivery"));
                    }
                    segment.records.iter().for_each(|record| self.ids.insert(record.event));
                    self.closed.insert(*number, text.len() as u64);
                }
                "open" => self.load_open(*number, &path)?,
                _ => {}
            }
            self.next = self.next.max(number + 1);
        }
        self.forget()?;
        Ok(())
    }

    fn load_open(&mut self, number: u64, path: &Path) -> Result<(), Unreadable> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        if text.len() < HEAD_BYTES {
            // Killed while it was made: nothing was ever in it.
            return Ok(remove(path)?);
        }
        let segment = segment(path, &text)?;
        segment.records.iter().for_each(|record| self.ids.insert(record.event));
        let mut open =
            Open { number, file, created: segment.created, length: segment.good as u64, is_dirty: segment.is_torn };
        open.clean()?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.clean()?;
        self.file.seek(SeekFrom::Start(self.length))?;
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += text.len() as u64,
            Err(_) => self.is_dirty = true,
        }
        written
    }

    /// Cuts off what may be there of a group that failed.
    fn clean(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.is_dirty = false;
        }
        Ok(())
    }
}

/// Why the journal cannot be opened.
enum Unreadable {
    Disk(io::Error),
    Damaged(PathBuf, String),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

fn damaged(path: &Path, what: &str) -> Unreadable {
    Unreadable::Damaged(path.to_owned(), what.to_owned())
}

fn segment<'a>(path: &Path, text: &'a [u8]) -> Result<frame::Segment<'a>, Unreadable> {
    frame::read(text).map_err(|damage| match damage {
        Damage::Head => damaged(path, "does not begin as this version of aftercall writes it"),
        Damage::Frame(at) => damaged(path, &format!("is damaged at byte {at}")),
    })
}

/// The lock, and the journal's name in it.
fn lock(dir: &Path, name: impl FnOnce() -> String) -> Result<(File, String), OpenError> {
    let path = dir.join("lock");
    let failed = |source| OpenError::File { path: path.clone(), source };
    let mut file =
        private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let mut written = String::new();
    file.read_to_string(&mut written).map_err(failed)?;
    if let Some(written) = written.strip_suffix('\n').filter(|name| !name.is_empty()) {
        return Ok((file, written.to_owned()));
    }
    // Torn while it was made: then there is nothing that is named after it.
    let name = name();
    let make = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{name}\n").as_bytes())?;
        file.sync_all()?;
        sync_dir(dir)
    };
    make(&mut file).map_err(failed)?;
    Ok((file, name))
}

/// What people said stands in it, so it is for its owner alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
