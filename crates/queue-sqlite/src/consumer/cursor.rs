//! What one destination has settled: a watermark, and a bitmap of what is settled above it.
//!
//! The bitmap is kept in chunks of 65,536 places, so that settling one event rewrites at most one small row even when
//! an old event holds the watermark back for days. A crash loses only what was settled since the last commit; those
//! events are delivered again.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

/// Places in one chunk: a roaring container's worth, at most 8 KiB when stored.
const CHUNK: u64 = 1 << 16;

/// Settled places of one destination.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    /// Every place up to this one is settled.
    watermark: u64,
    /// Settled places above the watermark: chunk number → offsets.
    above: BTreeMap<u64, RoaringBitmap>,
    /// Chunks that differ from what is stored.
    dirty_chunks: BTreeSet<u64>,
    dirty_watermark: bool,
    /// What the last transaction stored, in case that is undone.
    stored_chunks: BTreeSet<u64>,
}

/// One chunk to store: its number and its bytes, or `None` to remove it.
pub(crate) type StoredChunk = (u64, Option<Vec<u8>>);

impl Cursor {
    /// A cursor that has settled everything up to `watermark`.
    pub(crate) fn at(watermark: u64) -> Self {
        Self { watermark, ..Self::default() }
    }

    /// Puts a stored chunk back.
    pub(crate) fn restore(&mut self, chunk: u64, bytes: &[u8]) -> Result<(), std::io::Error> {
        let mut bitmap = RoaringBitmap::deserialize_from(bytes)?;
        if bitmap.max().is_some_and(|max| u64::from(max) >= CHUNK) {
            return Err(std::io::Error::other("a chunk of a cursor holds places beyond its end"));
        }
        // Only what is above the watermark counts; a crash cannot leave more, but an older backup might.
        if chunk == self.watermark / CHUNK {
            bitmap.remove_range(0..=offset(self.watermark));
        }
        if chunk >= self.watermark / CHUNK && !bitmap.is_empty() {
            self.above.insert(chunk, bitmap);
        }
        self.absorb();
        Ok(())
    }

    /// The last settled place of a stored chunk; 0 if it cannot be read.
    pub(crate) fn last_of(chunk: u64, bytes: &[u8]) -> u64 {
        let last = RoaringBitmap::deserialize_from(bytes).ok().and_then(|bitmap| bitmap.max());
        last.map_or(0, |offset| chunk * CHUNK + u64::from(offset))
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) fn is_settled(&self, seq: u64) -> bool {
        seq <= self.watermark || self.above.get(&(seq / CHUNK)).is_some_and(|chunk| chunk.contains(offset(seq)))
    }

    pub(crate) fn settle(&mut self, seq: u64) {
        if seq == self.watermark + 1 {
            self.watermark = seq;
            self.dirty_watermark = true;
            self.absorb();
        } else if seq > self.watermark {
            self.above.entry(seq / CHUNK).or_default().insert(offset(seq));
            self.dirty_chunks.insert(seq / CHUNK);
        }
    }

    /// Settles everything up to `seq`.
    pub(crate) fn settle_through(&mut self, seq: u64) {
        if seq <= self.watermark {
            return;
        }
        self.watermark = seq;
        self.dirty_watermark = true;
        while let Some(first) = self.above.first_entry() {
            let chunk = *first.key();
            if chunk < seq / CHUNK {
                first.remove();
                self.dirty_chunks.insert(chunk);
                continue;
            }
            if chunk == seq / CHUNK {
                let mut first = first;
                first.get_mut().remove_range(0..=offset(seq));
                // An empty chunk would hide those above it from the watermark.
                if first.get().is_empty() {
                    first.remove();
                }
                self.dirty_chunks.insert(chunk);
            }
            break;
        }
        self.absorb();
    }

    /// The first place after `after` that is not settled.
    pub(crate) fn next_unsettled(&self, after: u64) -> u64 {
        let mut seq = after.max(self.watermark) + 1;
        while let Some(chunk) = self.above.get(&(seq / CHUNK)) {
            let at = offset(seq);
            match gap(chunk, at) {
                Some(free) => return seq + u64::from(free - at),
                None => seq = (seq / CHUNK + 1) * CHUNK,
            }
        }
        seq
    }

    /// How many places above the watermark, up to `last`, are not settled.
    pub(crate) fn unsettled(&self, last: u64) -> u64 {
        let settled: u64 = self.above.values().map(RoaringBitmap::len).sum();
        last.saturating_sub(self.watermark).saturating_sub(settled)
    }

    /// Moves the watermark over what is settled right above it.
    fn absorb(&mut self) {
        while let Some(mut first) = self.above.first_entry() {
            let chunk = *first.key();
            if chunk != (self.watermark + 1) / CHUNK {
                break;
            }
            let at = offset(self.watermark + 1);
            if !first.get().contains(at) {
                break;
            }
            let free = gap(first.get(), at);
            self.watermark = free.map_or((chunk + 1) * CHUNK - 1, |free| chunk * CHUNK + u64::from(free) - 1);
            match free {
                Some(free) => {
                    first.get_mut().remove_range(0..free);
                    if first.get().is_empty() {
                        first.remove();
                    }
                }
                None => {
                    first.remove();
                }
            }
            self.dirty_watermark = true;
            self.dirty_chunks.insert(chunk);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty_watermark || !self.dirty_chunks.is_empty()
    }

    /// What has to be stored for the cursor to survive a crash.
    pub(crate) fn dirty_chunks(&self) -> Vec<StoredChunk> {
        self.dirty_chunks.iter().map(|&chunk| (chunk, self.above.get(&chunk).map(encode))).collect()
    }

    /// Everything is stored now, if the transaction commits.
    pub(crate) fn stored(&mut self) {
        self.stored_chunks = std::mem::take(&mut self.dirty_chunks);
        self.dirty_watermark = false;
    }

    /// The last transaction was undone: what it stored has to be stored again.
    pub(crate) fn store_again(&mut self) {
        self.dirty_chunks.append(&mut self.stored_chunks);
        self.dirty_watermark = true;
    }
}

/// Place within its chunk.
fn offset(seq: u64) -> u32 {
    (seq % CHUNK) as u32
}

/// The first offset from `at` on that the chunk lacks; `None` if there is none before the chunk's end.
fn gap(chunk: &RoaringBitmap, at: u32) -> Option<u32> {
    let end = u32::try_from(CHUNK).unwrap_or(u32::MAX);
    let mut free = at;
    let mut settled = chunk.range(at..end);
    while free < end && settled.next() == Some(free) {
        free += 1;
    }
    (free < end).then_some(free)
}

fn encode(chunk: &RoaringBitmap) -> Vec<u8> {
    let mut chunk = chunk.clone();
    chunk.optimize();
    let mut bytes = Vec::with_capacity(chunk.serialized_size());
    // Writing to a Vec does not fail.
    let _ = chunk.serialize_into(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Against a plain set: the same places are settled, in memory and after a trip through storage.
        #[test]
        fn settles_what_a_set_settles(
            base in 0u64..200_000,
            steps in prop::collection::vec((0u64..300, prop::bool::weighted(0.02)), 1..400),
        ) {
            let start = base.saturating_sub(100);
            let mut cursor = Cursor::at(start);
            let mut set = BTreeSet::new();
            for (step, through) in steps {
                let seq = start + 1 + step * if step % 7 == 0 { 400 } else { 1 };
                if through {
                    cursor.settle_through(seq);
                    set.extend(start + 1..=seq);
                } else {
                    cursor.settle(seq);
                    set.insert(seq);
                }
            }
            let mut restored = Cursor::at(cursor.watermark());
            for (chunk, bytes) in cursor.dirty_chunks() {
                if let Some(bytes) = bytes {
                    restored.restore(chunk, &bytes).unwrap();
                }
            }
            let last = start + 121_000;
            let free: Vec<u64> = (start + 1..=last).filter(|seq| !set.contains(seq)).collect();
            for cursor in [&cursor, &restored] {
                prop_assert_eq!(cursor.watermark(), free[0] - 1);
                prop_assert_eq!(cursor.unsettled(last), free.len() as u64);
                let mut found = Vec::new();
                let mut seq = cursor.next_unsettled(0);
                while seq <= last {
                    prop_assert!(!cursor.is_settled(seq));
                    found.push(seq);
                    seq = cursor.next_unsettled(seq);
                }
                prop_assert_eq!(&found, &free);
            }
        }
    }

    #[test]
    fn the_watermark_goes_on_into_the_next_chunk_after_a_piece_of_upkeep() {
        let mut cursor = Cursor::at(CHUNK - 10);
        cursor.settle(CHUNK - 8);
        cursor.settle_through(CHUNK - 5);
        cursor.settle(CHUNK);
        (CHUNK - 4..CHUNK).for_each(|seq| cursor.settle(seq));
        assert_eq!(cursor.watermark(), CHUNK);
    }

    #[test]
    fn a_chunk_beyond_its_end_is_refused() {
        let mut bytes = Vec::new();
        RoaringBitmap::from_iter([70_000]).serialize_into(&mut bytes).unwrap();
        assert!(Cursor::default().restore(0, &bytes).is_err());
        assert!(Cursor::default().restore(0, b"not a bitmap").is_err());
    }
}
