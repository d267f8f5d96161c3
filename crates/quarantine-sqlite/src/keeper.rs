//! The thread: takes what has come, does all of it in one transaction, answers, and waits for more.
//!
//! A batch that fails is undone as a whole: its requests are counted as not kept, its questions get the error. When the
//! file cannot be used any more the thread ends, and from then on everybody is told so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use intake::{KeyUse, QuarantineEntry, QuarantineError, QuarantineQuery, QuarantineSelection, Quarantined};
use tokio::sync::{mpsc, oneshot};

use crate::counts::Left;
use crate::failure::Failed;
use crate::options::BATCH;
use crate::store::{Kept, Store};
use crate::{Shared, row};

const BATCH_FAILED: &str = "what was done together with it failed; try again";

type Reply<T> = oneshot::Sender<Result<T, QuarantineError>>;

/// What the thread is asked to do.
pub(crate) enum Op {
    Keep(Box<Quarantined>),
    List { query: QuarantineQuery, reply: Reply<Vec<QuarantineEntry>> },
    Read { id: u64, reply: Reply<Option<Quarantined>> },
    Remove { which: QuarantineSelection, reply: Reply<u64> },
    Erase { conversation: String, dry_run: bool, reply: Reply<u64> },
    KeyUses { reply: Reply<Vec<KeyUse>> },
    Maintain { uses: Vec<KeyUse>, now: Timestamp, reply: Reply<()> },
    Close { reply: Reply<()> },
}

/// Sends an answer; instead of it the failure of the batch, if it failed.
type Answer = Box<dyn FnOnce(Option<&QuarantineError>)>;

/// What a batch has changed, to be told when it is committed.
#[derive(Default)]
struct Batch {
    /// By source: requests put in, and pushed out.
    changed: BTreeMap<Arc<str>, (u64, u64)>,
    answers: Vec<Answer>,
    requests: Vec<(Arc<str>, usize)>,
    made_room: bool,
    /// Nothing of what was removed may stay in the write-ahead log.
    erased: bool,
    ends: bool,
}

/// Runs until it is closed, or nobody is left who could ask, or the file is unusable.
pub(crate) fn run(mut store: Store, mut ops: mpsc::Receiver<Op>, shared: &Shared) {
    let mut first = ops.blocking_recv();
    while let Some(op) = first {
        let mut batch = Batch::default();
        let before: Vec<(Arc<str>, Kept)> = store.kept().map(|(source, kept)| (Arc::from(source), kept)).collect();
        let done = work(&mut store, op, &mut ops, shared, &mut batch);
        let bytes = batch.requests.iter().map(|(_, bytes)| bytes).sum();
        shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let failure = match done {
            Ok(()) => {
                tell(&store, shared, &before, &batch);
                None
            }
            Err(failed) => Some(undo(&mut store, shared, &batch, failed)),
        };
        if batch.ends || matches!(failure, Some(QuarantineError::Closed(_))) {
            // Whoever is told of the end finds the file closed.
            drop((store, ops));
            return batch.answers.into_iter().for_each(|answer| answer(failure.as_ref()));
        }
        batch.answers.into_iter().for_each(|answer| answer(failure.as_ref()));
        first = ops.blocking_recv();
    }
}

/// One transaction over what has come.
fn work(
    store: &mut Store,
    first: Op,
    ops: &mut mpsc::Receiver<Op>,
    shared: &Shared,
    batch: &mut Batch,
) -> Result<(), Failed> {
    let mut failed = store.begin();
    let mut next = Some(first);
    let mut count = 0;
    // After a failure the rest of the batch is only taken over, so that all of it is answered alike.
    while let Some(op) = next {
        let done = apply(store, op, shared, batch, failed.is_ok());
        failed = failed.and(done);
        count += 1;
        next = if count < BATCH && !batch.ends { ops.try_recv().ok() } else { None };
    }
    failed?;
    store.commit()?;
    if batch.made_room {
        // The removal stands, whatever becomes of this.
        let _ = store.shrink();
    }
    if batch.erased {
        store.empty_log()?;
    }
    Ok(())
}

fn apply(store: &mut Store, op: Op, shared: &Shared, batch: &mut Batch, works: bool) -> Result<(), Failed> {
    match op {
        Op::Keep(request) => {
            batch.requests.push((Arc::clone(&request.source), row::size(&request)));
            if works {
                let pushed_out = store.insert(&request)?;
                let changed = batch.changed.entry(request.source).or_default();
                *changed = (changed.0 + 1, changed.1 + pushed_out);
            }
            Ok(())
        }
        Op::List { query, reply } => look(batch, reply, works, || store.list(&query)),
        Op::Read { id, reply } => look(batch, reply, works, || store.read(id)),
        Op::KeyUses { reply } => look(batch, reply, works, || store.key_uses()),
        Op::Remove { which, reply } => {
            batch.made_room = true;
            change(batch, reply, works, || store.remove(&which))
        }
        Op::Erase { conversation, dry_run: true, reply } => {
            look(batch, reply, works, || store.mentioning(&conversation).map(|found| found.len() as u64))
        }
        Op::Erase { conversation, dry_run: false, reply } => {
            (batch.made_room, batch.erased) = (true, true);
            change(batch, reply, works, || store.erase_mentioning(&conversation))
        }
        Op::Maintain { uses, now, reply } => {
            let before = now.minus(shared.options.retention);
            change(batch, reply, works, || {
                store.save_key_uses(&uses)?;
                store.expire(before).map(drop)
            })
        }
        Op::Close { reply } => {
            batch.ends = true;
            look(batch, reply, works, || Ok(()))
        }
    }
}

/// Answers a question. A failure that passes is its own and not the batch's.
fn look<T: 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    works: bool,
    ask: impl FnOnce() -> Result<T, Failed>,
) -> Result<(), Failed> {
    let done = if works { ask() } else { Err(Failed::Passing(BATCH_FAILED.to_owned())) };
    let (result, failed) = match done {
        Ok(value) => (Ok(value), Ok(())),
        Err(Failed::Passing(text)) => (Err(QuarantineError::Failed(text)), Ok(())),
        Err(failed) => (Err(QuarantineError::Closed(failed.to_string())), Err(failed)),
    };
    answer(batch, reply, result);
    failed
}

/// Changes something. Any failure undoes the whole batch.
fn change<T: Default + 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    works: bool,
    act: impl FnOnce() -> Result<T, Failed>,
) -> Result<(), Failed> {
    let done = if works { act() } else { Ok(T::default()) };
    let (value, failed) = match done {
        Ok(value) => (value, Ok(())),
        Err(failed) => (T::default(), Err(failed)),
    };
    answer(batch, reply, Ok(value));
    failed
}

/// To be sent when the batch has been committed; if it failed, the failure instead.
fn answer<T: 'static>(batch: &mut Batch, reply: Reply<T>, result: Result<T, QuarantineError>) {
    batch.answers.push(Box::new(move |failure: Option<&QuarantineError>| {
        // Who has gone away meanwhile does not want the answer.
        let _ = reply.send(failure.map_or(result, |failure| Err(failure.clone())));
    }));
}

/// After a commit.
fn tell(store: &Store, shared: &Shared, before: &[(Arc<str>, Kept)], batch: &Batch) {
    for (source, (added, pushed_out)) in &batch.changed {
        shared.counts.committed(source, store.kept_of(source), *added, *pushed_out);
    }
    for (source, kept) in before {
        let now = store.kept_of(source);
        if now != *kept && !batch.changed.contains_key(source) {
            shared.counts.committed(source, now, 0, 0);
        }
        if batch.made_room {
            shared.counts.made_room(source, *kept, now);
        }
    }
    if !batch.requests.is_empty() {
        shared.counts.works();
    }
}

/// After a failure: nothing of the batch is kept.
fn undo(store: &mut Store, shared: &Shared, batch: &Batch, failed: Failed) -> QuarantineError {
    batch.requests.iter().for_each(|(source, _)| shared.counts.left_out(source, Left::Failed));
    let undone = store.roll_back();
    match (failed, undone) {
        (Failed::Passing(reason), Ok(())) => {
            shared.counts.failed(batch.requests.len() as u64, &reason);
            QuarantineError::Failed(reason)
        }
        (failed, _) => {
            let reason = failed.to_string();
            shared.counts.close(reason.clone());
            QuarantineError::Closed(reason)
        }
    }
}
