//! Blocks of entries: how they are packed, and the hash that chains them.
//!
//! Packed, a block is the version of this format, the number of its entries, the different texts that they name, and the
//! entries, each with the milliseconds since the one before; all in the format of the crate `postcard`.
//!
//! The hash is over the digests of the texts and not the texts themselves, so one that must not be kept any longer can
//! give way to its digest, and the chain still holds. In the first version of the format it was over the texts. The third
//! version has an outcome more than the second, that a delivery was put aside.

mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use event::Timestamp;

use self::text::{Text, Texts};
use crate::{Digest, Entry, What};

/// Entries are added to a block until it has so many bytes, which fit a page of the embedded store.
pub const BLOCK_BYTES: usize = 12 << 10;

const VERSION: u8 = 3;
/// The version whose texts cannot be erased.
const FIRST_VERSION: u8 = 1;
const SECOND_VERSION: u8 = 2;
/// Says what is hashed, so that no other hash of the same bytes could be taken for a block's; by the version.
const DOMAINS: [&[u8]; 3] = [b"aftercall audit 1\n", b"aftercall audit 2\n", b"aftercall audit 3\n"];
/// Stands for a text that was erased.
pub const ERASED: &str = "(erased)";

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
    /// The hash that a block of this content has behind a block of that hash; none of content that cannot be read.
    pub fn hash_of(number: u64, previous: &Digest, packed: &[u8]) -> Option<Digest> {
        let (&version, rest) = packed.split_first()?;
        if version == FIRST_VERSION {
            let pieces: [&[u8]; 4] = [DOMAINS[0], &number.to_le_bytes(), previous.as_bytes(), packed];
            return Some(Digest::of_all(&pieces));
        }
        if !(SECOND_VERSION..=VERSION).contains(&version) {
            return None;
        }
        let (count, texts, entries) = Texts::take(version, rest).ok()?;
        Some(sealed(version, number, previous, count, texts.digests(), entries))
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
    pub fn entries_where(&self, mut wanted: impl FnMut(&What<u32>) -> bool) -> Result<Vec<Entry>, Unreadable> {
        let (count, texts, rest) = self.parts()?;
        let mut text = |at: u32| texts.get(at).ok_or(postcard::Error::DeserializeBadEncoding);
        let mut entries = Vec::new();
        let walked = walk(count, rest, |at, what| {
            if wanted(&what) {
                entries.push(Entry { at, what: what.try_map(&mut text)? });
            }
            Ok(())
        });
        walked.map(|()| entries).map_err(|error| self.unreadable(error))
    }

    /// How many texts of it were erased.
    ///
    /// # Errors
    /// When it was changed or written by a newer version.
    pub fn erased(&self) -> Result<u64, Unreadable> {
        self.parts().map(|(_, texts, _)| texts.gone())
    }

    /// The same block without what was answered to the deliveries that are to be erased. `whose` sees all entries in their
    /// order. A text that is named for the sake of others too stays.
    ///
    /// # Errors
    /// When it was changed or written by a newer version.
    pub fn without(&self, mut whose: impl FnMut(&What<u32>) -> Whose) -> Result<Without, Unreadable> {
        let (count, mut texts, rest) = self.parts()?;
        let (mut erase, mut keep) = (BTreeSet::new(), BTreeSet::new());
        let walked = walk(count, rest, |_, what| {
            let whose = whose(&what);
            let answers = if whose == Whose::Others { Vec::new() } else { what.answers() };
            let mut others = Vec::new();
            let Ok(_) = what.try_map(&mut |text| {
                others.push(text);
                Ok::<_, std::convert::Infallible>(())
            });
            for answer in &answers {
                others.iter().position(|other| other == answer).map(|at| others.swap_remove(at));
            }
            keep.extend(others);
            if whose == Whose::Mine {
                erase.extend(answers);
            }
            Ok(())
        });
        walked.map_err(|error| self.unreadable(error))?;
        let wanted = erase.iter().filter(|at| texts.is_here(**at)).count();
        if self.packed.first() == Some(&FIRST_VERSION) {
            return Ok(Without { block: None, erased: 0, kept: wanted });
        }
        let erased = erase.difference(&keep).filter(|&&at| texts.erase(at)).count();
        let block = (erased > 0).then(|| {
            let version = self.packed.first().copied().unwrap_or(VERSION);
            let packed = texts.packed(version, count, rest);
            Self { number: self.number, packed, hash: self.hash }
        });
        Ok(Without { block, erased, kept: wanted - erased })
    }

    fn parts(&self) -> Result<(u32, Texts<'_>, &[u8]), Unreadable> {
        let Some((&version, rest)) = self.packed.split_first() else {
            return Err(self.unreadable("it is empty"));
        };
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            let what = format!("it has format {version}, and this program knows {FIRST_VERSION} to {VERSION}");
            return Err(self.unreadable(what));
        }
        Texts::take(version, rest).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, what: impl ToString) -> Unreadable {
        Unreadable { block: self.number, what: what.to_string() }
    }
}

/// The hash over what stays of a block when all of its texts are erased.
fn sealed(
    version: u8,
    number: u64,
    previous: &Digest,
    count: u32,
    digests: impl ExactSizeIterator<Item = Digest>,
    entries: &[u8],
) -> Digest {
    let mut texts = Vec::with_capacity(8 + digests.len() * 32);
    texts.extend_from_slice(&(digests.len() as u64).to_le_bytes());
    digests.for_each(|digest| texts.extend_from_slice(digest.as_bytes()));
    let domain = DOMAINS[usize::from(version - FIRST_VERSION).min(DOMAINS.len() - 1)];
    Digest::of_all(&[domain, &number.to_le_bytes(), previous.as_bytes(), &count.to_le_bytes(), &texts, entries])
}

/// Shows packed entries one after the other.
fn walk(
    count: u32,
    mut packed: &[u8],
    mut each: impl FnMut(Timestamp, What<u32>) -> Result<(), postcard::Error>,
) -> Result<(), postcard::Error> {
    let mut millis = 0i64;
    for _ in 0..count {
        let ((since, what), behind): ((i64, What<u32>), _) = postcard::take_from_bytes(packed)?;
        packed = behind;
        millis = millis.wrapping_add(since);
        each(Timestamp::from_millis(millis), what)?;
    }
    if packed.is_empty() { Ok(()) } else { Err(postcard::Error::DeserializeBadEncoding) }
}

/// For whose sake an entry names what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// It is to be erased.
    Mine,
    /// It should have been erased before, and was kept for the sake of others.
    Erased,
    /// It stays.
    Others,
}

/// A block from which something was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Without {
    /// What it is now; none if nothing changes.
    pub block: Option<Block>,
    /// Texts that were erased.
    pub erased: usize,
    /// Texts that stay: others were answered the same, or it is a block of the first version of the format.
    pub kept: usize,
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
        let Self { count, texts, entries, .. } = std::mem::take(self);
        let texts = Texts::of(texts.iter().map(|text| Text::Here(text)));
        let hash = sealed(VERSION, number, previous, count, texts.digests(), &entries);
        Block { number, packed: texts.packed(VERSION, count, &entries), hash }
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
            What::Attempted { seq: 3, destination: text("crm"), outcome: Outcome::PutAside { part: text("p") } },
            What::Discarded { letter: 6, seq: None, destination: None, by: text("eva"), reason: text("test") },
            What::Done { by: text("eva"), action: text("pause"), subject: text("crm"), detail: text("") },
            What::Erased {
                conversation: Conversation::of("c"),
                places: vec![1],
                blocks: vec![(1, 2), (4, 1)],
                by: text("eva"),
                reason: text(""),
            },
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
            "block 1 of the audit trail cannot be read: it has format 9, and this program knows 1 to 3"
        );
        block.packed.clear();
        assert!(block.entries().is_err());
    }

    #[test]
    fn the_second_version_of_the_format_is_still_read_and_stays_what_it_is() {
        let mut builder = BlockBuilder::default();
        let of_then = || {
            entries()
                .into_iter()
                .filter(|entry| !matches!(&entry.what, What::Attempted { outcome: Outcome::PutAside { .. }, .. }))
        };
        of_then().for_each(|entry| builder.push(entry));
        let new = builder.finish(1, &Digest::default());
        let packed: Vec<u8> = [SECOND_VERSION].into_iter().chain(new.packed[1..].iter().copied()).collect();
        let hash = Block::hash_of(1, &Digest::default(), &packed).unwrap();
        assert_ne!(hash, new.hash, "a changed version is noticed");
        let second = Block { number: 1, packed, hash };
        assert_eq!(second.entries().unwrap(), of_then().collect::<Vec<_>>());
        let without = second.without(|_| Whose::Mine).unwrap().block.unwrap();
        assert_eq!(without.packed[0], SECOND_VERSION);
        assert_eq!(Block::hash_of(1, &Digest::default(), &without.packed), Some(hash), "the chain holds");
    }

    #[test]
    fn the_first_version_of_the_format_is_still_read() {
        let block = packed();
        let (count, _, rest) = block.parts().unwrap();
        let mut builder = BlockBuilder::default();
        entries().into_iter().for_each(|entry| builder.push(entry));
        let texts: Vec<&str> = builder.texts.iter().map(|text| &**text).collect();
        let mut packed = postcard::to_extend(&(count, texts), vec![FIRST_VERSION]).unwrap();
        packed.extend_from_slice(rest);
        let hash = Digest::of_all(&[DOMAINS[0], &1u64.to_le_bytes(), Digest::default().as_bytes(), &packed]);
        assert_eq!(Block::hash_of(1, &Digest::default(), &packed), Some(hash));
        let first = Block { number: 1, packed, hash };
        assert_eq!(first.entries().unwrap(), entries());
        let without = first.without(|_| Whose::Mine).unwrap();
        assert_eq!((without.block, without.erased, without.kept), (None, 0, 3), "its hash is over the texts");
    }

    #[test]
    fn what_was_answered_can_be_erased_and_the_hash_stays() {
        let block = packed();
        let mine = |what: &What<u32>| match what {
            What::Attempted { seq: 1, .. } | What::Died { .. } => Whose::Mine,
            _ => Whose::Others,
        };
        let without = block.without(mine).unwrap();
        let erased = without.block.unwrap();
        assert_eq!((without.erased, without.kept, erased.hash, erased.erased()), (3, 0, block.hash, Ok(3)));
        assert_eq!(Block::hash_of(1, &Digest::default(), &erased.packed), Some(block.hash));
        let shown = serde_json::to_string(&erased.entries().unwrap()).unwrap();
        assert!(!shown.contains("Unavailable") && !shown.contains("busy") && shown.contains(ERASED), "{shown}");
        let bytes = erased.packed.windows(4);
        assert!(!bytes.into_iter().any(|bytes| bytes == b"busy"));
        assert_eq!(erased.entries().unwrap().len(), entries().len());
        assert_eq!(erased.without(mine), Ok(Without { block: None, erased: 0, kept: 0 }), "once is enough");
        assert_eq!(block.without(|_| Whose::Others), Ok(Without { block: None, erased: 0, kept: 0 }));
    }

    #[test]
    fn a_text_that_others_name_too_stays() {
        let mut builder = BlockBuilder::default();
        let died = |seq, reason: &str| What::Died { letter: 1, seq, destination: "crm".into(), reason: reason.into() };
        for what in [died(1, "busy"), died(2, "busy"), died(1, "crm"), died(1, "alone")] {
            builder.push(Entry { at: Timestamp::from_millis(1), what });
        }
        let block = builder.finish(1, &Digest::default());
        let of = |mine: u64, erased: u64| {
            move |what: &What<u32>| match what {
                What::Died { seq, .. } if *seq == mine => Whose::Mine,
                What::Died { seq, .. } if *seq == erased => Whose::Erased,
                _ => Whose::Others,
            }
        };
        let reasons = |block: &Block| block.entries().unwrap().into_iter().map(|entry| entry.what).collect::<Vec<_>>();
        let first = block.without(of(1, 0)).unwrap();
        let block = first.block.unwrap();
        assert_eq!(reasons(&block), [died(1, "busy"), died(2, "busy"), died(1, "crm"), died(1, ERASED)]);
        assert_eq!((first.erased, first.kept), (1, 2));
        let second = block.without(of(2, 1)).unwrap();
        let block = second.block.unwrap();
        assert_eq!(reasons(&block), [died(1, ERASED), died(2, ERASED), died(1, "crm"), died(1, ERASED)]);
        assert_eq!((second.erased, second.kept), (1, 0));
    }

    #[test]
    fn json_and_back() {
        let json = serde_json::to_string(&entries()).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Entry>>(&json).unwrap(), entries());
    }

    #[test]
    fn any_changed_byte_changes_the_hash() {
        let whole = packed();
        let erased = whole.without(|_| Whose::Mine).unwrap().block.unwrap();
        for block in [whole, erased] {
            let mut changed = block.packed.clone();
            for at in 0..changed.len() {
                for by in 1..=u8::MAX {
                    changed[at] ^= by;
                    assert_ne!(Block::hash_of(1, &Digest::default(), &changed), Some(block.hash), "{by} at {at}");
                    changed[at] ^= by;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_it_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut packed = vec![VERSION];
            packed.extend(bytes);
            let _ = Block { number: 1, packed, hash: Digest::default() }.entries();
        }
    }
}
