//! Reading the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{QueueError, Seq, Stored};

use crate::chunk::Chunk;
use crate::head::Head;
use crate::inner::Inner;
use crate::keys;
use crate::options::{CACHE_BYTES, PARALLEL};
use crate::table::{Direction, Item};

/// Items of the log that one query asks for.
const CHUNKS_OF_A_QUERY: usize = 16;

/// Items of the log that were read lately. They change only when a conversation is erased.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    by_first: HashMap<u64, Arc<Chunk>>,
    bytes: usize,
}

impl Chunks {
    pub(crate) fn get(&self, first: u64) -> Option<Arc<Chunk>> {
        self.by_first.get(&first).cloned()
    }

    /// Keeps one. When there are too many all others go, which costs a few reads and no bookkeeping.
    pub(crate) fn keep(&mut self, chunk: &Arc<Chunk>) {
        if self.bytes + chunk.bytes() > CACHE_BYTES {
            self.clear();
        }
        if self.by_first.insert(chunk.first, Arc::clone(chunk)).is_none() {
            self.bytes += chunk.bytes();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_first.clear();
        self.bytes = 0;
    }
}

impl Inner {
    /// The items with these first places; one that is not there any more, or cannot be read, is left out.
    pub(crate) async fn chunks(&self, firsts: BTreeSet<u64>) -> Result<HashMap<u64, Arc<Chunk>>, QueueError> {
        let read = |first: u64| async move {
            let kept = self.chunks.lock().get(first);
            if kept.is_some() {
                return Ok(kept);
            }
            match self.chunk(first).await {
                Err(QueueError::Damaged { detail }) => {
                    tracing::error!(detail, "an item of the log cannot be read: what it had becomes dead letters");
                    Ok(None)
                }
                read => read,
            }
        };
        let reading: Vec<_> = firsts.into_iter().map(read).collect();
        let found = stream::iter(reading).buffer_unordered(PARALLEL);
        found.try_filter_map(async |chunk| Ok(chunk.map(|chunk| (chunk.first, chunk)))).try_collect().await
    }

    async fn chunk(&self, first: u64) -> Result<Option<Arc<Chunk>>, QueueError> {
        let item = self.table.get(&keys::chunk(first)).await?;
        item.map(|item| self.keep(&item)).transpose()
    }

    /// An item of the log that was read with others: what is in an object is fetched only now, as it is wanted. `None` if
    /// retention has dropped it meanwhile.
    async fn kept(&self, item: Item) -> Result<Option<Arc<Chunk>>, QueueError> {
        self.table.fetch(item).await?.map(|item| self.keep(&item)).transpose()
    }

    fn keep(&self, item: &Item) -> Result<Arc<Chunk>, QueueError> {
        let chunk = Arc::new(item.read::<Chunk>()?);
        self.chunks.lock().keep(&chunk);
        Ok(chunk)
    }

    /// The items of the log from the one with this place on, up to the head's last place; at least one if there is any,
    /// and no more once they have so many events or bytes.
    pub(crate) async fn log(
        &self,
        head: &Head,
        from: u64,
        events: usize,
        bytes: usize,
    ) -> Result<Vec<Arc<Chunk>>, QueueError> {
        let mut place = from.max(head.begin);
        let (mut found, mut sums) = (Vec::new(), (0, 0));
        while place <= head.last && sums.0 < events && sums.1 < bytes {
            let items = self.items_of_log(place, found.is_empty()).await?;
            let before = place;
            for item in items {
                if sums.0 >= events || sums.1 >= bytes {
                    break;
                }
                let Some(chunk) = self.kept(item).await? else { break };
                if chunk.first <= place && place <= chunk.last() {
                    sums = (sums.0 + chunk.events.len(), sums.1 + chunk.bytes());
                    place = chunk.last() + 1;
                    found.push(chunk);
                }
            }
            if place == before {
                place = self.behind_retention(place).await?;
            }
        }
        Ok(found)
    }

    /// The item that has a place, which may begin before it; or those that begin there and behind it.
    async fn items_of_log(&self, place: u64, inside: bool) -> Result<Vec<Item>, QueueError> {
        let (partition, begin, end) = keys::bucket(place);
        let (begin, place, end) = (keys::number(begin), keys::number(place), keys::number(end));
        if inside {
            self.table.range(&partition, &begin, &place, Direction::Down, 1).await
        } else {
            self.table.range(&partition, &place, &end, Direction::Up, CHUNKS_OF_A_QUERY).await
        }
    }

    /// Where the log begins now, if it has lost a place to retention while it was read.
    async fn behind_retention(&self, place: u64) -> Result<u64, QueueError> {
        let (now, _) = self.head().await?;
        if now.begin > place {
            return Ok(now.begin);
        }
        Err(QueueError::Damaged {
            detail: format!(
                "the log has no event at place {place}, and it has places up to {}; restore the table to a time before \
                 (point-in-time recovery)",
                now.last
            ),
        })
    }

    /// What stands at a place, unless it was dropped.
    pub(crate) async fn at(&self, place: Seq) -> Result<Option<Stored>, QueueError> {
        let (head, _) = self.head().await?;
        if place.0 < head.begin || place.0 > head.last {
            return Ok(None);
        }
        let found = self.log(&head, place.0, 1, 1).await?;
        Ok(found.first().and_then(|chunk| chunk.at(place.0)))
    }
}
