//! The newest identities, by id: a hash table of packed entries, 33 bytes for each.

use event::EventId;
use hashbrown::HashTable;

use super::entry::{ENTRY_BYTES, Entry};

/// Identities by id.
#[derive(Debug)]
pub(crate) struct Table(HashTable<Entry>);

impl Table {
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self(HashTable::with_capacity(entries))
    }

    pub(super) fn get(&self, id: EventId) -> Option<&Entry> {
        self.0.find(hash(id), |entry| entry.has_id(id))
    }

    /// Inserts an identity; returns what was known of the same id.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let id = entry.id();
        match self.0.find_mut(hash(id), |known| known.has_id(id)) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => {
                self.0.insert_unique(hash(id), entry, |entry| hash(entry.id()));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, id: EventId) {
        if let Ok(found) = self.0.find_entry(hash(id), |entry| entry.has_id(id)) {
            found.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, packed and sorted by id.
    pub(super) fn sorted(&self) -> Vec<[u8; ENTRY_BYTES]> {
        let mut packed: Vec<_> = self.0.iter().map(|entry| *entry.as_bytes()).collect();
        packed.sort_unstable();
        packed
    }
}

/// Ids are made of a cryptographic hash already. The version bits of byte 6 lie where the table does not look.
fn hash(id: EventId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use event::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> EventId {
        EventId::from_identity("test", [[n].as_slice()])
    }

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((any::<u8>(), any::<bool>(), 0u64..1_000), 0..300)) {
            let (mut table, mut map) = (Table::with_capacity(4), HashMap::new());
            for (n, removes, seq) in steps {
                if removes {
                    table.remove(id(n));
                    map.remove(&id(n));
                } else {
                    let entry = Entry::new(id(n), seq, Timestamp::from_millis(5), seq);
                    prop_assert_eq!(table.insert(entry), map.insert(id(n), entry));
                }
                prop_assert_eq!(table.get(id(n)), map.get(&id(n)));
            }
            prop_assert_eq!(table.len(), map.len());
            let mut all: Vec<_> = map.values().map(|entry| *entry.as_bytes()).collect();
            all.sort_unstable();
            prop_assert_eq!(table.sorted(), all);
        }
    }
}
