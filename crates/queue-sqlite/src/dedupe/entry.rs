//! One known identity, packed into 32 bytes: id (16), place in the log (6), second of receipt (4), hash of the body (6).
//! It is kept packed in memory too, since there are half a million of them.

use std::time::Duration;

use event::{EventId, Timestamp};

/// Bytes of a packed entry.
pub(crate) const ENTRY_BYTES: usize = 32;
const MASK_48: u64 = (1 << 48) - 1;

/// A known identity. Entries are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry([u8; ENTRY_BYTES]);

impl Entry {
    pub(crate) fn new(id: EventId, seq: u64, received: Timestamp, body_hash: u64) -> Self {
        let mut packed = [0; ENTRY_BYTES];
        packed[..16].copy_from_slice(id.as_bytes());
        packed[16..22].copy_from_slice(&seq.to_le_bytes()[..6]);
        // Rounded up, so that the window is never shorter than it was promised.
        packed[22..26].copy_from_slice(&second(received.plus(Duration::from_millis(999))).to_le_bytes());
        packed[26..].copy_from_slice(&body_hash.to_le_bytes()[..6]);
        Self(packed)
    }

    pub(crate) const fn from_bytes(packed: [u8; ENTRY_BYTES]) -> Self {
        Self(packed)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; ENTRY_BYTES] {
        &self.0
    }

    pub(crate) fn id(&self) -> EventId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        EventId::from_bytes(id)
    }

    pub(crate) fn has_id(&self, id: EventId) -> bool {
        self.0[..16] == *id.as_bytes()
    }

    /// Place of the event in the log; below 2^48.
    pub(crate) fn seq(&self) -> u64 {
        self.number(16, 6)
    }

    /// Seconds of Unix time by which the event had been received.
    pub(crate) fn second(&self) -> u32 {
        u32::try_from(self.number(22, 4)).unwrap_or(u32::MAX)
    }

    /// Whether the event's bytes have this hash, of which 48 bits are kept.
    pub(crate) fn has_body(&self, body_hash: u64) -> bool {
        self.number(26, 6) == body_hash & MASK_48
    }

    fn number(&self, from: usize, len: usize) -> u64 {
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(&self.0[from..from + len]);
        u64::from_le_bytes(wide)
    }
}

/// Unpacks a whole blob; a torn end is ignored by the caller's length check.
pub(crate) fn unpack_all(blob: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    blob.as_chunks::<ENTRY_BYTES>().0.iter().map(|packed| Entry(*packed))
}

/// Whole seconds of Unix time; the years 1970 to 2106 are told apart.
pub(crate) fn second(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let id = EventId::from_hash([7; 16]);
        let entry = Entry::new(id, (1 << 48) - 2, Timestamp::from_millis(1_773_957_888_128), u64::MAX - 5);
        assert_eq!(unpack_all(entry.as_bytes()).collect::<Vec<_>>(), [entry]);
        assert_eq!((entry.id(), entry.seq(), entry.second()), (id, (1 << 48) - 2, 1_773_957_889));
        assert!(entry.has_id(id) && !entry.has_id(EventId::from_hash([8; 16])));
        assert!(entry.has_body(u64::MAX - 5));
        assert!(!entry.has_body(5));
    }
}
