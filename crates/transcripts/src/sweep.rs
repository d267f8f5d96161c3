//! Retention: what is older goes, and what kills left in a directory goes too.
//!
//! One pass over all names, of which a page at a time is in memory. A crash in the middle leaves the rest for the next pass.
//! Only what is below the template's folder is seen. A transcript goes before its record, so none is left without one.

use std::path::Path as FilePath;
use std::time::{Duration, SystemTime};

use event::Timestamp;
use futures::TryStreamExt as _;
use object_store::ObjectMeta;

use crate::record::RECORD;
use crate::shelf::Shelf;

/// Objects that are removed at a time: what S3 takes in one request.
const PAGE: usize = 1_000;
/// Parts of uploads of that age are of uploads which nobody makes any more: no attempt lasts so long.
const LEFT_OVER: Duration = Duration::from_secs(86_400);

/// What a pass has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Transcripts.
    pub transcripts: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Shelf {
    /// Removes what is older than `retention`.
    pub(crate) async fn sweep(&self, retention: Duration, now: Timestamp) -> Result<Swept, object_store::Error> {
        let cutoff = now.minus(retention).as_millis();
        let is_old = |meta: &ObjectMeta| meta.last_modified.timestamp_millis() < cutoff;
        let (mut swept, mut page) = (Swept::default(), Vec::new());
        let root = self.template.root();
        let mut listed = self.objects.list(Some(&root));
        loop {
            let meta = match listed.try_next().await {
                Ok(Some(meta)) => meta,
                Ok(None) | Err(object_store::Error::NotFound { .. }) => break,
                Err(error) => return Err(error),
            };
            if is_old(&meta) {
                page.push(meta);
            }
            if page.len() == PAGE {
                self.remove_page(std::mem::take(&mut page), &mut swept).await?;
            }
        }
        self.remove_page(page, &mut swept).await?;
        Ok(swept)
    }

    async fn remove_page(&self, page: Vec<ObjectMeta>, swept: &mut Swept) -> Result<(), object_store::Error> {
        let (records, transcripts): (Vec<_>, Vec<_>) =
            page.into_iter().partition(|meta| meta.location.as_ref().ends_with(RECORD));
        for meta in &transcripts {
            swept.transcripts += 1;
            swept.bytes += meta.size;
        }
        for some in [transcripts, records] {
            self.remove(some.into_iter().map(|meta| meta.location).collect()).await?;
        }
        Ok(())
    }

    /// Removes from a directory what kills left of uploads, and folders with nothing in them.
    pub(crate) async fn tidy(&self, now: Timestamp) {
        let Some(root) = self.directory.as_ref().map(|path| path.join(self.template.root().as_ref())) else { return };
        let now = SystemTime::UNIX_EPOCH + Timestamp::default().until(now);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || tidy_folder(&root, now, false)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "what kills left in the directory of the transcripts cannot be removed");
        }
    }
}

fn tidy_folder(folder: &FilePath, now: SystemTime, removable: bool) -> std::io::Result<()> {
    // Depth is bounded by keys: a kilobyte has few slashes, and names of folders are made by this program.
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            tidy_folder(&path, now, true)?;
        } else if is_part(&path) {
            let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
            if age > LEFT_OVER {
                std::fs::remove_file(&path)?;
            }
        }
    }
    if removable {
        // Fails unless it is empty.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// Whether a file is what a store writes before it renames it: `NAME#1`.
fn is_part(path: &FilePath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit_once('#').is_some_and(|(name, number)| {
        (name.ends_with(".json") || name.ends_with(RECORD)) && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}
