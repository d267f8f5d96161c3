//! What alarms must not forget over a restart: which are open, what was learnt, and what is still to be told. One small
//! file of JSON beside the queue, written anew and put in place of the old one.
//!
//! A crash in the middle leaves the old file. A file that cannot be read is set aside, and alarms begin anew: they never
//! keep the server from starting.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::alarms::State;
use crate::notifier::Waiting;

/// Name of the file in the data directory.
pub const FILE: &str = "alarms.json";
/// Version of what is in it.
const VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Version of the format.
    version: u32,
    /// The alarms.
    pub state: State,
    /// What waits for each notifier.
    pub waiting: Waiting,
}

impl Kept {
    /// What is to be kept now.
    pub fn new(state: State, waiting: Waiting) -> Self {
        Self { version: VERSION, state, waiting }
    }

    /// Reads what was kept; nothing if there is no file. Blocks on the disk.
    pub fn load(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => return Self::unusable(&path, &error.to_string()),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(mut kept) if kept.version == VERSION => {
                kept.state.restarted();
                kept
            }
            Ok(kept) => Self::unusable(&path, &format!("has format {}, this program reads {VERSION}", kept.version)),
            Err(error) => Self::unusable(&path, &error.to_string()),
        }
    }

    /// Writes it. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be written; the file of before is still there then.
    pub fn save(&self, dir: &Path) -> std::io::Result<()> {
        let (path, part) = (dir.join(FILE), dir.join(format!("{FILE}.part")));
        let mut file = private(&part)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(part, path)
    }

    fn unusable(path: &Path, problem: &str) -> Self {
        let aside = path.with_extension("json.unusable");
        tracing::error!(file = %path.display(), problem, "the alarms of before cannot be read; they begin anew");
        let _ = std::fs::rename(path, aside);
        Self::default()
    }
}

/// A new file that only its owner can read.
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;
    use crate::alarms::{Change, Notice, Options, Reading};

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Kept::load(dir.path()).state.open().is_empty(), "no file");
        let mut kept = Kept::new(State::default(), Waiting::default());
        let now = Timestamp::from_millis(1_000);
        let stopped = Reading { stopped: Some("a sync failed".to_owned()), ..Reading::default() };
        kept.state.step(&stopped, &Options::default(), now);
        kept.waiting.0.insert("pager".to_owned(), vec![Notice::test(Change::Opened, now)]);
        kept.save(dir.path()).unwrap();
        let again = Kept::load(dir.path());
        assert_eq!(again.state.open(), kept.state.open());
        assert_eq!(again.waiting.0, kept.waiting.0);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Kept::load(dir.path()).state.open().is_empty());
        assert!(dir.path().join("alarms.json.unusable").exists());
        std::fs::write(dir.path().join(FILE), include_str!("store/version_1.json")).unwrap();
        assert_eq!(Kept::load(dir.path()).state.open().len(), 1, "a file of version 1");
        std::fs::write(dir.path().join(FILE), r#"{"version":2,"state":{"tracked":{},"known":{}},"waiting":{}}"#)
            .unwrap();
        assert!(Kept::load(dir.path()).state.open().is_empty(), "unknown versions are not guessed at");
    }
}
