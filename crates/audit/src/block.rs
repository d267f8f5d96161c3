//! Blocks of entries: how they are packed, and the hash that chains them.
//!
//! Packed, a block is the version of this format, the number of its entries, the different texts that they name, and the
//! entries, each with the milliseconds since the one before; all in the format of the crate `postcard`.

use std::sync::Arc;

use event::Timestamp;

use crate::{Digest, Entry, What};

/// Entries are added to a block until it has so many bytes, which fit a page of the embedded store.
pub const BLOCK_BYTES: usize = 12 << 10;

const VERSION: u8 = 1;
/// Says what is hashed, so that no other hash of the same bytes could be taken for a block's.
const DOMAIN: &[u8] = b"aftercall audit 1\n";

/// Some entries, with their place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Counts up from 1 without gaps.
    pub number: u64,
    /// The entries, packed.
    pub packed: Vec<u8>,
    /// Over the number, the hash of the block before, and the entries.
    pub hash: Digest,
}

impl Block {
    /// The hash that a block of this content has behind a block of that hash.
    pub fn hash_of(number: u64, previous: &Digest, packed: &[u8]) -> Digest {
        Digest::of_all(&[DOMAIN, &number.to_le_bytes(), previous.as_bytes(), packed])
    }

    /// Its entries.
    ///
    /// # Errors
    /// When it was changed or written by a newer version.
    pub fn entries(&self) -> Result<Vec<Entry>, Unreadable> {
        self.entries_where(|_| true)
    }

    /// Those of its entries that are wanted; `wanted` sees all, in their order, with the numbers of their texts.
    ///
    /// # Errors
    /// When it was changed or written by a newer version.
    pub fn entries_where(&self, wanted: impl FnMut(&What<u32>) -> bool) -> Result<Vec<Entry>, Unreadable> {
        let unreadable = |what: String| Unreadable { block: self.number, what };
        let (&version, rest) = self.packed.split_first().ok_or_else(|| unreadable("it is empty".to_owned()))?;
        if version != VERSION {
            return Err(unreadable(format!("it has format {version}, and this program knows {VERSION}")));
        }
        unpack(rest, wanted).map_err(|error| unreadable(error.to_string()))
    }
}

fn unpack(packed: &[u8], mut wanted: impl FnMut(&What<u32>) -> bool) -> Result<Vec<Entry>, postcard::Error> {
    let ((count, texts), mut rest): ((u32, Vec<&str>), _) = postcard::take_from_bytes(packed)?;
    let text = |at: u32| usize::try_from(at).ok().and_then(|at| texts.get(at));
    let mut text = |at: u32| text(at).map(|&text| Arc::from(text)).ok_or(postcard::Error::DeserializeBadEncoding);
    let mut entries = Vec::new();
    let mut millis = 0i64;
    for _ in 0..count {
        let ((since, what), behind): ((i64, What<u32>), _) = postcard::take_from_bytes(rest)?;
        rest = behind;
        millis = millis.wrapping_add(since);
        if wanted(&what) {
            entries.push(Entry { at: Timestamp::from_millis(millis), what: what.try_map(&mut text)? });
        }
    }
    if rest.is_empty() { Ok(entries) } else { Err(postcard::Error::DeserializeBadEncoding) }
}

/// A block's entries cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {block} of the audit trail cannot be read: {what}")]
pub struct Unreadable {
    /// Its number.
    pub block: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    count: u32,
    texts: Vec<Arc<str>>,
    text_bytes: usize,
    entries: Vec<u8>,
    millis: i64,
}

impl BlockBuilder {
    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it is large enough to be finished.
    pub fn is_full(&self) -> bool {
        self.entries.len() + self.text_bytes >= BLOCK_BYTES
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) {
        let Ok(what) = entry.what.try_map(&mut |text| Ok::<_, std::convert::Infallible>(self.number_of(text)));
        let millis = entry.at.as_millis();
        let since = millis.wrapping_sub(std::mem::replace(&mut self.millis, millis));
        // Growing a vector cannot fail, and every type in an entry can be packed.
        if let Ok(entries) = postcard::to_extend(&(since, what), std::mem::take(&mut self.entries)) {
            self.entries = entries;
            self.count += 1;
        }
    }

    fn number_of(&mut self, text: Arc<str>) -> u32 {
        let known = self.texts.iter().position(|known| Arc::ptr_eq(known, &text) || *known == text);
        let at = known.unwrap_or_else(|| {
            self.text_bytes += text.len() + 1;
            self.texts.push(text);
            self.texts.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Closes the block, and is empty again.
    pub fn finish(&mut self, number: u64, previous: &Digest) -> Block {
        let Self { count, texts, entries, text_bytes, .. } = std::mem::take(self);
        let mut packed = Vec::with_capacity(entries.len() + text_bytes + 16);
        packed.push(VERSION);
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let mut packed = postcard::to_extend(&(count, texts), packed).unwrap_or_default();
        packed.extend_from_slice(&entries);
        let hash = Block::hash_of(number, previous, &packed);
        Block { number, packed, hash }
    }
}

#[cfg(test)]
mod tests {
    use event::EventId;
    use proptest::prelude::*;

    use super::*;
    use crate::{Conversation, Failure, Outcome};

    fn entries() -> Vec<Entry> {
        let text = |text: &str| Arc::<str>::from(text);
        let failure = Failure {
            stage: text("deliver"),
            class: text("transient"),
            status: Some(503),
            message: text("503 Service Unavailable"),
            excerpt: Some(text("busy")),
            latency_ms: 12,
            mapping: None,
        };
        let all = [
            What::Received {
                seq: 1,
                event: EventId::from_hash([7; 16]),
                source: text("genesys"),
                topic: text("v2.acw"),
                conversation: Some(Conversation::of("c")),
                body: Digest::of(b"{}"),
                proof: text("key 1"),
                conflict_of: Some(EventId::from_hash([8; 16])),
                destinations: vec![text("crm"), text("genesys")],
            },
            What::Duplicate { event: EventId::from_hash([7; 16]), source: text("genesys"), proof: text("key 1") },
            What::Rejected { letter: 4, source: text("genesys"), body: Digest::of(b""), proof: text("key 2") },
            What::Attempted {
                seq: 1,
                destination: text("crm"),
                outcome: Outcome::Failed { failure, made: 1, charged: 0, again: Some(Timestamp::from_millis(9)) },
            },
            What::Attempted {
                seq: u64::MAX,
                destination: text("crm"),
                outcome: Outcome::Delivered { status: Some(200), latency_ms: 3, mapping: Some(text("1f")) },
            },
            What::Died { letter: 5, seq: 1, destination: text("crm"), reason: text("no") },
            What::Redriven { letter: 5, seq: 1, again: 2, destination: text("crm"), by: text("eva") },
            What::Replayed {
                event: EventId::from_hash([7; 16]),
                conversation: None,
                again: 9,
                destination: text("crm"),
                replay: text("r1"),
            },
            What::Edited { letter: 6, body: Some(Digest::of(b"[]")), by: text("eva"), reason: text("typo") },
            What::Attempted { seq: 2, destination: text("crm"), outcome: Outcome::Skipped { mapping: None } },
            What::Discarded { letter: 6, seq: None, destination: None, by: text("eva"), reason: text("test") },
            What::Done { by: text("eva"), action: text("pause"), subject: text("crm"), detail: text("") },
            What::Erased { conversation: Conversation::of("c"), places: vec![1], by: text("eva"), reason: text("") },
            What::Dropped { block: 3, hash: Digest::of(b"3") },
        ];
        let at = |n: i64| Timestamp::from_millis(1_700_000_000_000 - n * 7);
        (0..).zip(all).map(|(n, what)| Entry { at: at(n), what }).collect()
    }

    fn packed() -> Block {
        let mut builder = BlockBuilder::default();
        entries().into_iter().for_each(|entry| builder.push(entry));
        builder.finish(1, &Digest::default())
    }

    #[test]
    fn gives_back_what_it_was_given() {
        assert_eq!(packed().entries().unwrap(), entries());
    }

    #[test]
    fn a_usual_event_takes_little() {
        let mut builder = BlockBuilder::default();
        for entry in entries().into_iter().cycle().filter(|entry| matches!(entry.what, What::Received { .. })).take(100)
        {
            builder.push(entry);
        }
        let bytes = builder.finish(1, &Digest::default()).packed.len();
        assert!(bytes < 100 * 95, "{bytes}");
    }

    #[test]
    fn says_that_it_is_of_another_format() {
        let mut block = packed();
        block.packed[0] = 9;
        assert_eq!(
            block.entries().unwrap_err().to_string(),
            "block 1 of the audit trail cannot be read: it has format 9, and this program knows 1"
        );
        block.packed.clear();
        assert!(block.entries().is_err());
    }

    #[test]
    fn json_and_back() {
        let json = serde_json::to_string(&entries()).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Entry>>(&json).unwrap(), entries());
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_it_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut packed = vec![VERSION];
            packed.extend(bytes);
            let _ = Block { number: 1, packed, hash: Digest::default() }.entries();
        }

        #[test]
        fn any_changed_byte_changes_the_hash(at in any::<prop::sample::Index>(), by in 1u8..) {
            let mut block = packed();
            let at = at.index(block.packed.len());
            block.packed[at] ^= by;
            prop_assert_ne!(Block::hash_of(1, &Digest::default(), &block.packed), block.hash);
        }
    }
}
