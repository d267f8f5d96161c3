//! What the journal asks of the file system, and the lock that keeps others out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::OpenError;

/// The lock, and the journal's name in it.
pub(super) fn lock(dir: &Path, name: impl FnOnce() -> String) -> Result<(File, String), OpenError> {
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
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a file as a whole: under another name first, so that a crash leaves all of it or none.
pub(super) fn write_whole(dir: &Path, part: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(part)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    sync_dir(dir)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
