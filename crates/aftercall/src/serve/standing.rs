//! What of a destination must survive a restart and is not in the queue: that it is paused by hand, and how much went out
//! to it within the last 24 hours, for its limit a day. One small file of JSON beside the queue.
//!
//! It is written anew and put in place of the old one, so a crash leaves one of the two. A pause is written before it is
//! confirmed. The counts are written once a second, so a crash forgets at most what went out in the last second. A file
//! that cannot be read is set aside, and an error in the log says so: the destinations are not paused then.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::Paused;
use serde::{Deserialize, Serialize};

use super::destinations::Views;

/// Name of the file in the data directory.
const FILE: &str = "destinations.json";
/// Version of what is in it.
const VERSION: u32 = 1;
/// How often the counts are looked at.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    #[serde(default)]
    paused: BTreeMap<String, Paused>,
    /// Attempts by twentieth parts of a day: number and count.
    #[serde(default)]
    day: BTreeMap<String, Vec<(i64, u64)>>,
}

/// What survives a restart.
pub(crate) struct Standing {
    dir: PathBuf,
    kept: Mutex<Kept>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

impl Standing {
    /// Reads what was kept. Blocks on the disk.
    pub(crate) fn load(dir: PathBuf) -> Self {
        let path = dir.join(FILE);
        let kept = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error.to_string()),
            Ok(text) => match serde_json::from_slice::<Kept>(&text) {
                Ok(kept) if kept.version == VERSION => Ok(kept),
                Ok(kept) => Err(format!("has format {}, this program reads {VERSION}", kept.version)),
                Err(error) => Err(error.to_string()),
            },
        };
        let kept = kept.unwrap_or_else(|problem| {
            tracing::error!(file = %path.display(), problem, "which destinations were paused cannot be read; none is now");
            let _ = std::fs::rename(&path, path.with_extension("json.unusable"));
            Kept::default()
        });
        Self { dir, kept: Mutex::new(kept), writing: Mutex::default() }
    }

    /// Since when and by whom a destination is paused by hand, if it is.
    pub(crate) fn paused(&self, name: &str) -> Option<Paused> {
        self.kept().paused.get(name).cloned()
    }

    /// What went out to a destination within the last day.
    pub(crate) fn day(&self, name: &str) -> Vec<(i64, u64)> {
        self.kept().day.get(name).cloned().unwrap_or_default()
    }

    /// Remembers that a destination is paused, or no more. One that is paused already stays so since when it was. Returns
    /// whether that was otherwise before. Blocks on the disk; what cannot be written holds until a restart, and the log says so.
    pub(crate) fn set_paused(&self, name: &str, paused: Option<Paused>) -> bool {
        {
            let mut kept = self.kept();
            match paused {
                Some(paused) if !kept.paused.contains_key(name) => drop(kept.paused.insert(name.to_owned(), paused)),
                Some(_) => return false,
                None if kept.paused.remove(name).is_none() => return false,
                None => {}
            }
        }
        if let Err(error) = self.save() {
            tracing::error!(destination = name, %error, "a pause or its end cannot be saved and holds until a restart only");
        }
        true
    }

    /// Forgets the pauses of destinations that the configuration does not have. Blocks on the disk if there were any.
    pub(crate) fn keep_only(&self, configured: &[Arc<str>]) {
        let paused: Vec<String> = self.kept().paused.keys().cloned().collect();
        for name in paused.iter().filter(|name| !configured.iter().any(|known| **known == ***name)) {
            self.set_paused(name, None);
        }
    }

    /// Notes the counts of the day; true if they have changed.
    fn note(&self, views: &Views) -> bool {
        let mut changed = false;
        let mut kept = self.kept();
        for view in views.load().iter() {
            let day = view.health.day();
            if !day.is_empty() && kept.day.get(&view.name) != Some(&day) {
                kept.day.insert(view.name.clone(), day);
                changed = true;
            }
        }
        changed
    }

    /// Saves the counts of the day as they change, and for the last time when `stop` is ready.
    pub(crate) async fn tend(self: Arc<Self>, views: Views, stop: impl Future<Output = ()>) {
        let work = async {
            loop {
                tokio::time::sleep(SAVE_EVERY).await;
                self.save_counts(&views).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
        self.save_counts(&views).await;
    }

    async fn save_counts(self: &Arc<Self>, views: &Views) {
        if !self.note(views) {
            return;
        }
        let standing = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || standing.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "what went out today cannot be saved; after a restart a limit a day counts less");
        }
    }

    /// Writes what there is.
    fn save(&self) -> std::io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec(&Kept { version: VERSION, ..self.kept().clone() })?;
        let (path, part) = (self.dir.join(FILE), self.dir.join(format!("{FILE}.part")));
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(part, path)?;
        std::fs::File::open(&self.dir)?.sync_all()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
