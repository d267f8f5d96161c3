//! How many dead letters each group has, kept up without reading them all each time.
//!
//! New letters are read by their ids and added. That some are gone shows in the queue's own counts, which cost nothing:
//! a destination without any has no group left, and when the counts are lower than what is added up here, an empty ledger
//! has to be begun, which whoever reads does seldom.

use std::collections::BTreeMap;

use queue::{DeadLetter, DeadLetterGroup, DeadLetterId, Fingerprint, QueueStatus};

use super::options::LEDGER_GROUPS_MAX;

/// The groups as they are known.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    groups: BTreeMap<Fingerprint, DeadLetterGroup>,
    /// The last letter that was added.
    last: Option<DeadLetterId>,
}

/// Whether the ledger agrees with the queue's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It does, or letters are on their way into it.
    None,
    /// Letters are gone, and it is not known of which groups: begin with an empty ledger.
    Recount,
}

impl Ledger {
    /// The groups.
    pub fn groups(&self) -> Vec<DeadLetterGroup> {
        self.groups.values().cloned().collect()
    }

    /// Ask for letters after this one.
    pub fn last(&self) -> Option<DeadLetterId> {
        self.last
    }

    /// Adds letters that are newer than [`Self::last`].
    pub fn add(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            self.last = self.last.max(Some(letter.id));
            let fingerprint = letter.fingerprint();
            if let Some(group) = self.groups.get_mut(&fingerprint) {
                group.add(letter);
                continue;
            }
            let various = self.groups.len() >= LEDGER_GROUPS_MAX;
            let begun = if various { DeadLetterGroup::various(letter) } else { DeadLetterGroup::begin(letter) };
            self.groups.entry(begun.fingerprint).or_insert(begun).add(letter);
        }
    }

    /// Compares with counts that the queue gave after the letters were read.
    pub fn compare(&mut self, status: &QueueStatus) -> Mismatch {
        let of = |name: &str| status.consumers.iter().find(|consumer| consumer.name == name);
        let delivered: u64 = status.consumers.iter().map(|consumer| consumer.dead_letters).sum();
        let intake = status.dead_letters.saturating_sub(delivered);
        let left = |group: &DeadLetterGroup| match group.destination.as_deref() {
            Some(name) => of(name).map_or(0, |consumer| consumer.dead_letters),
            None => intake,
        };
        self.groups.retain(|_, group| left(group) > 0);
        let known: u64 = self.groups.values().map(|group| group.count).sum();
        if known > status.dead_letters { Mismatch::Recount } else { Mismatch::None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use event::Timestamp;
    use queue::{Attempts, Failure, FailureClass, MemoryQueue, Queue as _, Stage};

    use super::*;

    fn letter(id: u64, destination: &str, message: &str) -> DeadLetter {
        let failure = Failure::new(Stage::Map, FailureClass::Permanent, message);
        DeadLetter {
            id: DeadLetterId(id),
            died: Timestamp::from_millis(id as i64),
            destination: Some(Arc::from(destination)),
            seq: None,
            event: None,
            source: Arc::from("a"),
            topic: Arc::from(""),
            conversation: None,
            attempts: Attempts::default(),
            failure,
            behind_dead: false,
            held: 0,
            received: None,
            body: None,
            edit: None,
            altered: false,
        }
    }

    /// An empty queue's status, with dead letters by destination.
    async fn status(counts: &[(&str, u64)]) -> QueueStatus {
        let now = Timestamp::default();
        let empty = MemoryQueue::default().status(now).await.unwrap();
        let consumer = |(name, dead_letters): &(&str, u64)| queue::ConsumerStatus {
            name: (*name).to_owned(),
            configured: true,
            watermark: 0,
            unsettled: 0,
            leased: 0,
            retrying: 0,
            held_conversations: 0,
            held: 0,
            dead_letters: *dead_letters,
            oldest_unsettled: None,
            delivered: 0,
            put_aside: 0,
        };
        QueueStatus {
            dead_letters: counts.iter().map(|(_, count)| count).sum(),
            consumers: counts.iter().map(consumer).collect(),
            ..empty
        }
    }

    #[tokio::test]
    async fn letters_that_are_gone_are_noticed_without_reading_all() {
        let mut ledger = Ledger::default();
        ledger.add(&[letter(1, "crm", "no name 1"), letter(2, "crm", "no name 2"), letter(3, "lake", "full")]);
        assert_eq!((ledger.groups().len(), ledger.last()), (2, Some(DeadLetterId(3))));
        assert_eq!(ledger.compare(&status(&[("crm", 2), ("lake", 1)]).await), Mismatch::None);
        assert_eq!(ledger.compare(&status(&[("crm", 5), ("lake", 1)]).await), Mismatch::None, "three are on their way");
        assert_eq!(ledger.compare(&status(&[("crm", 2), ("lake", 0)]).await), Mismatch::None, "all of one are gone");
        assert_eq!(ledger.groups().len(), 1);
        assert_eq!(ledger.compare(&status(&[("crm", 1), ("lake", 0)]).await), Mismatch::Recount);
        let mut ledger = Ledger::default();
        ledger.add(&[letter(2, "crm", "no name 2")]);
        assert_eq!(ledger.compare(&status(&[("crm", 1), ("lake", 0)]).await), Mismatch::None);
    }

    #[test]
    fn fifty_thousand_alike_are_one_group_and_many_messages_are_bounded() {
        let mut ledger = Ledger::default();
        let letters: Vec<_> = (1..=50_000).map(|id| letter(id, "crm", &format!("event {id} has no name"))).collect();
        ledger.add(&letters);
        assert_eq!(ledger.groups().iter().map(|group| group.count).collect::<Vec<_>>(), [50_000]);
        let word = |n: u64| n.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect::<String>();
        ledger.add(&(50_001..55_000).map(|id| letter(id, "crm", &word(id))).collect::<Vec<_>>());
        assert!(ledger.groups().len() <= LEDGER_GROUPS_MAX + 1);
        assert_eq!(ledger.groups().iter().map(|group| group.count).sum::<u64>(), 54_999);
    }
}
