//! One known identity, packed into 32 bytes: id (16), place in the log (6), second of receipt (4), hash of the body (6).

use std::time::Duration;

use event::{EventId, Timestamp};

/// Bytes of a packed entry.
pub(crate) const ENTRY_BYTES: usize = 32;
const MASK_48: u64 = (1 << 48) - 1;

/// A known identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) id: EventId,
    /// Place of the event in the log; below 2^48.
    pub(crate) seq: u64,
    /// Seconds of Unix time by which the event had been received.
    pub(crate) second: u32,
    /// The lower 48 bits of the hash of its bytes.
    pub(crate) body: u64,
}

impl Entry {
    pub(crate) fn new(id: EventId, seq: u64, received: Timestamp, body_hash: u64) -> Self {
        // Rounded up, so that the window is never shorter than it was promised.
        Self { id, seq, second: second(received.plus(Duration::from_millis(999))), body: body_hash & MASK_48 }
    }

    /// Whether the event's bytes have this hash.
    pub(crate) fn has_body(&self, body_hash: u64) -> bool {
        self.body == body_hash & MASK_48
    }

    pub(crate) fn pack(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.id.as_bytes());
        into.extend_from_slice(&self.seq.to_le_bytes()[..6]);
        into.extend_from_slice(&self.second.to_le_bytes());
        into.extend_from_slice(&self.body.to_le_bytes()[..6]);
    }

    /// Reads back what `pack` wrote.
    pub(crate) fn unpack(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[..16]);
        let number = |from: usize, len: usize| {
            let mut wide = [0; 8];
            wide[..len].copy_from_slice(&bytes[from..from + len]);
            u64::from_le_bytes(wide)
        };
        Self {
            id: EventId::from_bytes(id),
            seq: number(16, 6),
            second: u32::try_from(number(22, 4)).unwrap_or(u32::MAX),
            body: number(26, 6),
        }
    }
}

/// Unpacks a whole blob; a torn end is ignored by the caller's length check.
pub(crate) fn unpack_all(blob: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    blob.as_chunks::<ENTRY_BYTES>().0.iter().map(Entry::unpack)
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
        let mut blob = Vec::new();
        entry.pack(&mut blob);
        assert_eq!(unpack_all(&blob).collect::<Vec<_>>(), [entry]);
        assert!(entry.has_body(u64::MAX - 5));
        assert!(!entry.has_body(5));
    }
}
