//! What no route led anywhere when it was accepted: beside each item of the log that has such events there is one that
//! lists them, so the log need not be read for it.

use std::sync::Arc;

use event::{EventId, Timestamp};
use queue::{
    FoundUnmatched, QueueError, Seq, Unmatched, UnmatchedGrouping, UnmatchedGroups, UnmatchedListing, UnmatchedPage,
    UnmatchedQuery,
};
use serde::{Deserialize, Serialize};

use crate::chunk::Chunk;
use crate::inner::Inner;
use crate::keys;
use crate::table::{Direction, Expected, Write};

/// Lists that are read in one go.
const LISTS_OF_A_QUERY: usize = 64;

/// An event of such a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    event: EventId,
    place: u64,
    received: Timestamp,
    source: Arc<str>,
    topic: Arc<str>,
    conversation: Option<Arc<str>>,
    conflict_of: Option<EventId>,
    body_bytes: u64,
}

/// The write that lists what of a new item of the log matched no route, if there is any.
pub(crate) fn write(chunk: &Chunk) -> Result<Option<Write>, QueueError> {
    let unmatched = chunk.all().zip(&chunk.events).filter(|(_, kept)| !kept.matched).map(|(stored, _)| Kept {
        event: stored.event.id,
        place: stored.seq.0,
        received: stored.event.received,
        source: stored.event.source,
        topic: stored.event.topic,
        conversation: stored.event.conversation,
        conflict_of: stored.event.conflict_of,
        body_bytes: stored.event.body.len() as u64,
    });
    let list: Vec<Kept> = unmatched.collect();
    let write = || Write::put(keys::unmatched(chunk.first), Expected::Nothing, &list);
    if list.is_empty() { Ok(None) } else { write().map(Some) }
}

impl Inner {
    pub(crate) async fn unmatched(&self, query: UnmatchedQuery) -> Result<UnmatchedPage, QueueError> {
        let mut listing = UnmatchedListing::new(&query);
        self.each_unmatched(query.before, |found| listing.add(found)).await?;
        Ok(listing.finish())
    }

    pub(crate) async fn unmatched_groups(&self, query: UnmatchedQuery) -> Result<UnmatchedGroups, QueueError> {
        let mut grouping = UnmatchedGrouping::new(&query);
        self.each_unmatched(query.before, |found| grouping.add(found)).await?;
        Ok(grouping.finish())
    }

    /// Shows them, the newest first, until `each` wants no more.
    async fn each_unmatched(
        &self,
        before: Option<Seq>,
        mut each: impl FnMut(FoundUnmatched) -> bool,
    ) -> Result<(), QueueError> {
        let (head, _) = self.head().await?;
        let mut before = before.map_or(head.last + 1, |place| place.0.min(head.last + 1));
        while before > head.begin {
            let to = keys::number(before - 1);
            let lists =
                self.table.range(keys::UNMATCHED, &keys::number(0), &to, Direction::Down, LISTS_OF_A_QUERY).await?;
            if lists.is_empty() {
                break;
            }
            for item in lists {
                let list: Vec<Kept> = item.read()?;
                let wanted = |kept: &Kept| (head.begin..before).contains(&kept.place);
                for kept in list.into_iter().rev().filter(wanted) {
                    if !each(Ok(kept.unmatched())) {
                        return Ok(());
                    }
                }
                before = item.key.sort.parse().unwrap_or(0);
            }
        }
        Ok(())
    }
}

impl Kept {
    fn unmatched(self) -> Unmatched {
        Unmatched {
            event: self.event,
            seq: Seq(self.place),
            received: self.received,
            source: self.source,
            topic: self.topic,
            conversation: self.conversation,
            conflict_of: self.conflict_of,
            body_bytes: self.body_bytes,
        }
    }
}
