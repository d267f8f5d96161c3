//! Copying the queue while it works.

use std::path::Path;

use crate::failure::{Failed, Place};
use crate::{open, schema};

/// Writes a complete, compact copy of the queue in `dir` to the new file `to`, as of one moment. The queue may be in
/// use meanwhile, by this process or another; a copy that was not finished is removed.
///
/// To restore, put the file as `queue.db` into an empty data directory.
///
/// # Errors
/// When `to` exists or cannot be written, or when the queue cannot be read.
pub fn backup(dir: &Path, to: &Path) -> Result<(), Failed> {
    let failed = |error: std::io::Error| Failed::Disk(format!("{}: {error}", to.display()));
    if to.exists() {
        return Err(Failed::Disk(format!("{} exists already; name a new file", to.display())));
    }
    let connection = schema::open_reader(dir)?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    // Left by an attempt that was killed; VACUUM INTO wants a file that is empty or not there.
    let _ = std::fs::remove_file(part);
    // Made first, so that at no time others can read what customers have said.
    schema::make_private(part)?;
    let target = part.to_str().ok_or_else(|| Failed::Disk(format!("{} is not UTF-8", part.display())))?;
    let copied = connection.execute("VACUUM INTO ?1", [target]).place("copying the queue");
    let synced = copied.and_then(|_| std::fs::File::open(part).and_then(|file| file.sync_all()).map_err(failed));
    let renamed = synced.and_then(|()| std::fs::rename(part, to).map_err(failed));
    if renamed.is_err() {
        let _ = std::fs::remove_file(part);
    }
    renamed?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    open::sync_dir(parent).map_err(failed)
}

/// Bytes of all files in the data directory.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(|data| data.is_file())
        .map(|data| data.len())
        .sum()
}
