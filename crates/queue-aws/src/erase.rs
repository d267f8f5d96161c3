//! Erasing a conversation: the bodies of its events, its dead letters, and what was answered to its deliveries.
//!
//! Each item of the log is one transaction with the deliveries of its events, so nothing without a body is delivered. It
//! is looked for again until nothing is left, because a redrive may have put it at another place meanwhile. A crash
//! leaves some of it; asked again it goes on.
//!
//! What backups of the table hold (point-in-time recovery, up to 35 days) and what other servers have in memory is not
//! reached; the latter is delivered by none of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use audit::{Block, Conversation, Story, Subject, What, Whose, Without};
use queue::{By, DeadLetterId, Erased, Erasure, Mention, QueueError, Seq};

use crate::chunk::Chunk;
use crate::head::{self, contended};
use crate::inner::Inner;
use crate::keys;
use crate::options::PROJECTED_BYTES;
use crate::shard::{Phase, conversation_named};
use crate::table::{Committed, Expected, Item, Write};
use crate::trail::{self, Trail};

/// How often it is looked once more for what was put at another place meanwhile.
const ROUNDS_MAX: usize = 10;
/// Events that are looked at in one go.
const LOOK_EVENTS: usize = 1_000;
/// Blocks that are rewritten in one transaction.
const BLOCKS_OF_A_COMMIT: usize = 40;

/// All that there is of a conversation.
#[derive(Default)]
struct Found {
    /// Places of each item of the log whose bodies are still there.
    places: BTreeMap<u64, BTreeSet<u64>>,
    bytes: u64,
    undelivered: u64,
    /// All of its places.
    mine: HashSet<u64>,
    /// Places of any conversation whose bodies were erased.
    erased: HashSet<u64>,
    letters: Vec<DeadLetterId>,
    blocks: Vec<(Block, Item)>,
    answers: u64,
    answers_kept: u64,
}

impl Inner {
    pub(crate) async fn erase(&self, erasure: Erasure) -> Result<Erased, QueueError> {
        let Erasure { conversation, dry_run, by } = erasure;
        if conversation.is_empty() {
            return Err(QueueError::Invalid("a conversation has a name".to_owned()));
        }
        let mut erased = Erased::default();
        for round in 0..ROUNDS_MAX {
            if !dry_run {
                // Before it is looked for: what a replay has committed up to here is found, and one that has read before
                // is refused.
                self.count_erasure().await?;
            }
            let found = self.look_for(&conversation).await?;
            let nothing = found.places.is_empty() && found.letters.is_empty() && found.blocks.is_empty();
            found.count(&mut erased);
            if dry_run {
                return Ok(erased);
            }
            if nothing && round > 0 {
                break;
            }
            // The last ones first, so that what is delivered meanwhile is still in order; and dead letters behind them,
            // so that nothing which waits for one is delivered in between.
            for (first, places) in found.places.iter().rev() {
                self.erase_bodies(&conversation, *first, places, &by).await?;
            }
            self.discard(found.letters, by.clone()).await?;
            for blocks in found.blocks.chunks(BLOCKS_OF_A_COMMIT) {
                self.erase_answers(&conversation, blocks, &by).await?;
            }
        }
        self.chunks.lock().clear();
        self.wired.read().tell_all();
        Ok(Erased { log_emptied: true, ..erased })
    }

    async fn count_erasure(&self) -> Result<(), QueueError> {
        let mut tries = 0;
        loop {
            let (mut head, expected) = self.head().await?;
            head.erasures += 1;
            if let Committed::Done(_) = self.table.commit(vec![head::write(&head, expected)?]).await? {
                self.erasures.fetch_max(head.erasures, Ordering::AcqRel);
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    async fn look_for(&self, conversation: &str) -> Result<Found, QueueError> {
        let mut found = Found::default();
        self.look_in_log(conversation, &mut found).await?;
        self.look_in_letters(conversation, &mut found).await?;
        self.look_in_trail(conversation, &mut found).await?;
        Ok(found)
    }

    async fn look_in_log(&self, conversation: &str, found: &mut Found) -> Result<(), QueueError> {
        let (head, _) = self.head().await?;
        let destinations = self.wired.read().destinations.clone();
        let mut unsettled = Vec::new();
        for destination in destinations {
            let state = self.state(&destination).await?;
            let place = destination.setting.lock().place;
            unsettled.push((destination.id, state, place));
        }
        let mut from = head.begin;
        while from <= head.last {
            let chunks = self.log(&head, from, LOOK_EVENTS, PROJECTED_BYTES).await?;
            from = chunks.last().map_or(head.last, |chunk| chunk.last()) + 1;
            for chunk in chunks {
                for stored in chunk.all().filter(|stored| stored.seq.0 >= head.begin) {
                    let (place, event) = (stored.seq.0, &stored.event);
                    let mine = event.conversation.as_deref() == Some(conversation);
                    if mine {
                        found.mine.insert(place);
                    }
                    if event.is_erased() {
                        found.erased.insert(place);
                    } else if mine {
                        found.places.entry(chunk.first).or_default().insert(place);
                        found.bytes += event.body.len() as u64;
                        let waits = unsettled.iter().filter(|(id, state, at)| {
                            let is_known = state.shards().any(|(_, shard)| shard.deliveries.contains_key(&place));
                            let is_ahead =
                                place > state.at && stored.again.is_none() && chunk.ahead(place, *id).is_some();
                            let routed = || at.and_then(|at| self.wired.read().route(event, at)).is_some();
                            is_known || is_ahead && routed()
                        });
                        found.undelivered += waits.count() as u64;
                    }
                }
            }
        }
        Ok(())
    }

    /// Its dead letters, and the bodies that became no event and mention it.
    async fn look_in_letters(&self, conversation: &str, found: &mut Found) -> Result<(), QueueError> {
        let (mention, mut others) = (Mention::of(conversation), Vec::new());
        let each = |letter: queue::DeadLetter| {
            match &letter.conversation {
                Some(of) if **of == *conversation => found.letters.push(letter.id),
                None if letter.event.is_none() => others.push(letter.id),
                _ => {}
            }
            true
        };
        self.each_letter(DeadLetterId(0), each).await?;
        for id in others {
            let body = self.letter_bytes(id).await?;
            if body.is_some_and(|body| mention.is_in(&body)) {
                found.letters.push(id);
            }
        }
        Ok(())
    }

    async fn look_in_trail(&self, conversation: &str, found: &mut Found) -> Result<(), QueueError> {
        self.chain_notes().await?;
        let mut story = Story::of(Subject::Conversation(Conversation::of(conversation)));
        let (mine, erased) = (&found.mine, &found.erased);
        let mut whose = |what: &What<u32>| {
            let of_story = story.has(what);
            match what {
                What::Attempted { seq, .. } | What::Died { seq, .. } if of_story || mine.contains(seq) => Whose::Mine,
                What::Attempted { seq, .. } | What::Died { seq, .. } if erased.contains(seq) => Whose::Erased,
                _ => Whose::Others,
            }
        };
        let (blocks, answers, kept_for_others) = (&mut found.blocks, &mut found.answers, &mut found.answers_kept);
        let each = |item: Item| {
            let without = trail::block(&item)?.without(&mut whose);
            let Without { block, erased, kept } = without.map_err(|error| QueueError::Transient {
                detail: format!("{error}; nothing was erased: run `aftercall audit verify`"),
            })?;
            *answers += erased as u64;
            *kept_for_others += kept as u64;
            blocks.extend(block.map(|block| (block, item)));
            Ok(true)
        };
        self.each_block(0, each).await
    }

    /// Erases bodies of one item of the log, and the deliveries that are not under way.
    async fn erase_bodies(
        &self,
        conversation: &str,
        first: u64,
        places: &BTreeSet<u64>,
        by: &By,
    ) -> Result<(), QueueError> {
        let (_, shard) = conversation_named(conversation);
        let mut tries = 0;
        loop {
            let Some(item) = self.table.get(&keys::chunk(first)).await? else { return Ok(()) };
            let mut chunk: Chunk = item.read()?;
            places.iter().for_each(|place| chunk.erase(*place));
            let (mut head, at_head) = self.head().await?;
            let mut trail = Trail::behind(&head);
            let mut writes = vec![Write::put(keys::chunk(first), Expected::Stamp(item.stamp), &chunk)?];
            let destinations = self.wired.read().destinations.clone();
            for destination in destinations {
                let mut part = self.part(destination.id, shard).await?;
                let before = part.shard.deliveries.len();
                let mut touched = false;
                part.shard.deliveries.retain(|place, delivery| {
                    let mine = places.contains(place);
                    delivery.erased |= mine;
                    touched |= mine;
                    !mine || matches!(delivery.phase, Phase::Leased(..))
                });
                if touched || before != part.shard.deliveries.len() {
                    trail.take(&mut part.shard)?;
                    writes.push(Write::put(keys::shard(destination.id, shard), part.expected, &part.shard)?);
                }
            }
            let gone: Vec<Seq> = places.iter().copied().map(Seq).collect();
            trail.push(queue::trail::erased(conversation, &gone, Vec::new(), by));
            writes.extend(trail.finish(&mut head)?);
            writes.push(head::write(&head, at_head)?);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                self.chunks.lock().clear();
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Rewrites blocks of the trail without the answers. Their hashes stay.
    async fn erase_answers(&self, conversation: &str, blocks: &[(Block, Item)], by: &By) -> Result<(), QueueError> {
        let lacks = |(block, _): &(Block, Item)| (block.number, block.erased().unwrap_or_default());
        let mut tries = 0;
        loop {
            let (mut head, at_head) = self.head().await?;
            let mut trail = Trail::behind(&head);
            trail.push(queue::trail::erased(conversation, &[], blocks.iter().map(lacks).collect(), by));
            let mut writes = trail.finish(&mut head)?;
            writes.push(head::write(&head, at_head)?);
            for (block, item) in blocks {
                writes.push(trail::rewrite(block, item)?);
            }
            let (count, first) = (writes.len(), writes.len() - blocks.len());
            match self.table.commit(writes).await? {
                Committed::Done(_) => return Ok(()),
                // Somebody else erases in the same blocks: the next round looks at them anew.
                Committed::Refused(which) if which.iter().any(|at| (first..count).contains(at)) => return Ok(()),
                Committed::Refused(_) => contended(tries).await?,
            }
            tries += 1;
        }
    }
}

impl Found {
    fn count(&self, erased: &mut Erased) {
        erased.events += self.places.values().map(|places| places.len() as u64).sum::<u64>();
        erased.bytes += self.bytes;
        erased.undelivered += self.undelivered;
        erased.dead_letters += self.letters.len() as u64;
        erased.answers += self.answers;
        // What stays is counted again in every round.
        erased.answers_kept = self.answers_kept;
    }
}
