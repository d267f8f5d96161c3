//! The thread that goes to the object store: closes segments that are old enough, writes closed ones, merges small files and
//! erases.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::folders::Folders;
use super::merge::Rules;
use super::replace::{Note, Plan};
use super::shared::{Orders, Shared, locked, now};
use super::upload::{Failed, Uploader};

/// How often it is looked whether a segment is old enough.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause after a failed upload, doubled up to [`MAX_PAUSE`]: a store that is back is found soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// Pause after merging failed, and between merging and the requests of one erasure. It can wait, and whoever reads sees no
/// difference.
const MERGE_PAUSE: Duration = Duration::from_secs(60);
/// What the thread has.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) uploader: Uploader,
    pub(super) runtime: Runtime,
    merging: Rules,
    /// None if it was not looked yet.
    folders: Option<Folders>,
    /// Nothing is merged before.
    merge_not_before: Option<Instant>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, uploader: Uploader, merging: Rules, runtime: Runtime) -> Self {
        Self { shared, uploader, runtime, merging, folders: None, merge_not_before: None }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut wait = Duration::ZERO;
        // Nothing is written before.
        let mut not_before = Instant::now();
        while self.goes_on(wait) {
            while let Some(ask) = { locked(&self.shared.orders).asks.pop_front() } {
                // Whoever gave up waiting asks again.
                let _ = ask.answer.send(self.erase(&ask.erasure));
            }
            self.make_pieces();
            wait = not_before.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                continue;
            }
            match self.write_oldest() {
                Ok(is_more) => {
                    *locked(&self.shared.trouble) = None;
                    pause = FIRST_PAUSE;
                    wait = if is_more { Duration::ZERO } else { LOOK_EVERY };
                    self.merge_if_due();
                }
                Err(problem) => {
                    *locked(&self.shared.trouble) = Some(problem);
                    wait = pause;
                    not_before = Instant::now() + pause;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Makes what can be made already of the files of segments that are being filled.
    fn make_pieces(&self) {
        while let Some(piece) = { self.shared.kept.lock().held.next() } {
            let made = piece.make();
            self.shared.kept.lock().held.put_back(made);
        }
    }

    /// Waits; whether there is to be more work.
    fn goes_on(&self, wait: Duration) -> bool {
        let orders = locked(&self.shared.orders);
        let has_none = |orders: &mut Orders| !orders.stop && !orders.look && orders.asks.is_empty();
        let woken = self.shared.wake.wait_timeout_while(orders, wait, has_none);
        let (mut orders, _) = woken.unwrap_or_else(PoisonError::into_inner);
        orders.look = false;
        !orders.stop
    }

    /// Writes the oldest closed segment, if there is one; whether there was.
    fn write_oldest(&mut self) -> Result<bool, String> {
        let (number, path, held) = {
            let kept = &mut *self.shared.kept.lock();
            kept.journal.close_if_due(now()).map_err(|error| format!("closing a segment of the journal: {error}"))?;
            kept.journal.mark().map_err(|error| format!("marking a segment of the journal: {error}"))?;
            let Some((number, path, rows)) = kept.journal.oldest_closed() else { return Ok(false) };
            (number, path, kept.held.take(number, rows))
        };
        let written = self.runtime.block_on(self.uploader.write(number, &path, held));
        let written = written.map_err(|failed| failed.to_string())?;
        let dropped = {
            let mut kept = self.shared.kept.lock();
            let dropped = kept.journal.drop_segment(number, &written.ids);
            self.shared.show(kept.journal.size());
            dropped
        };
        dropped.map_err(|error| format!("dropping a segment of the journal: {error}"))?;
        if let Some(folders) = &mut self.folders {
            written.folders.into_iter().for_each(|partition| folders.got_file(partition, now()));
        }
        Ok(true)
    }

    /// Merges the small files of one folder, if one is due. That it fails stops nothing else.
    fn merge_if_due(&mut self) {
        if !self.merging.are_in_force() || self.merge_not_before.is_some_and(|time| Instant::now() < time) {
            return;
        }
        let merged = self.merge();
        self.merge_not_before = merged.is_err().then(|| Instant::now() + MERGE_PAUSE);
        *locked(&self.shared.unmerged) = merged.err().map(|problem| format!("small files are not merged: {problem}"));
    }

    /// Merges nothing for a while.
    pub(super) fn merge_later(&mut self) {
        self.merge_not_before = Some(Instant::now() + MERGE_PAUSE);
    }

    fn merge(&mut self) -> Result<(), String> {
        self.resume()?;
        let (rules, now) = (self.merging, now());
        let Some(due) = self.folders()?.due(&rules, now) else { return Ok(()) };
        let (name, here) = (due.partition.to_string(), self.segments());
        let is_here = |number: u64| here.contains(&number);
        let (mut done, mut plan) = (false, None);
        if let Some(folders) = &self.folders {
            let planned = self.runtime.block_on(async {
                let (found, deleted) = self.uploader.counting(&name, folders).await?;
                let plan = self.uploader.plan_merge(&name, found, &rules, due.is_over, now, &is_here).await?;
                Ok::<_, Failed>((deleted > 0, plan))
            });
            (done, plan) = planned.map_err(|error| error.to_string())?;
        }
        if let Some(plan) = plan {
            done = true;
            self.carry_out(plan)?;
        }
        self.folders()?.looked(due, done, now);
        Ok(())
    }

    /// What is known of the folders and of replaced files; it is looked for once.
    pub(super) fn folders(&mut self) -> Result<&mut Folders, String> {
        match &mut self.folders {
            Some(folders) => Ok(folders),
            none => {
                let found = self.runtime.block_on(Folders::look_back(&self.uploader, now()));
                Ok(none.insert(found.map_err(|error| error.to_string())?))
            }
        }
    }

    /// The segments that are in the journal.
    pub(super) fn segments(&self) -> BTreeSet<u64> {
        self.shared.kept.lock().journal.segments()
    }

    /// Goes on with what a crash or the store has interrupted.
    pub(super) fn resume(&mut self) -> Result<(), String> {
        let note = self.shared.kept.lock().journal.note().map_err(|error| format!("reading a note: {error}"))?;
        let Some(note) = note else { return Ok(()) };
        let note = Note::parse(&note).map_err(|error| error.to_string())?;
        let done = self.runtime.block_on(self.uploader.replace(&note, None));
        if let Err(error) = done {
            if matches!(error, Failed::Gone(_)) {
                // Nothing was done, and nothing can be.
                self.remove_note()?;
            }
            return Err(error.to_string());
        }
        self.replaced(&note)
    }

    /// Notes what is to be done, and does it.
    pub(super) fn carry_out(&mut self, plan: Plan) -> Result<(), String> {
        let Plan { note, data } = plan;
        let text = note.to_json().map_err(|error| error.to_string())?;
        self.shared.kept.lock().journal.leave_note(&text).map_err(|error| format!("leaving a note: {error}"))?;
        self.runtime.block_on(self.uploader.replace(&note, data)).map_err(|error| error.to_string())?;
        self.replaced(&note)
    }

    /// What a note says is done.
    fn replaced(&mut self, note: &Note) -> Result<(), String> {
        if let Some(folders) = &mut self.folders {
            folders.replaced(note, now());
        }
        self.remove_note()
    }

    fn remove_note(&self) -> Result<(), String> {
        self.shared.kept.lock().journal.remove_note().map_err(|error| format!("removing a note: {error}"))
    }
}
