//! The spool: large bodies on their way from the wire to the queue, in files of the data directory.
//!
//! A file is `N.arriving` while its body arrives and is looked at. Once the body is known to be authentic and whole
//! events, what is needed to publish it is written behind it ([`head`]), the file is synced and renamed to `N.accepted`:
//! from then on all of its events will be in the queue. It is removed when they are.
//!
//! A body that is authentic and cannot become events is kept as `DIGEST.unreadable`, until a person removes it.
//!
//! A crash leaves files. Those that were arriving are removed at the next start, and nobody was told that they were
//! taken; those that were accepted are published from their beginning, which their identities make harmless.

mod head;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::Stored;
use parking_lot::Mutex;
use queue::Mention;

use crate::options::{SPOOL_SYNC_BYTES, SpoolOptions};

pub(crate) use head::{Digest, Head};

const ARRIVING: &str = "arriving";
const ACCEPTED: &str = "accepted";
const UNREADABLE: &str = "unreadable";
/// Bytes of a piece that are looked at again with the next one: longer than any id of a conversation, written in escapes.
const MENTION_BYTES: usize = 64 * 1024;

/// The directory, and how many bytes more may go into it.
pub(crate) struct Spool {
    dir: PathBuf,
    free: AtomicU64,
    next: AtomicU64,
    /// Digests of the bodies that are accepted, so that the same one that is sent again does not take room twice.
    accepted: Mutex<HashSet<Digest>>,
    /// Files of bodies that cannot become events, and their bytes.
    unreadable: Mutex<Vec<(u64, PathBuf)>>,
}

/// A body was not spooled.
#[derive(Debug)]
pub(crate) enum SpoolFailure {
    /// All of the room is taken.
    NoRoom,
    /// The same body is there already, and its events are being published.
    Twice,
    /// The disk said no.
    Disk(io::Error),
}

impl From<io::Error> for SpoolFailure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Spool {
    /// Opens or makes the directory, and removes what was still arriving when the server ended. Returns also the files of
    /// accepted bodies, oldest first. Blocks.
    pub(crate) fn open(options: &SpoolOptions) -> io::Result<(Arc<Self>, Vec<PathBuf>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.dir)?;
        let (mut accepted, mut unreadable, mut bytes, mut next) = (Vec::new(), Vec::new(), 0, 0);
        for entry in fs::read_dir(&options.dir)? {
            let path = entry?.path();
            if is_unreadable(&path) {
                unreadable.push((path.metadata()?.len(), path));
                continue;
            }
            let Some((number, extension)) = parts(&path) else { continue };
            next = next.max(number + 1);
            if extension == ARRIVING {
                fs::remove_file(&path)?;
            } else {
                bytes += path.metadata()?.len();
                accepted.push((number, path));
            }
        }
        accepted.sort();
        bytes += unreadable.iter().map(|(bytes, _)| bytes).sum::<u64>();
        let spool = Self {
            dir: options.dir.clone(),
            free: AtomicU64::new(options.bytes.saturating_sub(bytes)),
            next: AtomicU64::new(next),
            accepted: Mutex::default(),
            unreadable: Mutex::new(unreadable),
        };
        Ok((Arc::new(spool), accepted.into_iter().map(|(_, path)| path).collect()))
    }

    /// A file for a body that begins to arrive. Blocks.
    pub(crate) fn begin(self: &Arc<Self>) -> io::Result<Spooled> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}.{ARRIVING}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Spooled {
            spool: Arc::clone(self),
            file: Arc::new(file),
            path,
            body: 0,
            taken: 0,
            unsynced: 0,
            state: State::Arriving,
        })
    }

    /// Opens the file of an accepted body, and makes sure that it is what was accepted. Blocks.
    pub(crate) fn reopen(self: &Arc<Self>, path: PathBuf) -> io::Result<(Spooled, Head)> {
        let file = File::open(&path)?;
        let taken = file.metadata()?.len();
        let head = Head::read(&file, taken)?;
        self.accepted.lock().insert(head.digest);
        let state = State::Accepted(head.digest);
        let spool = Arc::clone(self);
        Ok((Spooled { spool, file: Arc::new(file), path, body: head.bytes, taken, unsynced: 0, state }, head))
    }

    /// Gives the room of files back that were removed by hand. Blocks.
    fn find_room(&self) {
        self.unreadable.lock().retain(|(bytes, path)| {
            let there = path.exists();
            if !there {
                self.free.fetch_add(*bytes, Ordering::Relaxed);
            }
            there
        });
    }

    /// Removes the unreadable bodies that mention a conversation, or only counts them. Blocks.
    pub(crate) fn erase(&self, mention: &Mention, dry_run: bool) -> io::Result<u64> {
        self.find_room();
        let files: Vec<PathBuf> = self.unreadable.lock().iter().map(|(_, path)| path.clone()).collect();
        let mut erased = 0;
        for path in files {
            let file = File::open(&path)?;
            let body = InFile { size: file.metadata()?.len(), file: Arc::new(file) };
            if body.mentions(mention)? {
                erased += 1;
                if !dry_run {
                    fs::remove_file(&path)?;
                }
            }
        }
        self.find_room();
        Ok(erased)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

fn is_unreadable(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == UNREADABLE)
}

/// Number and kind of one of the spool's files.
fn parts(path: &Path) -> Option<(u64, &str)> {
    let extension = path.extension()?.to_str()?;
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    [ARRIVING, ACCEPTED].contains(&extension).then_some((number, extension))
}

/// One body in the spool. Its file is removed when this is dropped, unless the body was accepted.
pub(crate) struct Spooled {
    spool: Arc<Spool>,
    file: Arc<File>,
    path: PathBuf,
    /// Bytes of the body.
    body: u64,
    /// Bytes of the spool's room.
    taken: u64,
    unsynced: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Arriving,
    Accepted(Digest),
    Published(Digest),
    /// It is not this any more which removes the file.
    Unreadable,
}

impl Spooled {
    /// Appends a piece of the body. Blocks.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), SpoolFailure> {
        self.take(piece.len() as u64)?;
        (&*self.file).write_all(piece)?;
        self.body += piece.len() as u64;
        self.unsynced += piece.len() as u64;
        // A little at a time, so that there is little left to wait for at the end.
        if self.unsynced >= SPOOL_SYNC_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Promises that the body will be published: durable on return. Blocks.
    pub(crate) fn accept(&mut self, head: &Head) -> Result<(), SpoolFailure> {
        if !self.spool.accepted.lock().insert(head.digest) {
            return Err(SpoolFailure::Twice);
        }
        // The file stays arriving, and is removed, if anything fails up to the renaming.
        let accepted = match self.finish(&head.written()) {
            Ok(path) => path,
            Err(failure) => {
                self.spool.accepted.lock().remove(&head.digest);
                return Err(failure);
            }
        };
        self.path = accepted;
        self.state = State::Accepted(head.digest);
        if let Err(error) = self.spool.sync() {
            // Whether it would be there after a power loss is unknown, and nothing of it is published yet.
            self.state = State::Published(head.digest);
            return Err(error.into());
        }
        Ok(())
    }

    /// Keeps a body that cannot become events; durable on return. The same one has the same file. Blocks.
    pub(crate) fn keep_unreadable(mut self, digest: &Digest) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        let kept = self.spool.dir.join(format!("{}.{UNREADABLE}", hex::encode(digest)));
        let mut unreadable = self.spool.unreadable.lock();
        fs::rename(&self.path, &kept)?;
        self.state = State::Unreadable;
        match unreadable.iter().any(|(_, path)| *path == kept) {
            true => drop(self.spool.free.fetch_add(self.taken, Ordering::Relaxed)),
            false => unreadable.push((self.taken, kept.clone())),
        }
        drop(unreadable);
        self.spool.sync()?;
        Ok(kept)
    }

    fn finish(&mut self, head: &[u8]) -> Result<PathBuf, SpoolFailure> {
        self.take(head.len() as u64)?;
        (&*self.file).write_all(head)?;
        self.file.sync_all()?;
        let accepted = self.path.with_extension(ACCEPTED);
        fs::rename(&self.path, &accepted)?;
        Ok(accepted)
    }

    /// The body, to be read.
    pub(crate) fn stored(&self) -> InFile {
        InFile { file: Arc::clone(&self.file), size: self.body }
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body
    }

    /// Removes the file, which is not needed any more. Blocks.
    pub(crate) fn remove(mut self) {
        if let State::Accepted(digest) = self.state {
            self.state = State::Published(digest);
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), SpoolFailure> {
        let free = &self.spool.free;
        let take = || free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        if take().is_err() {
            self.spool.find_room();
            take().map_err(|_| SpoolFailure::NoRoom)?;
        }
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let State::Published(digest) | State::Accepted(digest) = self.state {
            self.spool.accepted.lock().remove(&digest);
        }
        if let State::Accepted(_) | State::Unreadable = self.state {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => drop(self.spool.free.fetch_add(self.taken, Ordering::Relaxed)),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "a file of the spool cannot be removed; remove it");
            }
        }
    }
}

/// A body in a file.
#[derive(Clone)]
pub(crate) struct InFile {
    file: Arc<File>,
    size: u64,
}

impl Stored for InFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = into.len().min(left);
        self.file.read_at(&mut into[..len], at)
    }
}

impl InFile {
    /// The first bytes, at most so many. Blocks.
    pub(crate) fn first(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let bytes = bytes.min(usize::try_from(self.size).unwrap_or(usize::MAX));
        let mut first = vec![0; bytes];
        self.file.read_exact_at(&mut first, 0)?;
        Ok(first)
    }

    /// Whether it mentions a conversation. Blocks.
    fn mentions(&self, mention: &Mention) -> io::Result<bool> {
        let (mut found, mut seen) = (false, Vec::new());
        self.for_each(|piece| {
            seen.extend_from_slice(piece);
            found |= mention.is_in(&seen);
            // What goes over the end of the piece is found with the next one.
            seen.drain(..seen.len().saturating_sub(MENTION_BYTES));
        })?;
        Ok(found)
    }

    /// Hands all of it to `each`, piece by piece. Blocks.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut piece = vec![0; 256 * 1024];
        let mut at = 0;
        loop {
            match self.read_at(at, &mut piece)? {
                0 if at == self.size => return Ok(()),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    each(&piece[..read]);
                    at += read as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
