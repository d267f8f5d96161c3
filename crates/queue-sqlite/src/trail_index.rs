//! What finds the entries of the audit trail about something without reading all of it: for each run of blocks a Bloom
//! filter over the [keys](audit::What::keys) of their entries.
//!
//! It is made in upkeep, of blocks that are durable, so no commit pays for it; the newest blocks, which have no filter yet,
//! are read. It is worked out from the trail and can be lost: a run whose filter is damaged is read as if it had none. A
//! crash leaves runs with filters and runs without.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use audit::{Block, Chain, Entry, Key, Link, Story, Subject, Unreadable, What};
use event::EventId;
use fastbloom::BloomFilter;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::failure::{Failed, Place};
use crate::log::{self, Checked, place};
use crate::rows::AUDIT_INDEX;
use crate::trail::{BEFORE_TRAIL, begins, scan};

/// Keys of one filter: of some thousand entries, which are decoded in milliseconds when it says that it has a key.
const RUN_KEYS: usize = 8_192;
/// Bits and hashes for each key: one run in thousands is read in vain, also when a story has hundreds of keys.
const FILTER_BITS: usize = 16;
const FILTER_HASHES: u32 = 8;
/// Runs that one piece of upkeep makes, so that the row of each is a small part of its commit.
const RUNS_OF_A_PIECE: usize = 4;

const READING: &str = "reading the index of the audit trail";
const WRITING: &str = "writing the index of the audit trail";

/// The table. A database that an older program has written gets it too; one that goes on with it leaves blocks without a
/// filter, and nothing else.
pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS audit_index (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, filter BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;";

/// A run of blocks with its filter.
#[derive(Debug)]
pub(crate) struct Run {
    first: u64,
    last: u64,
    filter: Vec<u8>,
}

/// The filters of the next runs that have none; fewer than are asked for if there are not so many keys yet.
pub(crate) fn build(connection: &Connection) -> Result<Vec<Run>, Failed> {
    build_of(connection, RUN_KEYS)
}

pub(crate) fn build_of(connection: &Connection, run_keys: usize) -> Result<Vec<Run>, Failed> {
    let indexed: Option<i64> =
        connection.query_row("SELECT max(last) FROM audit_index", [], |row| row.get(0)).place(READING)?;
    let (mut runs, mut first, mut keys, mut unreadable) = (Vec::new(), None, Vec::new(), false);
    scan(connection, indexed.unwrap_or(0).unsigned_abs(), |block| {
        let read = block.entries_where(|what| {
            what.keys(|key| keys.push(key));
            false
        });
        unreadable |= read.is_err();
        let begin = *first.get_or_insert(block.number);
        if keys.len() >= run_keys {
            // What cannot be read may be about anything: whoever asks for something reads it too, and is told.
            let filter = if unreadable { Vec::new() } else { filter(&keys) };
            runs.push(Run { first: begin, last: block.number, filter });
            (first, unreadable) = (None, false);
            keys.clear();
        }
        runs.len() < RUNS_OF_A_PIECE
    })?;
    Ok(runs)
}

/// Whether [`build`] has made as many as it makes at a time.
pub(crate) fn may_be_more(runs: &[Run]) -> bool {
    runs.len() >= RUNS_OF_A_PIECE
}

/// Stores filters, and drops those of blocks that retention has dropped.
pub(crate) fn store(connection: &Connection, runs: &[Run]) -> Result<(), Failed> {
    let sql = "INSERT OR REPLACE INTO audit_index (first, last, filter, crc) VALUES (?1, ?2, ?3, ?4)";
    for Run { first, last, filter } in runs {
        let row = [ValueRef::Integer(place(*first)), ValueRef::Integer(place(*last)), ValueRef::Blob(filter)];
        AUDIT_INDEX.execute(connection, sql, &row, WRITING)?;
    }
    if !runs.is_empty() {
        let gone = "DELETE FROM audit_index WHERE last <= (SELECT block FROM audit_start)";
        connection.execute(gone, []).place(WRITING)?;
    }
    Ok(())
}

/// The entries about a subject, in their order.
pub(crate) fn trace(connection: &Connection, subject: Subject) -> Result<Result<Vec<Entry>, Unreadable>, Failed> {
    // The index and the blocks as of the same moment.
    let _read = connection.unchecked_transaction().place(READING)?;
    story(connection, subject).map(|(_, found)| found)
}

/// The newest event with this id that is in the log: as it was accepted, or else as it is there again. By the places that
/// the trail knows; of what is older than the trail, the log is read.
pub(crate) fn event(connection: &Connection, id: EventId) -> Result<Option<Checked>, Failed> {
    let (story, _) = {
        let _read = connection.unchecked_transaction().place(READING)?;
        story(connection, Subject::Event(id))?
    };
    let mut places: Vec<_> = story.places().iter().copied().collect();
    places.sort_unstable_by_key(|place| Reverse(*place));
    let mut again = None;
    for place in places {
        match log::read_one(connection, place)? {
            Some(Ok(stored)) if stored.event.id == id && stored.again.is_none() => return Ok(Some(Ok(stored))),
            Some(Ok(stored)) if stored.event.id == id => again = again.or(Some(Ok(stored))),
            _ => {}
        }
    }
    match again {
        Some(found) => Ok(Some(found)),
        None => log::find(connection, id),
    }
}

/// Whether the trail knows of all that is in the log: it has the entry about the oldest. Within a transaction of the caller's.
pub(crate) fn reaches_back(connection: &Connection) -> Result<bool, Failed> {
    let oldest: Option<i64> =
        connection.query_row("SELECT min(seq) FROM events", [], |row| row.get(0)).place(READING)?;
    let Some(oldest) = oldest.map(i64::unsigned_abs) else { return Ok(true) };
    let Some(Ok(stored)) = log::read_one(connection, oldest)? else { return Ok(false) };
    let (_, Ok(entries)) = story(connection, Subject::Event(stored.event.id))? else { return Ok(false) };
    Ok(entries.iter().any(|entry| match &entry.what {
        // When the trail began, what was in the log again was not noted.
        What::Received { seq, proof, .. } => *seq == oldest && **proof != *BEFORE_TRAIL,
        What::Redriven { again, .. } | What::Replayed { again, .. } => *again == oldest,
        _ => false,
    }))
}

/// Shows all blocks that may have one of the keys, as long as `each` goes on. Returns whether it did to the end and each of
/// them was as it was chained to the one before. Within a transaction of the caller's.
pub(crate) fn chained(
    connection: &Connection,
    keys: &BTreeSet<Key>,
    mut each: impl FnMut(&Block) -> bool,
) -> Result<bool, Failed> {
    let begins = begins(connection)?;
    for (first, last) in candidates(connection, keys)? {
        let (mut chain, mut whole) = (Chain::behind(begins), true);
        // From the one before, whose hash the first is chained to.
        scan(connection, first.saturating_sub(2), |block| {
            if block.number > last {
                return false;
            }
            if block.number < first {
                chain = Chain::behind(Link { number: block.number, hash: block.hash });
                return true;
            }
            whole = chain.next(&block).is_ok() && each(&block);
            whole
        })?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Goes through what the index does not rule out, until nothing more is known to look for. Within a transaction of the
/// caller's, so that the index and the blocks are as of the same moment.
pub(crate) fn story(
    connection: &Connection,
    subject: Subject,
) -> Result<(Story, Result<Vec<Entry>, Unreadable>), Failed> {
    let mut keys = Story::of(subject).keys();
    loop {
        let mut story = Story::of(subject);
        let mut found = Ok(Vec::new());
        for (first, last) in candidates(connection, &keys)? {
            scan(connection, first.saturating_sub(1), |block| {
                if block.number > last {
                    return false;
                }
                match (block.entries_where(|what| story.has(what)), &mut found) {
                    (Ok(entries), Ok(found)) => found.extend(entries),
                    (Err(unreadable), _) => found = Err(unreadable),
                    _ => {}
                }
                found.is_ok()
            })?;
        }
        // What was found names more to look for: the places of its events, and their dead letters.
        let known = story.keys();
        if found.is_err() || known.is_subset(&keys) {
            return Ok((story, found));
        }
        keys.extend(known);
    }
}

/// The blocks that may have one of the keys, in their order: the runs whose filters say so, and what has no filter.
fn candidates(connection: &Connection, keys: &BTreeSet<Key>) -> Result<Vec<(u64, u64)>, Failed> {
    let sql = format!("SELECT {} FROM audit_index ORDER BY first", AUDIT_INDEX.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    let (mut found, mut behind) = (Vec::new(), 0);
    while let Some(row) = rows.next().place(READING)? {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs).place(READING);
        if !AUDIT_INDEX.is_intact(row).place(READING)? {
            // Whatever its row says, it reaches to where the next one begins.
            continue;
        }
        let (first, last) = (number(0)?, number(1)?);
        if first > behind + 1 {
            found.push((behind + 1, first - 1));
        }
        let filter = opened(row.get_ref(2).place(READING)?.as_blob().unwrap_or_default());
        if filter.is_none_or(|filter| keys.iter().any(|key| filter.contains_hash(*key))) {
            found.push((first, last));
        }
        behind = last;
    }
    found.push((behind + 1, u64::MAX));
    Ok(found)
}

fn filter(keys: &[Key]) -> Vec<u8> {
    let mut filter = BloomFilter::with_num_bits(keys.len() * FILTER_BITS).seed(&0).hashes(FILTER_HASHES);
    for key in keys {
        filter.insert_hash(*key);
    }
    filter.as_slice().iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn opened(bytes: &[u8]) -> Option<BloomFilter> {
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    (!words.is_empty()).then(|| BloomFilter::from_vec(words).seed(&0).hashes(FILTER_HASHES))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use audit::{Conversation, Digest, Outcome};
    use event::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::AUDIT_TABLES;
    use crate::trail::Trail;

    fn id(number: u8) -> EventId {
        EventId::from_hash([number; 16])
    }

    fn what(kind: u8, a: u8, b: u8) -> What {
        let text = || Arc::<str>::from("crm");
        let (seq, conversation) = (u64::from(a), Conversation::of(&format!("c{}", b % 7)));
        match kind % 9 {
            0 | 1 => What::Received {
                seq,
                event: id(a),
                source: text(),
                topic: text(),
                conversation: (b < 200).then_some(conversation),
                body: Digest::default(),
                proof: text(),
                conflict_of: (b > 220).then(|| id(b)),
                destinations: vec![text()],
            },
            2 => What::Attempted { seq, destination: text(), outcome: Outcome::PutAside { part: text() } },
            3 => What::Died { letter: b.into(), seq, destination: text(), reason: text() },
            4 => What::Redriven {
                letter: a.into(),
                seq: b.into(),
                again: u64::from(b) + 9,
                destination: text(),
                by: text(),
            },
            5 => What::Duplicate { event: id(a), source: text(), proof: text() },
            6 => What::Discarded {
                letter: a.into(),
                seq: (b < 99).then_some(b.into()),
                destination: None,
                by: text(),
                reason: text(),
            },
            7 => What::Replayed {
                event: id(a),
                conversation: Some(conversation),
                again: b.into(),
                destination: text(),
                replay: text(),
            },
            _ => What::Erased { conversation, places: vec![seq], blocks: vec![], by: text(), reason: text() },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// With an index of whatever runs, with a damaged one and without one the same is found.
        #[test]
        fn what_is_found_by_the_index_is_what_is_found_without_one(
            entries in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()), 1..400),
            run_keys in 1usize..60,
            damaged in any::<prop::sample::Index>(),
        ) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(AUDIT_TABLES).unwrap();
            connection.execute_batch(TABLE).unwrap();
            let mut trail = Trail::load(&connection).unwrap();
            for (number, (kind, a, b, ends)) in (0..).zip(entries) {
                trail.push(&connection, Entry { at: Timestamp::from_millis(number), what: what(kind, a % 40, b) }).unwrap();
                if ends {
                    trail.write(&connection).unwrap();
                    trail.committed();
                }
            }
            trail.write(&connection).unwrap();
            let subjects = || {
                let conversations = (0..7).map(|n| Subject::Conversation(Conversation::of(&format!("c{n}"))));
                conversations.chain((0..40).step_by(3).map(|n| Subject::Event(id(n))))
            };
            let all = || -> Vec<_> { subjects().map(|subject| trace(&connection, subject).unwrap().unwrap()).collect() };
            let expected = all();
            loop {
                let runs = build_of(&connection, run_keys).unwrap();
                store(&connection, &runs).unwrap();
                prop_assert_eq!(&all(), &expected);
                if !may_be_more(&runs) {
                    break;
                }
            }
            let rows: u32 = connection.query_row("SELECT count(*) FROM audit_index", [], |row| row.get(0)).unwrap();
            if rows > 0 {
                let sql = "UPDATE audit_index SET last = last + 3, filter = zeroblob(8) WHERE first =
                           (SELECT first FROM audit_index ORDER BY first LIMIT 1 OFFSET ?1)";
                connection.execute(sql, [damaged.index(rows as usize) as u32]).unwrap();
                prop_assert_eq!(&all(), &expected);
            }
        }
    }
}
