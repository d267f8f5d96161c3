//! Reading the log, and replaying events of it or of an archive: a piece is one transaction with how far it has come.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use queue::{Again, LogPage, QueueError, Replay, ReplayPiece, Seq, Stored, Why};
use serde::{Deserialize, Serialize};

use crate::chunk::{Chunk, Kept, KeptLeft};
use crate::head::{self, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::options::RETRY_AFTER;
use crate::shard::{Delivery, shard_of};
use crate::state::Part;
use crate::table::{Committed, Direction, Expected, Write};
use crate::trail::Trail;

/// Behind every name of a replay.
const BEHIND_ALL: &str = "\u{10ffff}";

/// A replay, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptReplay {
    id: String,
    selection: String,
    destination: String,
    position: String,
    queued: u64,
    not_routed: u64,
    done: bool,
    began: Timestamp,
    changed: Timestamp,
}

impl Inner {
    pub(crate) async fn read_log(&self, after: Seq, events: usize, bytes: usize) -> Result<LogPage, QueueError> {
        Ok(self.read_marked(after, events, bytes).await?.0)
    }

    /// The same, and of each event for whom it was left if it was moved here.
    pub(crate) async fn read_marked(
        &self,
        after: Seq,
        events: usize,
        bytes: usize,
    ) -> Result<(LogPage, Vec<Option<Vec<KeptLeft>>>), QueueError> {
        let mut marks = Vec::new();
        let (head, _) = self.head().await?;
        let mut page = LogPage { through: after, ..LogPage::default() };
        let mut read = 0;
        // One more than is asked for, to see whether there is one.
        let chunks = self.log(&head, after.0.saturating_add(1), events.saturating_add(1), bytes).await?;
        let mut last = after.0.max(head.begin.saturating_sub(1));
        for (chunk, stored) in chunks.iter().flat_map(|chunk| chunk.all().map(move |stored| (chunk, stored))) {
            last = stored.seq.0;
            if stored.seq.0 < head.begin || stored.seq <= after {
                continue;
            }
            if page.events.len() >= events || read >= bytes {
                return Ok((page, marks));
            }
            read += stored.event.body.len();
            page.through = stored.seq;
            marks.push(chunk.left(stored.seq.0).map(<[KeptLeft]>::to_vec));
            page.events.push(stored);
        }
        if last >= head.last {
            page.through = page.through.max(Seq(head.last));
            page.end = true;
        }
        Ok((page, marks))
    }

    pub(crate) async fn replay(&self, piece: ReplayPiece, now: Timestamp) -> Result<Replay, QueueError> {
        let mut tries = 0;
        loop {
            if let Some(replay) = self.replay_once(&piece, now).await? {
                if replay.done {
                    self.replays_done.store(true, Ordering::SeqCst);
                }
                self.wired.read().tell_all();
                return Ok(replay);
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// `None` if somebody else has written in between.
    async fn replay_once(&self, piece: &ReplayPiece, now: Timestamp) -> Result<Option<Replay>, QueueError> {
        let item = self.table.get(&keys::replay(&piece.id)).await?;
        let expected = item.as_ref().map_or(Expected::Nothing, |item| Expected::Stamp(item.stamp));
        let known = item.map(|item| item.read::<KeptReplay>()).transpose()?.map(Replay::from);
        let (mut head, at_head) = self.head().await?;
        let mut replay = piece.begin(known.as_ref(), head.erasures, now)?;
        let destination = self.wired.read().named(&piece.destination);
        let placed = destination.and_then(|destination| {
            let place = destination.setting.lock().place;
            place.map(|place| (destination, place))
        });
        let (destination, place) = placed.ok_or_else(|| ReplayPiece::no_destination(&piece.destination))?;
        let (mut trail, mut again) = (Trail::behind(&head), Vec::new());
        let name = Arc::from(piece.id.as_str());
        for event in &piece.events {
            if self.wired.read().route(event, place).is_none() {
                replay.not_routed += 1;
                continue;
            }
            head.last += 1;
            head.replayed += 1;
            replay.queued += 1;
            let first = Seq(head.last);
            trail.push(queue::trail::replayed(first, event, &piece.destination, &name, now));
            let mark = Again { consumer: destination.id, at: now, why: Why::Replayed, edited: false, first };
            again.push(Stored { again: Some(mark), ..Stored::new(first, event.clone()) });
        }
        if piece.put_aside > 0 {
            // No more than there are: what is put aside later is not passed yet.
            let aside: u64 = self.state(&destination).await?.shards().map(|(_, shard)| shard.put_aside).sum();
            let left = aside.saturating_sub(head.passed(destination.id));
            head.count_passed(destination.id, piece.put_aside.min(left));
        }
        let mut writes = self.appended(&destination, &again).await?;
        writes.extend(trail.finish(&mut head)?);
        writes.push(head::write(&head, at_head)?);
        writes.push(Write::put(keys::replay(&piece.id), expected, &KeptReplay::from(replay.clone()))?);
        self.fits(&writes)?;
        Ok(matches!(self.table.commit(writes).await?, Committed::Done(_)).then_some(replay))
    }

    /// The writes that put events of this destination into the log and into its shards.
    async fn appended(&self, destination: &Destination, again: &[Stored]) -> Result<Vec<Write>, QueueError> {
        let kept = again.iter().map(|stored| Kept::new(&stored.event, stored.again, true)).collect();
        let first = again.first().map_or(0, |stored| stored.seq.0);
        let (mut writes, mut parts) = (Vec::new(), BTreeMap::<u8, Part>::new());
        for chunk in Chunk::of(first, kept) {
            for stored in chunk.all() {
                let number = shard_of(stored.event.conversation.as_deref(), stored.first_seq().0);
                let part = match parts.entry(number) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(self.part(destination.id, number).await?),
                };
                if !part.shard.has_room() {
                    return Err(QueueError::Busy { retry_after: RETRY_AFTER });
                }
                part.shard.deliveries.insert(stored.seq.0, Delivery::new(&stored, chunk.first));
            }
            writes.push(Write::put(keys::chunk(chunk.first), Expected::Nothing, &chunk)?);
        }
        for (number, part) in parts {
            writes.push(Write::put(keys::shard(destination.id, number), part.expected, &part.shard)?);
        }
        Ok(writes)
    }

    /// Forgets the oldest of the replays that are finished, beyond those that are remembered.
    pub(crate) async fn forget_replays(&self) -> Result<(), QueueError> {
        if !self.replays_done.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let items = self.table.range(keys::REPLAYS, " ", BEHIND_ALL, Direction::Up, usize::MAX).await?;
        let mut done = Vec::new();
        for item in items {
            let kept: KeptReplay = item.read()?;
            if kept.done {
                done.push((std::cmp::Reverse(kept.changed), item));
            }
        }
        done.sort_by(|(one, item), (other, with)| (one, &item.key.sort).cmp(&(other, &with.key.sort)));
        for (_, item) in done.into_iter().skip(ReplayPiece::REMEMBERED) {
            // Whoever has written it since has begun it anew.
            self.table.commit(vec![Write::delete(item.key, Expected::Stamp(item.stamp))]).await?;
        }
        Ok(())
    }

    /// What is known of replays, the newest first.
    pub(crate) async fn replays(&self, id: Option<String>) -> Result<Vec<Replay>, QueueError> {
        let (from, to) = id.as_deref().map_or((" ", BEHIND_ALL), |id| (id, id));
        let items = self.table.range(keys::REPLAYS, from, to, Direction::Up, usize::MAX).await?;
        let kept = items.iter().map(|item| item.read::<KeptReplay>().map(Replay::from));
        let mut replays = kept.collect::<Result<Vec<_>, _>>()?;
        replays.sort_by_key(|replay| std::cmp::Reverse(replay.began));
        Ok(replays)
    }
}

impl From<KeptReplay> for Replay {
    fn from(kept: KeptReplay) -> Self {
        let KeptReplay { id, selection, destination, position, queued, not_routed, done, began, changed } = kept;
        Self { id, selection, destination, position, queued, not_routed, done, began, changed }
    }
}

impl From<Replay> for KeptReplay {
    fn from(replay: Replay) -> Self {
        let Replay { id, selection, destination, position, queued, not_routed, done, began, changed } = replay;
        Self { id, selection, destination, position, queued, not_routed, done, began, changed }
    }
}
