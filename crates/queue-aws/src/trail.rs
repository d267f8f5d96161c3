//! The audit trail: blocks that are chained, one behind the other.
//!
//! Whoever writes the head adds what is done to the trail in the same transaction. Ordinary settlements do not write the
//! head, or all destinations would wait for each other; what they did is noted in their shard, in the same write, and put
//! into the chain by the next one who writes the head and that shard, when there is much of it, and before anybody reads
//! the trail. So nothing is done without being noted, and all of one conversation at one destination stays in its order;
//! but up to then it is not in the chain.
//!
//! Old blocks are dropped by upkeep, and where the trail begins then is noted in the same transaction and in the trail.

use audit::{Block, BlockBuilder, Digest, Entry, Link, Story, Subject, What};
use event::Timestamp;
use queue::{AuditPage, QueueError};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::head::{self, Head, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::options::TRANSACTION_BYTES;
use crate::shard::Shard;
use crate::state::Part;
use crate::table::{Committed, Direction, Expected, Item, Write};

/// Blocks that are read in one go.
const BLOCKS_OF_A_QUERY: usize = 64;
/// Blocks that are dropped in one transaction.
const BLOCKS_OF_A_DROP: usize = 40;

/// A block, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    packed: ByteBuf,
    hash: [u8; 32],
}

/// Where the chain ends, as the head has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    number: u64,
    hash: [u8; 32],
}

/// What a transaction adds to the trail.
#[derive(Debug)]
pub(crate) struct Trail {
    end: End,
    building: BlockBuilder,
    blocks: Vec<Block>,
}

impl Trail {
    /// Behind what there is.
    pub(crate) fn behind(head: &Head) -> Self {
        Self { end: head.trail, building: BlockBuilder::default(), blocks: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.building.push(entry);
        if self.building.is_full() {
            self.close();
        }
    }

    /// Takes over what a shard has noted.
    pub(crate) fn take(&mut self, shard: &mut Shard) -> Result<(), QueueError> {
        for entry in shard.notes.take()? {
            self.push(entry);
        }
        Ok(())
    }

    fn close(&mut self) {
        let number = self.end.number + 1;
        let block = self.building.finish(number, &Digest::from_bytes(self.end.hash));
        self.end = End { number, hash: *block.hash.as_bytes() };
        self.blocks.push(block);
    }

    /// The writes that add it, and where the chain ends then.
    pub(crate) fn finish(mut self, head: &mut Head) -> Result<Vec<Write>, QueueError> {
        if !self.building.is_empty() {
            self.close();
        }
        head.trail = self.end;
        self.blocks.iter().map(|block| write(block, Expected::Nothing)).collect()
    }
}

fn write(block: &Block, expected: Expected) -> Result<Write, QueueError> {
    let kept = Kept { packed: ByteBuf::from(block.packed.clone()), hash: *block.hash.as_bytes() };
    Write::put(keys::block(block.number), expected, &kept)
}

/// A block that stands there again, with less in it.
pub(crate) fn rewrite(block: &Block, item: &Item) -> Result<Write, QueueError> {
    write(block, Expected::Stamp(item.stamp))
}

pub(crate) fn block(item: &Item) -> Result<Block, QueueError> {
    let Kept { packed, hash } = item.read()?;
    let number = number_of(item)?;
    Ok(Block { number, packed: packed.into_vec(), hash: Digest::from_bytes(hash) })
}

fn number_of(item: &Item) -> Result<u64, QueueError> {
    let damaged = |_| QueueError::Damaged { detail: format!("item {} has no number", item.key) };
    item.key.sort.parse().map_err(damaged)
}

fn entries(block: &Block) -> Result<Vec<Entry>, QueueError> {
    block.entries().map_err(|error| QueueError::Damaged { detail: error.to_string() })
}

/// What was done to a shard and is not in the chain yet, as it is stored: packed like a block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    count: u32,
    packed: ByteBuf,
}

impl Notes {
    /// So many are put into the chain: a shard is written with each settlement, and should be small.
    const MANY: u32 = 24;

    /// Or so many bytes, which may be few with long answers.
    const MANY_BYTES: usize = 8 << 10;

    pub(crate) fn are_many(&self) -> bool {
        self.count >= Self::MANY || self.bytes() >= Self::MANY_BYTES
    }

    pub(crate) fn bytes(&self) -> usize {
        self.packed.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn add(&mut self, added: impl IntoIterator<Item = Entry>) -> Result<(), QueueError> {
        let mut building = BlockBuilder::default();
        let mut count = 0;
        for entry in self.take()?.into_iter().chain(added) {
            building.push(entry);
            count += 1;
        }
        if count > 0 {
            let packed = ByteBuf::from(building.finish(0, &Digest::default()).packed);
            *self = Self { count, packed };
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<Entry>, QueueError> {
        let Self { count, packed } = std::mem::take(self);
        if count == 0 {
            return Ok(Vec::new());
        }
        entries(&Block { number: 0, packed: packed.into_vec(), hash: Digest::default() })
    }
}

impl Inner {
    /// Adds entries to the trail.
    pub(crate) async fn note(&self, noted: Vec<Entry>) -> Result<(), QueueError> {
        let mut tries = 0;
        loop {
            let (mut head, expected) = self.head().await?;
            let mut trail = Trail::behind(&head);
            noted.iter().cloned().for_each(|entry| trail.push(entry));
            let mut writes = trail.finish(&mut head)?;
            writes.push(head::write(&head, expected)?);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Puts into the chain what the shards have noted.
    pub(crate) async fn chain_notes(&self) -> Result<(), QueueError> {
        let destinations = self.wired.read().destinations.clone();
        for destination in destinations {
            let mut tries = 0;
            while !self.chain_some(&destination).await? {
                contended(tries).await?;
                tries += 1;
            }
        }
        Ok(())
    }

    /// Whether nothing of this destination is left to be put into the chain.
    async fn chain_some(&self, destination: &Destination) -> Result<bool, QueueError> {
        let state = self.state(destination).await?;
        let (mut head, expected) = self.head().await?;
        let mut noted: Vec<_> = state.parts.into_iter().filter(|(_, part)| !part.shard.notes.is_empty()).collect();
        if noted.is_empty() {
            return Ok(true);
        }
        let (all, mut bytes) = (noted.len(), 0);
        noted.retain(|(_, part)| {
            // The first of them in any case. What is noted is there twice: not any more, and as a block.
            let is_first = bytes == 0;
            bytes += part.shard.bytes();
            is_first || bytes <= TRANSACTION_BYTES
        });
        let is_all = noted.len() == all;
        let mut trail = Trail::behind(&head);
        let mut writes = Vec::new();
        for (number, Part { mut shard, expected }) in noted {
            trail.take(&mut shard)?;
            writes.push(Write::put(keys::shard(destination.id, number), expected, &shard)?);
        }
        writes.extend(trail.finish(&mut head)?);
        writes.push(head::write(&head, expected)?);
        Ok(matches!(self.table.commit(writes).await?, Committed::Done(_)) && is_all)
    }

    /// Shows the blocks behind a number in their order, until `each` wants no more.
    pub(crate) async fn each_block(
        &self,
        after: u64,
        mut each: impl FnMut(Item) -> Result<bool, QueueError>,
    ) -> Result<(), QueueError> {
        let mut from = after.saturating_add(1);
        loop {
            let sort = keys::number(from);
            let items = self.table.range(keys::TRAIL, &sort, keys::LAST, Direction::Up, BLOCKS_OF_A_QUERY).await?;
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                from = number_of(&item)? + 1;
                if !each(item)? {
                    return Ok(());
                }
            }
        }
    }

    pub(crate) async fn audit(&self, after: u64, max: usize) -> Result<AuditPage, QueueError> {
        self.chain_notes().await?;
        let mut tries = 0;
        loop {
            let (begins, at) = self.trail_begins().await?;
            let mut blocks = Vec::new();
            if max > 0 {
                let each = |item: Item| {
                    blocks.push(block(&item)?);
                    Ok(blocks.len() < max)
                };
                self.each_block(after, each).await?;
            }
            // As of one moment, or what was dropped in between would look like a loss.
            if self.trail_begins().await?.1 == at {
                return Ok(AuditPage { begins, blocks });
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// The place before the first block that is kept, and what a write of it has to expect.
    async fn trail_begins(&self) -> Result<(Link, Expected), QueueError> {
        match self.table.get(&keys::trail_begins()).await? {
            Some(item) => {
                let End { number, hash } = item.read()?;
                Ok((Link { number, hash: Digest::from_bytes(hash) }, Expected::Stamp(item.stamp)))
            }
            None => Ok((Link::default(), Expected::Nothing)),
        }
    }

    /// Drops the oldest blocks if all in them is older than audit retention, some at a time; whether there may be more.
    pub(crate) async fn drop_old_blocks(&self, now: Timestamp) -> Result<bool, QueueError> {
        if now < *self.trail_due.lock() {
            return Ok(false);
        }
        let cutoff = now.minus(self.options.audit_retention);
        let (begins, expected) = self.trail_begins().await?;
        let (mut head, at_head) = self.head().await?;
        // The last one stays, because the next is chained to it.
        let last = head.trail.number.saturating_sub(1);
        let (first, behind) = (keys::number(begins.number + 1), keys::number(last));
        let items = match last > begins.number {
            true => self.table.range(keys::TRAIL, &first, &behind, Direction::Up, BLOCKS_OF_A_DROP).await?,
            false => Vec::new(),
        };
        let mut dropped = None;
        for (count, item) in (1..).zip(&items) {
            let block = block(item)?;
            // A damaged one is as old as the next that can be read.
            let Ok(entries) = block.entries() else { continue };
            if let Some(newest) = entries.iter().map(|entry| entry.at).max().filter(|newest| *newest >= cutoff) {
                // Until then there is nothing to look for.
                *self.trail_due.lock() = newest.plus(self.options.audit_retention);
                break;
            }
            dropped = Some((count, block));
        }
        let Some((count, last)) = dropped else { return Ok(false) };
        let end = End { number: last.number, hash: *last.hash.as_bytes() };
        let mut trail = Trail::behind(&head);
        trail.push(Entry { at: now, what: What::Dropped { block: last.number, hash: last.hash } });
        let mut writes = trail.finish(&mut head)?;
        writes.push(head::write(&head, at_head)?);
        writes.push(Write::put(keys::trail_begins(), expected, &end)?);
        writes.extend(items.iter().take(count).map(|item| Write::delete(item.key.clone(), Expected::Anything)));
        let committed = self.table.commit(writes).await?;
        Ok(count == BLOCKS_OF_A_DROP || matches!(committed, Committed::Refused(_)))
    }

    pub(crate) async fn trace(&self, subject: Subject) -> Result<Vec<Entry>, QueueError> {
        self.chain_notes().await?;
        let (mut story, mut told) = (Story::of(subject), Vec::new());
        let each = |item: Item| {
            let of_story = block(&item)?.entries_where(|what| story.has(what));
            told.extend(of_story.map_err(|error| QueueError::Damaged { detail: error.to_string() })?);
            Ok(true)
        };
        self.each_block(0, each).await?;
        Ok(told)
    }
}
