//! What is found in the journal's directory at the start.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::super::frame::{self, Damage};
use super::super::ids;
use super::disk::{remove, sync_dir};
use super::open::Open;
use super::{Journal, Size};
use crate::OpenError;

/// Why the journal cannot be opened.
pub(super) enum Unreadable {
    Disk(io::Error),
    Damaged(PathBuf, String),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Unreadable {
    /// For whoever starts the server.
    pub(super) fn explain(self, dir: &Path) -> OpenError {
        match self {
            Self::Disk(source) => OpenError::File { path: dir.to_owned(), source },
            Self::Damaged(path, what) => OpenError::place(
                "journal",
                format!(
                    "has a damaged file: `{}` {what}; move it away to go on without it, and replay what was delivered \
                     to this destination since it was made",
                    path.display()
                ),
            ),
        }
    }
}

/// What is in a journal that nobody has open: of segments that cannot be read, the bytes alone. Nothing if there is none.
pub(in super::super) fn left_in(dir: &Path) -> io::Result<Size> {
    let mut sum = Size::default();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sum),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "open" || kind == "rows") {
            let text = fs::read(&path)?;
            sum.bytes += text.len() as u64;
            sum.rows += frame::read(&text).map_or(0, |segment| segment.records.len() as u64);
        }
    }
    Ok(sum)
}

impl Journal {
    pub(super) fn load(&mut self) -> Result<(), Unreadable> {
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
                // Killed while it was made: what it was made of is there.
                "ids.part" | "rows.part" | "open.part" => remove(&path)?,
                "ids" if has("rows") => {}
                "ids" => {
                    let ids = ids::read(&fs::read(&path)?).ok_or_else(|| damaged(&path, "is not what was written"))?;
                    self.ids.keep(*number, &ids);
                }
                "rows" => self.load_closed(*number, &path)?,
                "open" => self.load_open(*number, &path)?,
                _ => {}
            }
            self.next = self.next.max(number + 1);
        }
        self.forget()?;
        Ok(())
    }

    fn load_closed(&mut self, number: u64, path: &Path) -> Result<(), Unreadable> {
        let text = fs::read(path)?;
        let segment = segment(path, &text)?;
        if segment.is_torn {
            return Err(damaged(path, "ends in the middle of a delivery"));
        }
        if segment.synced.is_some_and(|synced| synced != segment.good) {
            return Err(damaged(path, "is longer than it was when it was closed"));
        }
        self.ids.extend(segment.records.iter().map(|record| record.event));
        self.closed.insert(number, Size { bytes: text.len() as u64, rows: segment.records.len() as u64 });
        Ok(())
    }

    fn load_open(&mut self, number: u64, path: &Path) -> Result<(), Unreadable> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        if frame::is_begun_only(&text) {
            // Killed while it was made, by a version that made it in place: nothing was ever in it.
            return Ok(remove(path)?);
        }
        let segment = segment(path, &text)?;
        self.ids.extend(segment.records.iter().map(|record| record.event));
        let mut open = Open {
            number,
            file,
            created: segment.created,
            length: segment.good as u64,
            rows: segment.records.len() as u64,
            marked: segment.synced.unwrap_or_default() as u64,
            turn: segment.turn,
            is_dirty: segment.is_torn,
        };
        open.clean()?;
        let is_old = segment.synced.is_none();
        self.open = Some(open);
        if is_old {
            // One of before is not gone on with, so that all that is written now has marks.
            self.close_as_it_is()?;
        }
        Ok(())
    }
}

fn damaged(path: &Path, what: &str) -> Unreadable {
    Unreadable::Damaged(path.to_owned(), what.to_owned())
}

fn segment<'a>(path: &Path, text: &'a [u8]) -> Result<frame::Segment<'a>, Unreadable> {
    frame::read(text).map_err(|damage| match damage {
        Damage::Head => damaged(path, "does not begin as this version of aftercall writes it"),
        Damage::Frame(at) => damaged(path, &format!("is damaged at byte {at}")),
        Damage::Cut { synced } => {
            let what = format!("was cut short: it has {} bytes, and {synced} were synced", text.len());
            damaged(path, &what)
        }
    })
}
