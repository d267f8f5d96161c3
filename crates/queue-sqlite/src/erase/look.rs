//! Looking for all that there is of a conversation: by the index of the audit trail, or by reading everything.
//!
//! The trail knows the places of all events of a conversation, if it goes back as far as the log does. Then what its index
//! does not rule out is read, and the places that it names. Where it does not, or anything in it is not as it was written,
//! the whole log and trail are read: what is to be erased must not be missed.

use std::collections::{BTreeSet, HashSet};

use audit::{Conversation, Story, Subject, What, Whose, Without};
use queue::{DeadLetterId, Mention};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Found;
use crate::failure::{Failed, Place};
use crate::log::{self, place};
use crate::shared::Shared;
use crate::{trail, trail_index};

const LOOKING: &str = "looking for a conversation";
/// Places that are looked at with one statement: a reader must not be in the way of checkpoints for long.
const LOOK_PLACES: usize = 20_000;

/// Everything of a conversation.
pub(super) fn look(shared: &Shared, conversation: &str) -> Result<Found, Failed> {
    match shared.readers.with(|connection| by_index(connection, conversation))? {
        Some(found) => Ok(found),
        None => by_reading(shared, conversation),
    }
}

/// What the trail's index leads to; `None` if the trail does not know all that is in the log, or is damaged.
pub(super) fn by_index(connection: &Connection, conversation: &str) -> Result<Option<Found>, Failed> {
    // All of it as of the same moment.
    let _read = connection.unchecked_transaction().place(LOOKING)?;
    if !trail_index::reaches_back(connection)? {
        return Ok(None);
    }
    let subject = Subject::Conversation(Conversation::of(conversation));
    let (mut story, Ok(_)) = trail_index::story(connection, subject)? else { return Ok(None) };
    let mut found = Found { letters: letters(connection, conversation)?, ..Found::default() };
    for seq in story.places().iter().copied().collect::<BTreeSet<_>>() {
        match at(connection, seq, conversation)? {
            // The trail and the log do not agree.
            Some((false, _)) => return Ok(None),
            Some((true, bytes)) if bytes > 0 => found.places.push((seq, bytes)),
            _ => {}
        }
    }
    let (mut failed, keys) = (None, story.keys());
    let mut whose = |what: &What<u32>| {
        let of_story = story.has(what);
        match what {
            What::Attempted { .. } | What::Died { .. } if of_story => Whose::Mine,
            What::Attempted { seq, .. } | What::Died { seq, .. } => match log::is_erased(connection, *seq) {
                Ok(true) => Whose::Erased,
                Ok(false) => Whose::Others,
                Err(error) => {
                    failed = Some(error);
                    Whose::Others
                }
            },
            _ => Whose::Others,
        }
    };
    let whole = trail_index::chained(connection, &keys, |block| match block.without(&mut whose) {
        Ok(without) => {
            found.add(without);
            true
        }
        Err(_) => false,
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(whole.then_some(found)),
    }
}

/// Whether the event at a place is of the conversation, and the bytes of its body.
fn at(connection: &Connection, seq: u64, conversation: &str) -> Result<Option<(bool, u64)>, Failed> {
    let sql = "SELECT conversation IS ?2, length(body) FROM events WHERE seq = ?1";
    let mut select = connection.prepare_cached(sql).place(LOOKING)?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or(0).unsigned_abs()));
    select.query_row(params![place(seq), conversation], read).optional().place(LOOKING)
}

impl Found {
    /// What a block of the trail has of it.
    fn add(&mut self, Without { block, erased, kept }: Without) {
        self.answers += erased as u64;
        self.answers_kept += kept as u64;
        self.blocks.extend(block);
    }
}

/// The log and the trail from their beginning to their end.
pub(super) fn by_reading(shared: &Shared, conversation: &str) -> Result<Found, Failed> {
    let places = places(shared, conversation)?;
    let letters = shared.readers.with(|connection| letters(connection, conversation))?;
    let mut found = Found { places: places.full, letters, ..Found::default() };
    let mut story = Story::of(Subject::Conversation(Conversation::of(conversation)));
    let mut unreadable = None;
    let whose = |what: &What<u32>| {
        // The trail's beginning may be gone, and with it what says which places are of this conversation.
        let of_story = story.has(what);
        match what {
            What::Attempted { seq, .. } | What::Died { seq, .. } if of_story || places.mine.contains(seq) => {
                Whose::Mine
            }
            What::Attempted { seq, .. } | What::Died { seq, .. } if places.erased.contains(seq) => Whose::Erased,
            _ => Whose::Others,
        }
    };
    let mut whose = whose;
    shared.readers.with(|connection| {
        trail::scan(connection, 0, |block| {
            match block.without(&mut whose) {
                Ok(without) => found.add(without),
                Err(error) => unreadable = Some(error),
            }
            unreadable.is_none()
        })
    })?;
    match unreadable {
        Some(error) => Err(Failed::Transient(format!("{error}; nothing was erased: run `aftercall audit verify`"))),
        None => Ok(found),
    }
}

/// Places in the log.
#[derive(Default)]
struct Places {
    /// Of the conversation, whose bodies are there, and the bytes of these.
    full: Vec<(u64, u64)>,
    /// All of the conversation.
    mine: HashSet<u64>,
    /// Of any conversation, whose bodies were erased.
    erased: HashSet<u64>,
}

fn places(shared: &Shared, conversation: &str) -> Result<Places, Failed> {
    let (mut found, mut after) = (Places::default(), 0);
    loop {
        let looked = shared.readers.with(|connection| {
            let sql = "SELECT seq, conversation IS ?2, length(body) FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?3";
            let mut select = connection.prepare_cached(sql).place(LOOKING)?;
            let mut rows = select.query(params![after, conversation, LOOK_PLACES as i64]).place(LOOKING)?;
            let mut looked = 0;
            while let Some(row) = rows.next().place(LOOKING)? {
                looked += 1;
                after = row.get::<_, i64>(0).place(LOOKING)?;
                let seq = after.unsigned_abs();
                let bytes = row.get::<_, Option<i64>>(2).place(LOOKING)?.unwrap_or(0).unsigned_abs();
                let mine = row.get::<_, bool>(1).place(LOOKING)?;
                if mine {
                    found.mine.insert(seq);
                }
                if bytes == 0 {
                    found.erased.insert(seq);
                } else if mine {
                    found.full.push((seq, bytes));
                }
            }
            Ok(looked)
        })?;
        if looked < LOOK_PLACES {
            return Ok(found);
        }
    }
}

/// Its dead letters, and the bodies that became no event and mention it.
fn letters(connection: &Connection, conversation: &str) -> Result<Vec<DeadLetterId>, Failed> {
    let mention = Mention::of(conversation);
    let sql =
        "SELECT id, conversation IS ?1, body FROM dead_letters WHERE conversation IS ?1 OR seq IS NULL ORDER BY id";
    let mut select = connection.prepare_cached(sql).place(LOOKING)?;
    let mut rows = select.query([conversation]).place(LOOKING)?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next().place(LOOKING)? {
        let body = row.get_ref(2).place(LOOKING)?.as_blob_or_null().ok().flatten();
        if row.get::<_, bool>(1).place(LOOKING)? || body.is_some_and(|body| mention.is_in(body)) {
            letters.push(DeadLetterId(row.get::<_, i64>(0).place(LOOKING)?.unsigned_abs()));
        }
    }
    Ok(letters)
}
