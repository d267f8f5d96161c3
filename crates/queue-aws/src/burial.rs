//! Making dead letters: in one transaction their deliveries are over, the letters are there, and the trail says so.

use std::collections::BTreeMap;

use audit::Entry;
use event::Timestamp;
use queue::{DeadLetterId, Failure, QueueError, Seq};

use crate::head::{self, Head};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::letter::{self, Letter};
use crate::options::TRANSACTION_BYTES;
use crate::shard::Dead;
use crate::state::Part;
use crate::table::{Committed, Expected, Write};
use crate::trail::Trail;

/// Dead letters that are made in one transaction at most: two items each, a shard each, and blocks of the trail, of which
/// long answers of destinations need many, are fewer than 100.
pub(crate) const LETTERS_OF_A_COMMIT: usize = 20;

/// Dead letters of one destination on their way.
pub(crate) struct Burial {
    head: Head,
    expected: Expected,
    pub(crate) parts: BTreeMap<u8, Part>,
    letters: Vec<(u64, Letter)>,
    trail: Trail,
    bytes: usize,
}

impl Burial {
    pub(crate) fn begin((head, expected): (Head, Expected)) -> Self {
        let trail = Trail::behind(&head);
        Self { head, expected, parts: BTreeMap::new(), letters: Vec::new(), trail, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(crate) fn has_room(&self, letter: &Letter) -> bool {
        let shards: usize = self.parts.values().map(|part| part.shard.bytes()).sum();
        self.is_empty()
            || self.letters.len() < LETTERS_OF_A_COMMIT && self.bytes + letter.bytes() + shards <= TRANSACTION_BYTES
    }

    /// Adds the letter of a delivery of this shard, and what is said of its last attempt.
    pub(crate) fn add(
        &mut self,
        destination: &Destination,
        (number, place): (u8, u64),
        mut letter: Letter,
        attempted: Option<Entry>,
        (failure, now): (&Failure, Timestamp),
    ) -> Result<(), QueueError> {
        let Some(part) = self.parts.get_mut(&number) else { return Ok(()) };
        let Some(delivery) = part.shard.deliveries.remove(&place) else { return Ok(()) };
        self.head.last_letter += 1;
        self.head.letters += 1;
        let id = self.head.last_letter;
        self.trail.take(&mut part.shard)?;
        attempted.into_iter().for_each(|entry| self.trail.push(entry));
        self.trail.push(queue::trail::died(DeadLetterId(id), Seq(place), &destination.name, failure, now));
        part.shard.dead.push(Dead { letter: id, conversation: delivery.conversation, first: letter.first });
        letter.shard = number;
        self.bytes += letter.bytes();
        self.letters.push((id, letter));
        Ok(())
    }
}

impl Inner {
    /// Whether it was done; if not, somebody else has written in between.
    pub(crate) async fn commit_burial(&self, destination: &Destination, burial: Burial) -> Result<bool, QueueError> {
        let Burial { mut head, expected, parts, letters, trail, .. } = burial;
        let mut writes = trail.finish(&mut head)?;
        writes.push(head::write(&head, expected)?);
        for (number, part) in &parts {
            writes.push(Write::put(keys::shard(destination.id, *number), part.expected, &part.shard)?);
        }
        for (id, letter) in &letters {
            writes.extend(letter::creation(*id, letter)?);
        }
        let Committed::Done(_) = self.table.commit(writes).await? else { return Ok(false) };
        for (number, part) in &parts {
            destination.note_due(*number, part.shard.next_due());
        }
        Ok(true)
    }
}
