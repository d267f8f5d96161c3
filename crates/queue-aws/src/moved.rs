//! Taking over what another queue has, and telling what is left of what is here.
//!
//! Some events are taken over in one transaction: the head, the events, their dead letters, and the fate by which their claims
//! count ([`crate::claim`]). An item of the log says of each to which destinations it is left ([`crate::chunk::Mark`]), so a
//! destination looks on in the log as ever. A crash before the commit leaves claims without a fate: whoever moves is alone,
//! so they are void at once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use audit::Digest;
use event::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::{
    Again, DeadLetter, DeadLetterId, Left, LeftPage, Moved, MovedAgain, QueueError, Seq, Stored, TakenOver, Why,
    body_hash,
};
use rand::RngExt;

use crate::chunk::{Chunk, Kept, KeptLeft};
use crate::claim::{Claim, Claimed, Fate};
use crate::head::{self, Head, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::letter::{self, Letter};
use crate::options::{BYTES_OF_A_COMMIT, PARALLEL, RETRY_AFTER};
use crate::shard::{Dead, Delivery, conversation_named, shard_of};
use crate::state::{Part, State};
use crate::table::{Committed, Expected, Stamp, Write};
use crate::trail::Trail;
use crate::unmatched;

/// Events of one transaction: with their blocks of the trail and items of the log, which may be large, fewer than 100 items.
const EVENTS_OF_A_COMMIT: usize = 200;
/// Dead letters of one transaction: three items each, and a shard.
const LETTERS_OF_A_COMMIT: usize = 15;

/// Shards that a transaction changes.
type Parts = BTreeMap<(queue::ConsumerId, u8), Part>;

/// A transaction on its way.
struct Draft {
    head: Head,
    trail: Trail,
    parts: Parts,
    kept: Vec<Kept>,
    letters: Vec<(u64, Letter)>,
    /// What stands in the log again, to be delivered.
    again: Vec<(u64, Delivery, Arc<Destination>)>,
}

impl Inner {
    pub(crate) async fn left(&self, after: Seq, events: usize, bytes: usize) -> Result<LeftPage, QueueError> {
        let (page, marks) = self.read_marked(after, events, bytes).await?;
        let destinations: Vec<_> =
            self.wired.read().destinations.iter().filter(|of| of.is_configured()).map(Arc::clone).collect();
        let mut left = vec![Vec::new(); page.events.len()];
        for destination in destinations {
            let state = self.state(&destination).await?;
            for ((stored, mark), left) in page.events.iter().zip(&marks).zip(&mut left) {
                left.extend(self.left_of(&destination, &state, stored, mark.as_deref()));
            }
        }
        Ok(LeftPage { page, left })
    }

    fn left_of(
        &self,
        destination: &Destination,
        state: &State,
        stored: &Stored,
        mark: Option<&[KeptLeft]>,
    ) -> Option<Left> {
        let place = destination.setting.lock().place?;
        if stored.event.is_erased() || self.wired.read().route(&stored.event, place).is_none() {
            return None;
        }
        let name = Arc::clone(&destination.name);
        let number = shard_of(stored.event.conversation.as_deref(), stored.first_seq().0);
        let known = state.parts.get(&number).and_then(|part| part.shard.deliveries.get(&stored.seq.0));
        if let Some(delivery) = known {
            return Some(Left { destination: name, attempts: delivery.attempts(), due: delivery.due() });
        }
        if stored.seq.0 <= state.at || stored.again.is_some() {
            return None;
        }
        let Some(mark) = mark else {
            return Some(Left { destination: name, attempts: queue::Attempts::default(), due: Timestamp::default() });
        };
        let left = mark.iter().find(|left| left.consumer == destination.id.0)?;
        Some(Left { destination: name, attempts: left.attempts(), due: left.due })
    }

    pub(crate) async fn take_over(&self, moved: Vec<Moved>) -> Result<TakenOver, QueueError> {
        let is_known = |name: &str| self.wired.read().named(name).is_some_and(|of| of.is_configured());
        let (mut count, mut bytes, mut letters) = (0, 0, 0);
        let mut since = HashMap::new();
        for moved in moved.iter().take(EVENTS_OF_A_COMMIT) {
            self.takes(moved.event.body.len())?;
            let refused = moved.check(is_known);
            (bytes, letters) = (bytes + moved.bytes(), letters + moved.dead.len());
            // One whose id was free again later: each claims it, so they have a transaction each.
            let is_other = *since.entry(moved.known_by).or_insert(moved.known_since) != moved.known_since;
            let is_full = bytes > BYTES_OF_A_COMMIT || letters > LETTERS_OF_A_COMMIT || is_other || refused.is_err();
            if is_full && count > 0 {
                break;
            }
            refused?;
            count += 1;
        }
        let turn = self.publishing.lock().await;
        let taken = loop {
            match self.take_over_some(&moved[..count]).await {
                // Too much together, which is not known before.
                Err(QueueError::Invalid(_)) if count > 1 => count /= 2,
                taken => break taken?,
            }
        };
        drop(turn);
        self.wired.read().tell_all();
        Ok(taken)
    }

    async fn take_over_some(&self, moved: &[Moved]) -> Result<TakenOver, QueueError> {
        let by: Stamp = rand::rng().random();
        let now = moved.iter().map(|moved| moved.known_since).max().unwrap_or_default();
        match self.take_over_by(moved, by, now).await {
            Ok(taken) => Ok(taken),
            // Whether it was committed nobody knows before its fate is there.
            Err(error) => match self.prevent(&by, now).await {
                Ok(Fate::Committed { first, count }) => {
                    let last = Seq((first + count).saturating_sub(1));
                    Ok(TakenOver { looked_at: moved.len(), new: count, last })
                }
                _ => Err(error),
            },
        }
    }

    async fn take_over_by(&self, moved: &[Moved], by: Stamp, now: Timestamp) -> Result<TakenOver, QueueError> {
        let claiming = moved.iter().map(|moved| self.claim_alone(moved, by)).collect::<Vec<_>>();
        let is_new: Vec<bool> = stream::iter(claiming).buffered(PARALLEL).try_collect().await?;
        let mut names = HashSet::new();
        let new: Vec<_> = moved
            .iter()
            .zip(is_new)
            .filter(|(moved, is_new)| *is_new && names.insert(moved.known_by))
            .map(|(moved, _)| moved)
            .collect();
        let mut tries = 0;
        loop {
            let (before, expected) = self.head().await?;
            let count = new.len() as u64;
            if count == 0 {
                return Ok(TakenOver { looked_at: moved.len(), new: 0, last: Seq(before.last) });
            }
            let first = before.last + 1;
            let mut writes = vec![self.fate_write(&by, Fate::Committed { first, count }, now)?];
            writes.extend(self.draft_moved(&new, before, expected).await?);
            self.fits(&writes)?;
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(TakenOver { looked_at: moved.len(), new: count, last: Seq(first + count - 1) });
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Whether a name is new. A claim of whoever has no fate is void: nobody else is at it.
    async fn claim_alone(&self, moved: &Moved, by: Stamp) -> Result<bool, QueueError> {
        let claim = Claim { received: moved.known_since, body_hash: body_hash(&moved.event.body), by };
        Ok(self.claim_as(moved.known_by, &claim, true).await? == Claimed::Ours)
    }

    async fn draft_moved(&self, new: &[&Moved], before: Head, expected: Expected) -> Result<Vec<Write>, QueueError> {
        let first = before.last + 1;
        let trail = Trail::behind(&before);
        let mut draft = Draft {
            head: before,
            trail,
            parts: Parts::new(),
            kept: Vec::new(),
            letters: Vec::new(),
            again: Vec::new(),
        };
        for moved in new {
            self.draft_one(moved, &mut draft).await?;
        }
        let Draft { mut head, trail, mut parts, kept, letters, again } = draft;
        let mut writes = Vec::new();
        for chunk in Chunk::of(first, kept) {
            for (place, delivery, destination) in &again {
                if (chunk.first..=chunk.last()).contains(place) {
                    let at = chunk.at(*place);
                    let number = at.map_or(0, |at| shard_of(at.event.conversation.as_deref(), at.first_seq().0));
                    let part = self.part_in(&mut parts, destination, number).await?;
                    if !part.shard.has_room() {
                        return Err(QueueError::Busy { retry_after: RETRY_AFTER });
                    }
                    let mut delivery = delivery.clone();
                    delivery.chunk = chunk.first;
                    part.shard.deliveries.insert(*place, delivery);
                }
            }
            writes.push(Write::put(keys::chunk(chunk.first), Expected::Nothing, &chunk)?);
            writes.extend(unmatched::write(&chunk)?);
        }
        for ((consumer, number), part) in &parts {
            writes.push(Write::put(keys::shard(*consumer, *number), part.expected, &part.shard)?);
        }
        for (id, letter) in &letters {
            writes.extend(letter::creation(*id, letter)?);
        }
        writes.extend(trail.finish(&mut head)?);
        writes.push(head::write(&head, expected)?);
        Ok(writes)
    }

    async fn draft_one(&self, moved: &Moved, draft: &mut Draft) -> Result<(), QueueError> {
        draft.head.last += 1;
        let place = draft.head.last;
        let event = &moved.event;
        let (names, routed) = self.destinations_of(event);
        let entry = queue::trail::received(Seq(place), event, Digest::of(&event.body), &moved.proof, names.clone());
        draft.trail.push(entry);
        match moved.again.map(|again| again.why) {
            Some(Why::Redriven) => draft.head.redriven += 1,
            Some(Why::Replayed) => draft.head.replayed += 1,
            None if names.is_empty() => draft.head.unmatched += 1,
            None => {}
        }
        let only = moved.only().and_then(|name| self.wired.read().named(name));
        let again = moved.again.zip(only.as_ref()).map(|(MovedAgain { at, why, edited, first }, only)| Again {
            consumer: only.id,
            at,
            why,
            edited,
            first: first.unwrap_or(Seq(place)),
        });
        let stored = Stored { again, ..Stored::new(Seq(place), event.clone()) };
        let left = moved.left.iter().filter_map(|left| {
            let destination = routed.iter().find(|destination| destination.name == left.destination)?;
            Some((left, destination))
        });
        if again.is_some() {
            draft.kept.push(Kept::new(event, again, true));
            draft.again.extend(left.map(|(left, destination)| {
                let delivery = Delivery::new(&stored, place).tried_before(left.attempts, left.due);
                (place, delivery, Arc::clone(destination))
            }));
        } else {
            let left: Vec<_> = left
                .map(|(left, destination)| {
                    draft.head.count_routed(destination.id);
                    KeptLeft::new(destination.id, left)
                })
                .collect();
            draft.kept.push(Kept::moved(event, left, !names.is_empty()));
        }
        for letter in &moved.dead {
            self.draft_dead(&stored, letter, draft).await?;
        }
        Ok(())
    }

    async fn draft_dead(&self, stored: &Stored, letter: &DeadLetter, draft: &mut Draft) -> Result<(), QueueError> {
        let Some(destination) = letter.destination.as_ref().and_then(|name| self.wired.read().named(name)) else {
            return Ok(());
        };
        draft.head.last_letter += 1;
        draft.head.letters += 1;
        let id = draft.head.last_letter;
        let first = stored.first_seq().0;
        let number = shard_of(stored.event.conversation.as_deref(), first);
        draft.trail.push(queue::trail::died(
            DeadLetterId(id),
            stored.seq,
            &destination.name,
            &letter.failure,
            letter.died,
        ));
        if let Some(edit) = &letter.edit {
            draft.trail.push(queue::trail::edited(DeadLetterId(id), edit.body.as_deref(), &edit.by));
        }
        let conversation = stored.event.conversation.as_deref().map(|name| conversation_named(name).0);
        let part = self.part_in(&mut draft.parts, &destination, number).await?;
        part.shard.dead.push(Dead { letter: id, conversation, first });
        draft.letters.push((id, Letter::moved(&destination, stored, letter, number)?));
        Ok(())
    }

    /// The destinations that routes lead an event to now, and their names.
    fn destinations_of(&self, event: &event::Event) -> (Vec<Arc<str>>, Vec<Arc<Destination>>) {
        let wired = self.wired.read();
        let routes = wired.routes(event);
        let placed: Vec<_> = routes.iter().filter_map(|target| wired.placed(target.consumer)).cloned().collect();
        (placed.iter().map(|destination| Arc::clone(&destination.name)).collect(), placed)
    }

    async fn part_in<'a>(
        &self,
        parts: &'a mut Parts,
        destination: &Destination,
        number: u8,
    ) -> Result<&'a mut Part, QueueError> {
        match parts.entry((destination.id, number)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(self.part(destination.id, number).await?)),
        }
    }
}
