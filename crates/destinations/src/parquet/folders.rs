//! What is known of the folders that may have small files, and of the files that count no more.
//!
//! A file that another has replaced may come back: a request to write it, which a process had sent before it was killed or
//! gave up waiting, arrives when the file was written again, merged and deleted. If it were merged once more its rows would
//! count twice. So the names of replaced files are remembered, after a restart by the catalogue, and what has such a name is
//! deleted again; and a folder is looked at once more when it has got nothing for a while.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _};

use super::Grain;
use super::catalogue::{self, Entry};
use super::lake::Found;
use super::merge::Rules;
use super::partition::Partition;
use super::replace::{Note, folder_of};
use super::upload::{Failed, Uploader};

/// How many days back folders are looked at, at the start, for small files that were not merged before, and entries of the
/// catalogue for what they replace.
const DAYS_BACK: i64 = 8;
/// Files that are looked at then, at most.
const FILES_BACK: usize = 100_000;
/// Entries of the catalogue that are read at once.
const ENTRIES_AT_ONCE: usize = 8;

/// See the module.
pub(super) struct Folders {
    folders: BTreeMap<Partition, Folder>,
    /// The names of files that others have replaced.
    replaced: HashSet<String>,
}

/// What is known of a folder.
#[derive(Default, Clone, Copy)]
struct Folder {
    /// Files that it got since it was looked at.
    files: usize,
    /// When it got the last one, in milliseconds since 1970, or was looked at without a file to merge.
    written: i64,
    /// Nothing was to be done when it was looked at the last time.
    is_done: bool,
}

/// A folder that is to be looked at.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) partition: Partition,
    /// No more is awaited in it.
    pub(super) is_over: bool,
}

impl Folders {
    /// The folders of the last days, and how many files of this journal each has.
    pub(super) async fn look_back(uploader: &Uploader, now: i64) -> Result<Self, Failed> {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        let since = now - DAYS_BACK * DAY_MS;
        let mut folders = BTreeMap::<_, Folder>::new();
        let from = Partition::of(since, Grain::Day).to_string();
        for file in uploader.lake.list_behind(&from, FILES_BACK).await? {
            if let Some(partition) = Partition::parse(folder_of(&file.name)).filter(|_| uploader.is_own(&file.name)) {
                let folder = folders.entry(partition).or_default();
                folder.files += 1;
                folder.written = folder.written.max(file.written);
            }
        }
        Ok(Self { folders, replaced: uploader.replaced(since).await? })
    }

    /// A folder got a file.
    pub(super) fn got_file(&mut self, partition: Partition, now: i64) {
        let folder = self.folders.entry(partition).or_default();
        *folder = Folder { files: folder.files + 1, written: now, is_done: false };
    }

    /// Files were replaced.
    pub(super) fn replaced(&mut self, note: &Note, now: i64) {
        for name in note.inputs() {
            if let Some(partition) = Partition::parse(folder_of(name)) {
                self.folders.entry(partition).or_insert(Folder { written: now, ..Folder::default() });
            }
            self.replaced.insert(name.clone());
        }
    }

    /// Whether a file has been replaced, so that it counts no more even if it is there.
    pub(super) fn is_replaced(&self, name: &str) -> bool {
        self.replaced.contains(name)
    }

    /// The folder whose turn it is, if it is one's.
    pub(super) fn due(&self, rules: &Rules, now: i64) -> Option<Due> {
        self.folders.iter().find_map(|(partition, folder)| {
            let is_over = rules.is_over(partition.ends(), folder.written, now);
            (is_over || folder.files >= rules.files).then_some(Due { partition: *partition, is_over })
        })
    }

    /// A folder was looked at, and something was done there or not.
    pub(super) fn looked(&mut self, Due { partition, is_over }: Due, done: bool, now: i64) {
        let Some(folder) = self.folders.get_mut(&partition) else { return };
        folder.files = 0;
        match (is_over, done) {
            (false, _) => {}
            // There may be more of it than is merged at once.
            (true, true) => folder.is_done = false,
            (true, false) if folder.is_done => {
                self.folders.remove(&partition);
                let name = partition.to_string();
                self.replaced.retain(|file| folder_of(file) != name);
            }
            (true, false) => *folder = Folder { files: 0, written: now, is_done: true },
        }
    }
}

impl Uploader {
    /// The files of a folder that count, and how many that do not were deleted.
    pub(super) async fn counting(&self, folder: &str, folders: &Folders) -> Result<(Vec<Found>, usize), Failed> {
        let (replaced, found): (Vec<_>, Vec<_>) =
            self.lake.list(folder).await?.into_iter().partition(|file| folders.is_replaced(&file.name));
        for file in &replaced {
            self.lake.delete(&file.name).await?;
        }
        Ok((found, replaced.len()))
    }

    /// The names of the files that this journal's have replaced since then.
    async fn replaced(&self, since: i64) -> Result<HashSet<String>, Failed> {
        let mut replaced = HashSet::new();
        for kind in ['e', 'm'] {
            let names = |rest: &str| format!("{}/{}-{kind}{rest}", catalogue::FOLDER, self.journal);
            // All of them go on with a time.
            let entries = self.lake.names(catalogue::FOLDER, &names(&format!("{since:013}")), &names(":")).await?;
            let texts = futures::stream::iter(entries.iter().map(|name| self.lake.get(name)));
            let mut texts = texts.buffer_unordered(ENTRIES_AT_ONCE);
            while let Some(text) = texts.try_next().await? {
                // One that somebody has spoilt tells nothing.
                let entry = text.and_then(|text| Entry::parse(&text).ok());
                replaced.extend(entry.into_iter().flat_map(|entry| entry.replaces));
            }
        }
        Ok(replaced)
    }
}
