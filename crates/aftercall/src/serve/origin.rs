//! Where the configuration comes from: the file, with what the command line puts before it.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::{self, ConfigError, File};

/// The file and the arguments that go before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) path: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) console: Option<SocketAddr>,
}

/// What tells whether a file has changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

impl Origin {
    /// The configuration; that of no file is empty, to be filled for trying things out. And the hash of its text.
    pub(crate) fn read(&self) -> (Result<File, ConfigError>, Option<String>) {
        let Some(path) = &self.path else {
            return (Ok(self.with_arguments(File::default())), None);
        };
        match config::read_text(path) {
            Ok(text) => {
                let file = config::parse(&path.display().to_string(), &text);
                (file.map(|file| self.with_arguments(file)), Some(hash(&text)))
            }
            Err(error) => (Err(error), None),
        }
    }

    /// The file as it is now; none if it is not there.
    pub(crate) fn look(&self) -> Option<Look> {
        let found = std::fs::metadata(self.path.as_ref()?).ok()?;
        Some(Look { modified: found.modified().ok()?, size: found.len(), inode: found.ino() })
    }

    fn with_arguments(&self, mut file: File) -> File {
        file.data_dir = self.data.clone().or(file.data_dir);
        file.intake.listen = self.listen.or(file.intake.listen);
        file.console.listen = self.console.or(file.console.listen);
        file
    }
}

/// Tells texts apart.
fn hash(text: &str) -> String {
    format!("{:016x}", queue::body_hash(&bytes::Bytes::copy_from_slice(text.as_bytes())))
}
