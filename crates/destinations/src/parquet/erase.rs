//! Erasing the rows of a conversation: from the journal, and from the files that hold them, which are made anew without.
//!
//! In the journal a record keeps its place with an empty payload, so its event is still known and gets no row again. Files
//! of other journals are not touched, since whoever has that journal may write them again: they are named instead. A crash
//! in the middle leaves a part of it done, and a file that was being replaced is replaced at the start; it can be asked
//! again.

use tokio::sync::oneshot;

use super::partition::Partition;
use super::peek;
use super::rewrite;
use super::row::Row;
use super::shared::now;
use super::upload::Failed;
use super::work::Worker;
use crate::{Erased, Erasure, Unerased};

/// Files that are looked at for one request.
const FILES: usize = 64;
/// Files that are read whole for one request, because they may have rows of the conversation.
const WHOLE_FILES: usize = 8;

/// A request to erase, on its way to the thread that replaces files.
pub(super) struct Ask {
    pub(super) erasure: Erasure,
    pub(super) answer: oneshot::Sender<Result<Erased, String>>,
}

impl Worker {
    /// Erases from the journal, if it is the first request, and from some files.
    pub(super) fn erase(&mut self, erasure: &Erasure) -> Result<Erased, String> {
        let mut erased = Erased::default();
        if erasure.cursor.is_none() {
            self.resume().map_err(|error| format!("a file that is being replaced comes first: {error}"))?;
            self.erase_from_journal(erasure, &mut erased)?;
        }
        // All files of rows are in folders whose names come behind this.
        let from = erasure.cursor.as_deref().unwrap_or(Partition::PREFIX);
        let failed = |error: Failed| error.to_string();
        let files = self.runtime.block_on(self.uploader.lake.list_behind(from, FILES)).map_err(failed)?;
        let (mut looked, mut whole) = (0, 0);
        for file in &files {
            if whole == WHOLE_FILES {
                break;
            }
            looked += 1;
            let looking = peek::may_have(&self.uploader.lake, file, &erasure.conversation);
            match self.runtime.block_on(looking) {
                Ok(false) => continue,
                // It has been replaced meanwhile; by what, is come to.
                Err(Failed::Store(object_store::Error::NotFound { .. })) => continue,
                Ok(true) => {}
                Err(error) => return Err(format!("`{}`: {error}", file.name)),
            }
            whole += 1;
            self.erase_from_file(&file.name, erasure, &mut erased)?;
        }
        erased.looked = looked as u64;
        // What is merged now would be seen twice, or be gone when it is come to.
        self.merge_later();
        let is_all = looked == files.len() && files.len() < FILES;
        erased.next = files[..looked].last().filter(|_| !is_all).map(|last| last.name.clone());
        Ok(erased)
    }

    fn erase_from_journal(
        &self,
        Erasure { conversation, dry_run, .. }: &Erasure,
        sum: &mut Erased,
    ) -> Result<(), String> {
        let is_of = |payload: &[u8]| {
            // Whatever is in the journal was a row when it was taken over.
            Row::parse(payload).is_ok_and(|row| row.conversation() == Some(conversation.as_str()))
        };
        let kept = &mut *self.shared.kept.lock();
        if !dry_run {
            // What is not held is read from the journal.
            kept.held.clear();
        }
        let found =
            kept.journal.erase(&is_of, *dry_run).map_err(|error| format!("erasing from the journal: {error}"))?;
        self.shared.show(kept.journal.size());
        sum.waiting += found.rows;
        sum.bytes += found.bytes;
        Ok(())
    }

    fn erase_from_file(&mut self, name: &str, erasure: &Erasure, sum: &mut Erased) -> Result<(), String> {
        let failed = |error: Failed| format!("`{name}`: {error}");
        if self.folders()?.is_replaced(name) {
            // It came back; its rows are in another file.
            return match erasure.dry_run {
                true => Ok(()),
                false => self.runtime.block_on(self.uploader.lake.delete(name)).map_err(failed),
            };
        }
        let Some(data) = self.runtime.block_on(self.uploader.lake.get(name)).map_err(failed)? else { return Ok(()) };
        let rows = match rewrite::count(&data, &erasure.conversation) {
            Ok(0) => return Ok(()),
            Ok(rows) => rows,
            Err(error) => {
                let why = format!("it cannot be read, so nobody knows what is in it ({error}): restore or delete it");
                sum.kept.push(Unerased { name: name.to_owned(), rows: None, why });
                return Ok(());
            }
        };
        if !self.uploader.is_own(name) {
            let why = "another journal than this destination's has written it: erase it where that destination is \
                       configured; if it is no more, delete the file and replay its time"
                .to_owned();
            sum.kept.push(Unerased { name: name.to_owned(), rows: Some(rows), why });
            return Ok(());
        }
        let here = self.segments();
        if !self.uploader.is_settled(name, &|number| here.contains(&number)) {
            // Its segment is in the journal, from which the rows are gone already; it is written again, without them.
            let why = "it is being written, and will be written again without them: ask again in a minute".to_owned();
            sum.kept.push(Unerased { name: name.to_owned(), rows: Some(rows), why });
            return Ok(());
        }
        sum.rows += rows;
        sum.files += 1;
        if erasure.dry_run {
            return Ok(());
        }
        let plan = self.runtime.block_on(self.uploader.plan_erasure(name, &data, &erasure.conversation, now()));
        self.carry_out(plan.map_err(failed)?).map_err(|error| format!("`{name}`: {error}"))
    }
}
