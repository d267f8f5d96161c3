//! The file in the data directory that says how far the export has come, so that retention can go on while the archive
//! cannot be reached. When it is lost, the archive's own manifests say it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::progress::Progress;

const FILE: &str = "archive.json";
const FORMAT: u32 = 1;

#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    url: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    format: u32,
    url: String,
    progress: Progress,
}

impl StateFile {
    pub(crate) fn in_dir(dir: &Path, url: &str) -> Self {
        Self { path: dir.join(FILE), url: url.to_owned() }
    }

    /// Its path, for people.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// What it says of this archive; nothing if it is lost, torn or of another one.
    pub(crate) fn read(&self) -> Option<Progress> {
        let text = std::fs::read(&self.path).ok()?;
        let state: State = serde_json::from_slice(&text).ok()?;
        (state.format == FORMAT && state.url == self.url).then_some(state.progress)
    }

    /// Replaces it as a whole. A failure costs nothing but a look into the archive at the next start.
    pub(crate) fn write(&self, progress: &Progress) {
        let state = State { format: FORMAT, url: self.url.clone(), progress: progress.clone() };
        let part = self.path.with_extension("json.part");
        let write = || {
            let mut file = std::fs::File::create(&part)?;
            file.write_all(&serde_json::to_vec(&state)?)?;
            file.sync_all()?;
            std::fs::rename(&part, &self.path)
        };
        if let Err(error) = write() {
            tracing::warn!(file = %self.path.display(), %error, "how far the archive has come cannot be noted");
        }
    }
}
