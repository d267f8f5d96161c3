//! What `parquet` destinations that are no longer configured have left: deliveries that were taken over, and are in no file.
//!
//! It is looked at when a configuration comes into force, and told in the log and in the status. Only journals in the data
//! directory are found; where another one was, nobody knows any more.

use std::path::Path;

use console::Left;

/// The journals in the data directory that are no destination's of these, with something in them. Blocks on the disk.
#[cfg(feature = "parquet")]
pub(crate) fn look(data: &Path, destinations: &[&str]) -> Vec<Left> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(data.join(crate::config::PARQUET_JOURNALS)).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if destinations.contains(&name.as_str()) {
            continue;
        }
        let journal = entry.path().display().to_string();
        match destinations::parquet::left_in(&entry.path()) {
            Ok(found) if found.bytes > 0 => {
                tracing::warn!(
                    destination = name,
                    journal,
                    rows = found.rows,
                    "a destination that is no longer configured has taken over deliveries that are in no file; configure \
                     it again until its journal is empty"
                );
                left.push(Left { destination: name, journal, rows: found.rows, bytes: found.bytes });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(journal, %error, "what is left in a journal cannot be read"),
        }
    }
    left.sort_by(|one, other| one.destination.cmp(&other.destination));
    left
}

#[cfg(not(feature = "parquet"))]
pub(crate) fn look(_: &Path, _: &[&str]) -> Vec<Left> {
    Vec::new()
}
