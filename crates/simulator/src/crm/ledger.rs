//! The CRM's books: the table of rows, what became of every event, and whether order was kept.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::Tag;

/// One request, as it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which row it was about: a hash of the `Idempotency-Key`, or of the path if there was none.
    pub row: u64,
    /// The event in its body.
    pub tag: Option<Tag>,
    /// The status answered; 0 when the connection was closed without an answer.
    pub status: u16,
    /// Whether the row was written; a fault can lose the answer to a request that had its effect.
    pub written: bool,
}

/// Everything the CRM knows, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Requests that arrived whole, whatever the answer was.
    pub requests: u64,
    /// Requests that wrote a row.
    pub writes: u64,
    /// Requests that wrote nothing, because a fault was on.
    pub refused: u64,
    /// Rows in the table.
    pub rows: u64,
    /// Different events among the rows.
    pub events: u64,
    /// Writes to a row that was there already with the same event. An upsert makes them harmless.
    pub repeats: u64,
    /// Of the repeats, those whose body differed from the first one.
    pub changed: u64,
    /// Writes that made a second row of an event that already had one: the effect came twice.
    pub doubled: u64,
    /// Writes of an event over a row of another event, which is thereby lost.
    pub overwritten: u64,
    /// First writes of an event after a later one of the same conversation had been written.
    pub out_of_order: u64,
    /// Writes whose body carried no [`Tag`], so that nothing could be checked.
    pub untagged: u64,
    /// Requests in progress right now.
    pub concurrency: usize,
    /// The most requests that were in progress at once.
    pub max_concurrency: usize,
}

/// What one row of the table remembers.
#[derive(Debug, Clone, Copy)]
struct Row {
    event: u64,
    body: u32,
}

/// The books. Keys are kept as 64-bit hashes: five million events in some 400 MB, and less than one chance in a
/// million that two of them are taken for one.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: HashMap<u64, Row>,
    /// The row of each event.
    events: HashMap<u64, u64>,
    /// The highest ordinal written of each conversation.
    conversations: HashMap<u64, u32>,
    entries: VecDeque<Entry>,
    entries_max: usize,
    report: Report,
    last_first_write: Option<Instant>,
}

/// What a write did to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upsert {
    Created,
    Updated,
}

impl Ledger {
    /// Books that keep the latest `entries_max` entries; the counts cover all.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max, ..Self::default() }
    }

    /// Books a request that had no effect.
    pub(crate) fn refuse(&mut self, row: u64, tag: Option<Tag>, status: u16) {
        self.report.refused += 1;
        self.enter(Entry { row, tag, status, written: false });
    }

    /// Writes a row and books the request. `status` is what will be answered.
    pub(crate) fn write(&mut self, row: u64, body: &[u8], now: Instant, status: impl FnOnce(Upsert) -> u16) -> u16 {
        let tag = Tag::find_in(body);
        let event = tag.map(event_hash);
        let upsert = self.upsert(row, event, xxh3_64(body) as u32);
        self.report.writes += 1;
        match tag {
            Some(tag) => self.follow(tag, row, now),
            None => self.report.untagged += 1,
        }
        let status = status(upsert);
        self.enter(Entry { row, tag, status, written: true });
        status
    }

    fn upsert(&mut self, row: u64, event: Option<u64>, body: u32) -> Upsert {
        let new = Row { event: event.unwrap_or_default(), body };
        match self.rows.entry(row) {
            Slot::Vacant(slot) => {
                slot.insert(new);
                self.report.rows += 1;
                Upsert::Created
            }
            Slot::Occupied(slot) => {
                let old = slot.get();
                if old.event != new.event {
                    self.report.overwritten += 1;
                } else {
                    self.report.repeats += 1;
                    self.report.changed += u64::from(old.body != new.body);
                }
                Upsert::Updated
            }
        }
    }

    fn follow(&mut self, tag: Tag, row: u64, now: Instant) {
        match self.events.entry(event_hash(tag)) {
            Slot::Occupied(slot) => self.report.doubled += u64::from(*slot.get() != row),
            Slot::Vacant(slot) => {
                slot.insert(row);
                self.report.events += 1;
                self.last_first_write = Some(now);
                let highest = self.conversations.entry(xxh3_64(tag.conversation().as_bytes())).or_default();
                self.report.out_of_order += u64::from(tag.ordinal() < *highest);
                *highest = tag.ordinal().max(*highest);
            }
        }
    }

    fn enter(&mut self, entry: Entry) {
        self.report.requests += 1;
        if self.entries.len() >= self.entries_max {
            self.entries.pop_front();
        }
        if self.entries_max > 0 {
            self.entries.push_back(entry);
        }
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.events.contains_key(&event_hash(tag))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn report(&self) -> Report {
        self.report
    }

    pub(crate) fn last_first_write(&self) -> Option<Instant> {
        self.last_first_write
    }
}

fn event_hash(tag: Tag) -> u64 {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(tag.conversation().as_bytes());
    bytes[16..].copy_from_slice(&tag.ordinal().to_be_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;

    const A: Uuid = Uuid::random(1);
    const B: Uuid = Uuid::random(2);

    fn body(conversation: Uuid, ordinal: u32) -> String {
        format!(r#"{{"externalTag":"{}"}}"#, Tag::new(conversation, ordinal))
    }

    fn write(ledger: &mut Ledger, row: u64, body: &str) -> u16 {
        ledger.write(row, body.as_bytes(), Instant::now(), |upsert| if upsert == Upsert::Created { 201 } else { 200 })
    }

    #[test]
    fn a_clean_run_has_nothing_to_report() {
        let mut ledger = Ledger::new(10);
        for (row, conversation, ordinal) in [(1, A, 0), (2, B, 0), (3, A, 1), (4, A, 5), (5, B, 1)] {
            assert_eq!(write(&mut ledger, row, &body(conversation, ordinal)), 201);
        }
        let expected = Report { requests: 5, writes: 5, rows: 5, events: 5, ..Report::default() };
        assert_eq!(ledger.report(), expected);
        assert!(ledger.has(Tag::new(A, 5)) && !ledger.has(Tag::new(A, 4)));
    }

    #[test]
    fn the_same_key_again_is_harmless_and_counted() {
        let mut ledger = Ledger::new(10);
        write(&mut ledger, 1, &body(A, 0));
        write(&mut ledger, 2, &body(A, 1));
        assert_eq!(write(&mut ledger, 1, &body(A, 0)), 200);
        let Report { rows, events, repeats, changed, doubled, out_of_order, .. } = ledger.report();
        assert_eq!((rows, events, repeats, changed, doubled, out_of_order), (2, 2, 1, 0, 0, 0));
        write(&mut ledger, 1, &format!("{} ", body(A, 0)));
        assert_eq!((ledger.report().repeats, ledger.report().changed), (2, 1));
    }

    #[test]
    fn an_event_under_two_keys_is_doubled() {
        let mut ledger = Ledger::new(10);
        write(&mut ledger, 1, &body(A, 0));
        write(&mut ledger, 2, &body(A, 0));
        assert_eq!((ledger.report().doubled, ledger.report().rows, ledger.report().events), (1, 2, 1));
    }

    #[test]
    fn two_events_under_one_key_overwrite() {
        let mut ledger = Ledger::new(10);
        write(&mut ledger, 1, &body(A, 0));
        write(&mut ledger, 1, &body(B, 0));
        assert_eq!((ledger.report().overwritten, ledger.report().repeats), (1, 0));
    }

    #[test]
    fn an_earlier_event_after_a_later_one_is_out_of_order() {
        let mut ledger = Ledger::new(10);
        for ordinal in [0, 2, 1, 3] {
            write(&mut ledger, u64::from(ordinal), &body(A, ordinal));
        }
        write(&mut ledger, 9, &body(B, 0));
        assert_eq!(ledger.report().out_of_order, 1);
    }

    #[test]
    fn what_was_refused_has_no_effect() {
        let mut ledger = Ledger::new(10);
        ledger.refuse(2, Some(Tag::new(A, 1)), 503);
        write(&mut ledger, 1, &body(A, 0));
        write(&mut ledger, 2, &body(A, 1));
        let report = ledger.report();
        assert_eq!((report.refused, report.events, report.out_of_order, report.repeats), (1, 2, 0, 0));
    }

    #[test]
    fn untagged_bodies_are_counted_and_old_entries_dropped() {
        let mut ledger = Ledger::new(2);
        for row in 0..3 {
            write(&mut ledger, row, "{}");
        }
        assert_eq!((ledger.report().untagged, ledger.report().rows), (3, 3));
        assert_eq!(ledger.entries().map(|entry| entry.row).collect::<Vec<_>>(), [1, 2]);
    }
}
