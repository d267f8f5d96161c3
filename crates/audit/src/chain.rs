//! Walking along a chain of blocks: whether each follows the one before.

use std::collections::BTreeMap;

use crate::{Block, Digest, Unreadable, What};

/// A place in the chain: everything up to it stands fast when its hash is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// The number of a block; 0 is the place before the first one.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
}

/// Checks blocks, one after the other.
#[derive(Debug)]
pub struct Chain {
    begun: Link,
    at: Link,
    blocks: u64,
    entries: u64,
    vouched: bool,
    /// Blocks with texts that were erased, how many, and how many by the newest entry that says so.
    blanked: BTreeMap<u64, (u64, u64)>,
}

impl Chain {
    /// Begins behind this place. The default is the beginning of all; any other is to be [vouched for](Chain::finish).
    pub fn behind(begun: Link) -> Self {
        let vouched = begun == Link::default();
        Self { begun, at: begun, blocks: 0, entries: 0, vouched, blanked: BTreeMap::new() }
    }

    /// Checks the next block.
    ///
    /// # Errors
    /// Where the chain is broken. It goes on behind the block, so that one break is told once.
    pub fn next(&mut self, block: &Block) -> Result<(), Break> {
        let (expected, previous) = (self.at.number + 1, self.at.hash);
        self.at = Link { number: block.number, hash: block.hash };
        self.blocks += 1;
        if block.number != expected {
            return Err(match block.number > expected {
                true => Break::Missing { from: expected, to: block.number - 1 },
                false => Break::Reordered { expected, found: block.number },
            });
        }
        if Block::hash_of(block.number, &previous, &block.packed) != Some(block.hash) {
            return Err(Break::Changed { block: block.number });
        }
        let entries = block.entries()?;
        self.entries += entries.len() as u64;
        let begun = What::Dropped { block: self.begun.number, hash: self.begun.hash };
        self.vouched |= entries.iter().any(|entry| entry.what == begun);
        let erased = block.erased()?;
        if erased > 0 {
            self.blanked.insert(block.number, (erased, 0));
        }
        for entry in &entries {
            if let What::Erased { blocks, .. } = &entry.what {
                for (block, texts) in blocks {
                    self.blanked.entry(*block).and_modify(|(_, told)| *told = *texts);
                }
            }
        }
        Ok(())
    }

    /// The place behind the last block that was checked.
    pub fn head(&self) -> Link {
        self.at
    }

    /// The number of the first block that is kept.
    pub fn begins(&self) -> u64 {
        self.begun.number + 1
    }

    /// Blocks and entries that were checked.
    pub fn counts(&self) -> (u64, u64) {
        (self.blocks, self.entries)
    }

    /// All blocks were checked.
    ///
    /// # Errors
    /// When the trail does not begin at its beginning, and no entry of it says that what was before was dropped; when
    /// texts are missing, and no entry says that they were erased.
    pub fn finish(&self) -> Result<(), Break> {
        if !self.vouched {
            return Err(Break::Beheaded { begins: self.begun.number + 1 });
        }
        let untold = self.blanked.iter().find(|(_, (erased, told))| erased != told);
        untold.map_or(Ok(()), |(&block, _)| Err(Break::Blanked { block }))
    }
}

/// Where a trail is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// Its content or hash does not fit the block before it.
    #[error("block {block} was changed, or does not belong behind the block before it")]
    Changed {
        /// Its number.
        block: u64,
    },
    /// Blocks are not there.
    #[error("the blocks {from} to {to} are missing")]
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A block stands where another should.
    #[error("block {found} stands where {expected} should")]
    Reordered {
        /// The number that should come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The beginning is not there, and was not dropped by retention.
    #[error("the trail begins with block {begins}, and no entry says that those before it were dropped")]
    Beheaded {
        /// The number of the first block.
        begins: u64,
    },
    /// Texts of it are not there, and were not erased for a conversation's sake.
    #[error("texts of block {block} are missing, and no entry says that so many were erased")]
    Blanked {
        /// Its number.
        block: u64,
    },
    /// Blocks that were there at an earlier time are not.
    #[error("the trail ends with block {ends}, and block {known} was there before")]
    Cut {
        /// The number of the last block.
        ends: u64,
        /// The number that is known from elsewhere.
        known: u64,
    },
    /// A block that is known from elsewhere is older than everything that is kept, so nothing can be said of it.
    #[error("the trail begins with block {begins}, so it cannot be compared with block {known}; note a newer head")]
    Older {
        /// The number of the first block.
        begins: u64,
        /// The number that is known from elsewhere.
        known: u64,
    },
    /// Its hash fits, but not its content.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;
    use crate::{BlockBuilder, Entry, Whose};

    fn block(number: u64, previous: &Digest, what: What) -> Block {
        let mut builder = BlockBuilder::default();
        builder.push(Entry { at: Timestamp::from_millis(5), what });
        builder.finish(number, previous)
    }

    fn done(subject: &str) -> What {
        What::Done { by: "eva".into(), action: "pause".into(), subject: subject.into(), detail: "".into() }
    }

    fn trail(blocks: u64) -> Vec<Block> {
        let mut previous = Digest::default();
        let next = |number| {
            let block = block(number, &previous, done(&number.to_string()));
            previous = block.hash;
            block
        };
        (1..=blocks).map(next).collect()
    }

    fn breaks(begun: Link, blocks: &[Block]) -> Vec<Break> {
        let mut chain = Chain::behind(begun);
        let mut found: Vec<_> = blocks.iter().filter_map(|block| chain.next(block).err()).collect();
        found.extend(chain.finish().err());
        found
    }

    #[test]
    fn a_whole_trail_holds() {
        assert_eq!(breaks(Link::default(), &trail(5)), []);
        let mut chain = Chain::behind(Link::default());
        trail(3).iter().for_each(|block| chain.next(block).unwrap());
        assert_eq!((chain.counts(), chain.head().number), ((3, 3), 3));
    }

    #[test]
    fn what_was_done_to_it_is_found() {
        let whole = trail(5);
        let mut changed = whole.clone();
        *changed[2].packed.last_mut().unwrap() ^= 1;
        assert_eq!(breaks(Link::default(), &changed), [Break::Changed { block: 3 }]);
        let mut rehashed = changed.clone();
        rehashed[2].hash = Block::hash_of(3, &whole[1].hash, &rehashed[2].packed).unwrap();
        assert_eq!(breaks(Link::default(), &rehashed)[0], Break::Changed { block: 4 });
        let missing = [&whole[..1], &whole[3..]].concat();
        assert_eq!(breaks(Link::default(), &missing), [Break::Missing { from: 2, to: 3 }]);
        let mut reordered = whole.clone();
        reordered.swap(1, 2);
        assert_eq!(breaks(Link::default(), &reordered)[0], Break::Missing { from: 2, to: 2 });
        let mut renumbered = whole.clone();
        (renumbered[1].number, renumbered[2].number) = (3, 2);
        renumbered.swap(1, 2);
        assert_eq!(breaks(Link::default(), &renumbered)[0], Break::Changed { block: 2 });
    }

    #[test]
    fn a_beginning_that_was_dropped_is_vouched_for() {
        let whole = trail(3);
        let begun = Link { number: 2, hash: whole[1].hash };
        assert_eq!(breaks(begun, &whole[2..]), [Break::Beheaded { begins: 3 }]);
        let dropped = block(4, &whole[2].hash, What::Dropped { block: 2, hash: whole[1].hash });
        assert_eq!(breaks(begun, &[whole[2].clone(), dropped]), []);
    }

    #[test]
    fn texts_that_are_missing_were_erased_or_there_is_a_break() {
        let died = What::Died { letter: 1, seq: 1, destination: "crm".into(), reason: "Jane".into() };
        let first = block(1, &Digest::default(), died);
        let first = first.without(|_| Whose::Mine).unwrap().block.unwrap();
        assert_eq!(breaks(Link::default(), std::slice::from_ref(&first)), [Break::Blanked { block: 1 }]);
        let erased = What::Erased {
            conversation: crate::Conversation::of("c"),
            places: vec![1],
            blocks: vec![(1, 1)],
            by: "eva".into(),
            reason: "asked to".into(),
        };
        let second = block(2, &first.hash, erased);
        assert_eq!(breaks(Link::default(), &[first, second.clone()]), []);
        // Another text gone, behind the back of the trail.
        let died = |reason: &str| What::Died { letter: 1, seq: 1, destination: "crm".into(), reason: reason.into() };
        let mut builder = BlockBuilder::default();
        for what in [died("Jane"), died("Joan")] {
            builder.push(Entry { at: Timestamp::from_millis(5), what });
        }
        let more = builder.finish(1, &Digest::default()).without(|_| Whose::Mine).unwrap().block.unwrap();
        let second = block(2, &more.hash, second.entries().unwrap().remove(0).what);
        assert_eq!(breaks(Link::default(), &[more, second]), [Break::Blanked { block: 1 }]);
    }
}
