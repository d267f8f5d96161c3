//! Erasing a conversation: what is to be erased is looked for by a reader, and erased in pieces by the writer.
//!
//! Nothing of it is left in the file: SQLite overwrites what is deleted ([`Piece`]), and in the end the write-ahead log is
//! emptied. What was deleted before, such as an edited copy that was replaced, may stay in free pages until they are used.

mod look;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use audit::ERASED;
use queue::{By, DeadLetterId, Erased, Erasure, Failure, QueueError, Seq};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::failure::{Failed, Place};
use crate::inbox::Op;
use crate::log::place;
use crate::options::MAX_COMMIT_BYTES;
use crate::reader;
use crate::rows::RETRIES;
use crate::shared::Shared;

const ERASING: &str = "erasing a conversation";
/// Places, letters or blocks of one piece.
const PIECE: usize = 256;
/// How often it is looked once more for what was put at another place meanwhile.
const ROUNDS_MAX: usize = 10;
/// How often it is tried to empty the write-ahead log, and the pause in between.
const EMPTY_TRIES: usize = 40;
const EMPTY_PAUSE: Duration = Duration::from_millis(50);

/// What one transaction erases.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) conversation: String,
    pub(crate) places: Vec<u64>,
    pub(crate) letters: Vec<DeadLetterId>,
    /// Blocks of the audit trail without the texts, and their hashes, which stay.
    pub(crate) blocks: Vec<audit::Block>,
}

/// All that there is of a conversation.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Places whose bodies are still there, and the bytes of these.
    places: Vec<(u64, u64)>,
    letters: Vec<DeadLetterId>,
    blocks: Vec<audit::Block>,
    answers: u64,
    answers_kept: u64,
}

/// Erases a conversation; one at a time.
pub(crate) async fn erase(shared: &Arc<Shared>, erasure: Erasure) -> Result<Erased, QueueError> {
    let Erasure { conversation, dry_run, by } = erasure;
    if conversation.is_empty() {
        return Err(QueueError::Invalid("a conversation has a name".to_owned()));
    }
    let _one = shared.erasing.lock().await;
    let mut erased = Erased::default();
    for round in 0..ROUNDS_MAX {
        let wanted = conversation.clone();
        let found = reader::blocking(shared, move |shared| look::look(shared, &wanted)).await?;
        let nothing = found.places.is_empty() && found.letters.is_empty() && found.blocks.is_empty();
        found.count(shared, &mut erased);
        if dry_run {
            return Ok(erased);
        }
        // Once more if there was anything: a redrive or a replay may have put it at another place meanwhile.
        if nothing && round > 0 {
            break;
        }
        let places: Vec<u64> = found.places.iter().map(|(seq, _)| *seq).collect();
        for piece in pieces(&conversation, found) {
            ask(shared, |reply| Op::Erase { piece: Box::new(piece), by: by.clone(), reply }).await?;
        }
        forget(shared, &places).await;
        if nothing {
            break;
        }
    }
    for _ in 0..EMPTY_TRIES {
        if ask(shared, |reply| Op::EmptyLog { reply }).await? {
            return Ok(Erased { log_emptied: true, ..erased });
        }
        // In real time, for whoever is in the way is a thread: a runtime's own clock may stand still until this returns.
        reader::blocking(shared, |_| {
            std::thread::sleep(EMPTY_PAUSE);
            Ok(())
        })
        .await?;
    }
    Ok(erased)
}

impl Found {
    fn count(&self, shared: &Shared, erased: &mut Erased) {
        let consumers = shared.consumers.read();
        let unsettled = |seq: u64| consumers.iter().filter(|of| of.state.lock().is_unsettled(seq)).count() as u64;
        erased.events += self.places.len() as u64;
        erased.bytes += self.places.iter().map(|(_, bytes)| bytes).sum::<u64>();
        erased.undelivered += self.places.iter().map(|(seq, _)| unsettled(*seq)).sum::<u64>();
        erased.dead_letters += self.letters.len() as u64;
        erased.answers += self.answers;
        // What stays is counted again in every round.
        erased.answers_kept = self.answers_kept;
    }
}

async fn ask<T>(shared: &Shared, op: impl FnOnce(crate::inbox::Reply<T>) -> Op) -> Result<T, QueueError> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    shared.inbox.submit(op(reply))?;
    answer.await.unwrap_or_else(|_| Err(crate::writer::ended()))
}

/// Whatever was read before the bodies were erased is let go of.
async fn forget(shared: &Shared, places: &[u64]) {
    let consumers = shared.consumers.read().clone();
    for consumer in consumers {
        let _turn = consumer.read_turn.lock().await;
        let mut state = consumer.state.lock();
        places.iter().for_each(|seq| state.window.cool(*seq));
    }
}

/// In pieces that fit a transaction. Bodies go before dead letters, so that nothing which waits for one is delivered in
/// between, and the last ones first, so that what is delivered meanwhile is still in order.
fn pieces(conversation: &str, found: Found) -> Vec<Piece> {
    let Found { places, letters, blocks, .. } = found;
    let new = || Piece { conversation: conversation.to_owned(), ..Piece::default() };
    let (mut pieces, mut piece, mut filled) = (Vec::new(), new(), 0);
    for (seq, bytes) in places.into_iter().rev() {
        if piece.places.len() >= PIECE || filled >= MAX_COMMIT_BYTES as u64 {
            pieces.push(std::mem::replace(&mut piece, new()));
            filled = 0;
        }
        piece.places.push(seq);
        filled += bytes;
    }
    pieces.push(piece);
    pieces.iter_mut().for_each(|piece| piece.places.reverse());
    pieces.extend(letters.chunks(PIECE).map(|letters| Piece { letters: letters.to_vec(), ..new() }));
    pieces.extend(blocks.chunks(PIECE).map(|blocks| Piece { blocks: blocks.to_vec(), ..new() }));
    pieces
}

/// Has SQLite overwrite all that is deleted while `erase` works; at other times only what costs no further page, so that
/// nothing stays behind in pages that are in use.
pub(crate) fn overwriting<T>(connection: &Connection, erase: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    let set = |how: &str| connection.pragma_update_and_check(None, "secure_delete", how, |_| Ok(())).place(ERASING);
    set("ON")?;
    let erased = erase();
    set("FAST")?;
    erased
}

/// Erases what an event's deliveries were answered so far.
pub(crate) fn blank_retries(connection: &Connection, destination: u16, seq: u64) -> Result<(), Failed> {
    let sql = format!("SELECT {} FROM retries WHERE destination = ?1 AND seq = ?2", RETRIES.selected(""));
    let mut select = connection.prepare_cached(&sql).place(ERASING)?;
    let mut rows = select.query(params![destination, place(seq)]).place(ERASING)?;
    let Some(row) = rows.next().place(ERASING)? else { return Ok(()) };
    let count = RETRIES.columns.len();
    let mut values = (0..count).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>().place(ERASING)?;
    let Some(Value::Text(failure)) = values.last_mut() else { return Ok(()) };
    let known: Result<Failure, _> = serde_json::from_str(failure);
    *failure = known.map_or_else(
        |_| String::new(),
        |known| crate::dead_letters::failure_json(&Failure { message: ERASED.to_owned(), excerpt: None, ..known }),
    );
    drop(rows);
    let sql = "INSERT OR REPLACE INTO retries (destination, seq, due, made, charged, first, last, failure, crc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values: Vec<_> = values.iter().map(Into::into).collect();
    RETRIES.execute(connection, sql, &values, ERASING)
}

/// What the trail says of a piece.
pub(crate) fn entry(piece: &Piece, by: &By) -> Option<audit::Entry> {
    let places: Vec<Seq> = piece.places.iter().copied().map(Seq).collect();
    let lacks = |block: &audit::Block| (block.number, block.erased().unwrap_or_default());
    let blocks: Vec<(u64, u64)> = piece.blocks.iter().map(lacks).collect();
    let is_some = !places.is_empty() || !blocks.is_empty();
    is_some.then(|| queue::trail::erased(&piece.conversation, &places, blocks, by))
}
