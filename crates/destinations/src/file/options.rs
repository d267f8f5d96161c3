//! What can be set on a `file` destination.

use std::path::PathBuf;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file. Its directory must exist; the file is made if it is missing.
    pub path: PathBuf,
}

impl Options {
    /// A file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}
