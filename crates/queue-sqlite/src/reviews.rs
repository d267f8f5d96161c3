//! Rows of what people have said about groups of dead letters.

use event::Timestamp;
use queue::{By, DeadLetterId, Fingerprint, REVIEWS_MAX, Review, ReviewState};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::{REVIEWS, text};

/// Keeps a state, up to the newest letter that there ever was; returns it with that. The oldest beyond the limit go.
pub(crate) fn store(connection: &Connection, review: Review) -> Result<Review, Failed> {
    const STORING: &str = "storing the state of a group";
    let newest: i64 = connection
        .query_row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dead_letters'", [], |row| {
            row.get(0)
        })
        .place(STORING)?;
    let sql = "INSERT OR REPLACE INTO reviews (fingerprint, state, at, who, why, seen, crc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = [
        ValueRef::Integer(i64::from_ne_bytes(review.group.0.to_ne_bytes())),
        text(review.state.as_str()),
        ValueRef::Integer(review.by.at.as_millis()),
        text(&review.by.name),
        text(&review.by.reason),
        ValueRef::Integer(newest),
    ];
    REVIEWS.execute(connection, sql, &row, STORING)?;
    let surplus = "DELETE FROM reviews WHERE fingerprint IN (SELECT fingerprint FROM reviews ORDER BY at DESC LIMIT -1 OFFSET ?1)";
    connection.execute(surplus, [place(REVIEWS_MAX as u64)]).place(STORING)?;
    Ok(Review { seen: DeadLetterId(newest.unsigned_abs()), ..review })
}

/// All of them, the oldest first. Of one that is damaged the group is open, which is what it may always be.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Review>, Failed> {
    const READING: &str = "reading the states of groups";
    let sql = format!("SELECT {} FROM reviews ORDER BY at, fingerprint", REVIEWS.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    let mut reviews = Vec::new();
    while let Some(row) = rows.next().place(READING)? {
        if !REVIEWS.is_intact(row).place(READING)? {
            continue;
        }
        let read = || {
            let at = Timestamp::from_millis(row.get(2)?);
            let by = By::new(row.get::<_, String>(3)?, at).because(row.get::<_, String>(4)?);
            let group = Fingerprint(u64::from_ne_bytes(row.get::<_, i64>(0)?.to_ne_bytes()));
            let state = ReviewState::from_name(&row.get::<_, String>(1)?).unwrap_or_default();
            Ok(Review { group, state, by, seen: DeadLetterId(row.get::<_, i64>(5)?.unsigned_abs()) })
        };
        reviews.push(read().place(READING)?);
    }
    Ok(reviews)
}
