//! The one writer of a file: takes the lines that wait, writes them at once, syncs once, and only then answers.
//!
//! `length` is where the last synced line ends. When a write or a sync fails, the file is cut back to it before
//! anything else is written, so no torn or doubtful line stays in the middle. A crash can leave a tail beyond it: whole
//! lines that were written but not reported, which are kept, and a torn one, which [`Writer::open`] cuts off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::OpenError;

/// Most bytes written for one sync. Beyond it a sync is no longer cheaper per line, and the first lines would wait.
const GROUP_LIMIT: usize = 1024 * 1024;

/// How much is read at a time, from the end, when looking for the end of the last whole line.
const TAIL_STEP: u64 = 64 * 1024;

/// A line, with its line feed, and who waits for it.
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    pub(super) synced: oneshot::Sender<Result<(), Arc<str>>>,
}

/// How the file's content is made durable; tests put failures here.
pub(super) type Sync = Arc<dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync>;

pub(super) struct Writer {
    path: PathBuf,
    file: File,
    sync: Sync,
    length: u64,
    /// Bytes beyond `length` may be in the file.
    dirty: bool,
}

fn find_directory(path: &Path) -> Result<&Path, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if directory.is_dir() { Ok(directory) } else { Err(OpenError::NoDirectory { path: directory.to_owned() }) }
}

impl Writer {
    pub(super) fn check(path: &Path) -> Result<(), OpenError> {
        find_directory(path)?;
        match OpenOptions::new().append(true).open(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::File { path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn open(path: &Path, sync: Sync) -> Result<Self, OpenError> {
        let directory = find_directory(path)?;
        let failed = |source| OpenError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        // Whole events stand in it, so a new one is for its owner; one that is there keeps its rights.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let length = whole_lines(&mut file).map_err(failed)?;
        file.set_len(length).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // The name of a new file is in the directory, which has to be synced by itself.
        File::open(directory).and_then(|d| d.sync_all()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, sync, length, dirty: true })
    }

    /// Serves lines until nobody can send any more.
    pub(super) fn run(mut self, mut lines: mpsc::Receiver<Line>) {
        let mut text = Vec::new();
        let mut waiting = Vec::new();
        while let Some(first) = lines.blocking_recv() {
            let mut next = Some(first);
            while let Some(line) = next {
                text.extend_from_slice(&line.text);
                waiting.push(line.synced);
                next = if text.len() < GROUP_LIMIT { lines.try_recv().ok() } else { None };
            }
            let outcome = self.append(&text).map_err(|e| Arc::from(self.problem(&e)));
            for synced in waiting.drain(..) {
                // Whoever gave up waiting does not want to know.
                let _ = synced.send(outcome.clone());
            }
            text.clear();
            text.shrink_to(GROUP_LIMIT);
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.dirty = false;
        }
        let written = self.file.write_all(text).and_then(|()| (self.sync)(&self.file));
        match written {
            Ok(()) => self.length += text.len() as u64,
            Err(_) => self.dirty = true,
        }
        written
    }

    fn problem(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                format!("no room to append to `{path}` ({error}); free some space")
            }
            _ => format!("cannot append to `{path}`: {error}"),
        }
    }
}

/// The length of the file up to and with its last line feed. Leaves the position anywhere.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut step = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(TAIL_STEP);
        file.seek(SeekFrom::Start(start))?;
        step.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut step)?;
        if let Some(at) = step.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
