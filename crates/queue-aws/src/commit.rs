//! Committing publications: those that wait for the turn share one transaction, which takes as long as that of one.
//!
//! Each publication has its own fate in it. One that was prevented meanwhile is left out, and the others are committed.
//! A transaction has the head, the fates, the events, and what the trail says of them.
//!
//! When the answer is lost, each publication is prevented, which says whether it was committed.

use std::sync::Arc;

use queue::{Publication, Published, QueueError};
use tokio::sync::oneshot;

use crate::chunk::{Chunk, Kept};
use crate::claim::Fate;
use crate::head::{self, Head, contended};
use crate::inner::Inner;
use crate::keys;
use crate::options::{
    BODY_BYTES_MAX, BYTES_OF_A_COMMIT, OBJECT_BYTES_MAX, PUBLICATIONS_OF_A_COMMIT, TRANSACTION_BYTES, TRANSACTION_ITEMS,
};
use crate::publish::{New, Plan};
use crate::table::{Committed, Expected, Stamp, Write};
use crate::trail::Trail;
use crate::unmatched;

/// What came of a commit for one publication; `None` if it was prevented.
type Done = Result<Option<Vec<Published>>, QueueError>;

/// A publication whose identities are claimed.
pub(crate) struct Ready {
    pub(crate) publication: Arc<Publication>,
    pub(crate) plan: Plan,
    pub(crate) by: Stamp,
    pub(crate) new: Vec<New>,
    pub(crate) tell: oneshot::Sender<Done>,
}

/// A transaction of some publications.
struct Draft {
    writes: Vec<Write>,
    chunks: Vec<Chunk>,
    /// The place of the first new event of each publication.
    firsts: Vec<u64>,
    /// Which publication has its fate at which write.
    fates: Vec<(usize, usize)>,
}

impl Inner {
    /// Commits some of those that are ready, and tells them.
    pub(crate) async fn commit_ready(&self) {
        let mut groups = vec![self.next_group()];
        while let Some(mut group) = groups.pop() {
            if let Err(error) = self.commit_group(&mut group).await {
                let half = group.len() / 2;
                match error {
                    // Too much together, which is rare: what is said of them is not known before.
                    QueueError::Invalid(_) if half > 0 => {
                        groups.push(group.split_off(half));
                        groups.push(group);
                    }
                    error => self.fail(group, &error).await,
                }
            }
        }
    }

    fn next_group(&self) -> Vec<Ready> {
        let mut ready = self.ready.lock();
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = ready.front() {
            bytes += next.new.iter().map(|new| new.event.body.len()).sum::<usize>();
            let is_full = group.len() >= PUBLICATIONS_OF_A_COMMIT || bytes > BYTES_OF_A_COMMIT;
            if is_full && !group.is_empty() {
                break;
            }
            group.extend(ready.pop_front());
        }
        group
    }

    /// Commits publications together. Those that are told are taken out of the group; an error is that of the others.
    async fn commit_group(&self, group: &mut Vec<Ready>) -> Result<(), QueueError> {
        let mut tries = 0;
        while !group.is_empty() {
            let (before, expected) = self.head().await?;
            let Draft { writes, chunks, firsts, fates } = self.draft(group, before, expected)?;
            if writes.is_empty() {
                group.drain(..).for_each(|ready| ready.done(0));
                break;
            }
            self.fits(&writes)?;
            match self.table.commit(writes).await? {
                Committed::Done(_) => {
                    let mut kept = self.chunks.lock();
                    chunks.into_iter().for_each(|chunk| kept.keep(&Arc::new(chunk)));
                    group.drain(..).zip(firsts).for_each(|(ready, first)| ready.done(first));
                }
                Committed::Refused(which) => {
                    let prevented = fates.iter().filter(|(write, _)| which.contains(write)).map(|(_, of)| *of);
                    let prevented: Vec<usize> = prevented.collect();
                    // The last one first, so that the places of the others stay.
                    for at in prevented.iter().rev() {
                        self.tell_fate(group.remove(*at)).await;
                    }
                    if prevented.is_empty() {
                        contended(tries).await?;
                        tries += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn draft(&self, group: &[Ready], before: Head, expected: Expected) -> Result<Draft, QueueError> {
        let (mut head, mut trail) = (before.clone(), Trail::behind(&before));
        let (mut firsts, mut kept, mut draft) = (Vec::new(), Vec::new(), Vec::new());
        let mut fates = Vec::new();
        for (of, Ready { publication, plan, by, new, .. }) in group.iter().enumerate() {
            let (first, count) = (head.last + 1, new.len() as u64);
            let unmatched = new.iter().filter(|new| new.destinations.is_empty()).count() as u64;
            head = plan.counted(head);
            head.last += count;
            head.unmatched += unmatched;
            new.iter().flat_map(|new| &new.ids).for_each(|id| head.count_routed(*id));
            plan.tell(publication, new, first, &mut trail);
            kept.extend(new.iter().map(|new| Kept::new(&new.event, None, !new.destinations.is_empty())));
            if count > 0 {
                fates.push((draft.len(), of));
                draft.push(self.fate_write(by, Fate::Committed { first, count }, publication.received)?);
            }
            firsts.push(first);
        }
        let chunks = Chunk::of(before.last + 1, kept);
        for chunk in &chunks {
            draft.push(Write::put(keys::chunk(chunk.first), Expected::Nothing, chunk)?);
            draft.extend(unmatched::write(chunk)?);
        }
        draft.extend(trail.finish(&mut head)?);
        if head != before {
            draft.push(head::write(&head, expected)?);
        }
        Ok(Draft { writes: draft, chunks, firsts, fates })
    }

    /// Whether this is one transaction for DynamoDB.
    pub(crate) fn fits(&self, writes: &[Write]) -> Result<(), QueueError> {
        let bytes = self.table.bytes_in_items(writes);
        if writes.len() > TRANSACTION_ITEMS || bytes > TRANSACTION_BYTES {
            return Err(QueueError::Invalid(format!(
                "this takes {bytes} bytes in {} items, and a transaction of DynamoDB takes {TRANSACTION_BYTES} in \
                 {TRANSACTION_ITEMS}: send it in several pieces, or name a bucket in [queue.bodies] for what is large",
                writes.len()
            )));
        }
        Ok(())
    }

    /// The most bytes that one body may have.
    pub(crate) fn body_bytes_max(&self) -> usize {
        if self.options.bodies.is_some() { OBJECT_BYTES_MAX } else { BODY_BYTES_MAX }
    }

    /// Refuses a body that is too large.
    pub(crate) fn takes(&self, bytes: usize) -> Result<(), QueueError> {
        let most = self.body_bytes_max();
        if bytes <= most {
            return Ok(());
        }
        let cure =
            if self.options.bodies.is_some() { "" } else { "; name a bucket in [queue.bodies] for what is larger" };
        Err(QueueError::Invalid(format!("a body of {bytes} bytes is larger than the {most} that are taken{cure}")))
    }

    /// A publication has a fate already. It may have been committed by an earlier transaction that was taken for refused.
    async fn tell_fate(&self, ready: Ready) {
        match self.prevent(&ready.by, ready.publication.received).await {
            Ok(Fate::Committed { first, .. }) => ready.done(first),
            Ok(Fate::Prevented) => ready.tell(Ok(None)),
            Err(error) => ready.tell(Err(error)),
        }
    }

    /// Nobody knows whether publications were committed until their fates are there.
    async fn fail(&self, group: Vec<Ready>, error: &QueueError) {
        for ready in group {
            match self.prevent(&ready.by, ready.publication.received).await {
                Ok(Fate::Committed { first, .. }) => ready.done(first),
                _ => ready.tell(Err(error.clone())),
            }
        }
    }
}

impl Ready {
    fn done(self, first: u64) {
        let Self { plan, tell, .. } = self;
        // Nobody waits for it any more if it cannot be told.
        let _ = tell.send(Ok(Some(plan.answer(first))));
    }

    fn tell(self, done: Done) {
        let _ = self.tell.send(done);
    }
}
