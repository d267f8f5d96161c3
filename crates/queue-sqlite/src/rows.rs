//! Rows with a checksum: every table that a promise rests on, beside the log and the identities, which have their own.
//!
//! A checksum is over the table's name and the columns in their order, so a flipped bit, a row under another key and a
//! row of another table are all noticed. `unmatched` has none: it is a list for people, and no delivery rests on it.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row};

use crate::failure::{Failed, Place};

/// A table with checksums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// What the checksum is over, in this order; the column `crc` comes behind them.
    pub(crate) columns: &'static [&'static str],
    /// How many of the first columns name the row.
    keys: usize,
    /// Names the row where the checksum is not over its key, because that is given only when the row is inserted.
    rowid: Option<&'static str>,
}

pub(crate) const DESTINATIONS: Table =
    Table { name: "destinations", columns: &["id", "name", "watermark", "delivered"], keys: 1, rowid: None };
pub(crate) const CURSOR_CHUNKS: Table =
    Table { name: "cursor_chunks", columns: &["destination", "chunk", "settled"], keys: 2, rowid: None };
pub(crate) const RETRIES: Table = Table {
    name: "retries",
    columns: &["destination", "seq", "due", "made", "charged", "first", "last", "failure"],
    keys: 2,
    rowid: None,
};
/// The body is not among them: it has `body_hash`, and a list is read without bodies.
pub(crate) const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    columns: &[
        "died",
        "destination",
        "seq",
        "event",
        "source",
        "topic",
        "conversation",
        "made",
        "charged",
        "first",
        "last",
        "failure",
        "body_hash",
    ],
    keys: 0,
    rowid: Some("id"),
};
pub(crate) const STATE: Table = Table {
    name: "state",
    columns: &["one", "last_seq", "floor", "duplicates", "conflicts", "unmatched", "redriven", "replayed"],
    keys: 1,
    rowid: None,
};
pub(crate) const REPLAYS: Table = Table {
    name: "replays",
    columns: &["id", "selection", "destination", "position", "queued", "not_routed", "done", "began", "changed"],
    keys: 1,
    rowid: None,
};
pub(crate) const EDITS: Table =
    Table { name: "edits", columns: &["letter", "at", "who", "why", "body"], keys: 1, rowid: None };
pub(crate) const REVIEWS: Table =
    Table { name: "reviews", columns: &["fingerprint", "state", "at", "who", "why", "seen"], keys: 1, rowid: None };
pub(crate) const NOTES: Table = Table { name: "notes", columns: &["destination", "note"], keys: 1, rowid: None };
pub(crate) const PUT_ASIDE: Table =
    Table { name: "put_aside", columns: &["destination", "count"], keys: 1, rowid: None };
pub(crate) const AUDIT_INDEX: Table =
    Table { name: "audit_index", columns: &["first", "last", "filter"], keys: 1, rowid: None };
/// Those that got their checksums with format 2.
pub(crate) const TABLES_OF_2: [Table; 5] = [DESTINATIONS, CURSOR_CHUNKS, RETRIES, DEAD_LETTERS, STATE];
/// All that people and deliveries rest on; a replay whose row is damaged can be begun anew,
/// and of a damaged note or count nothing is known.
pub(crate) const TABLES: [Table; 7] = [DESTINATIONS, CURSOR_CHUNKS, RETRIES, DEAD_LETTERS, STATE, EDITS, REVIEWS];

impl Table {
    /// The columns and the checksum, for a `SELECT`, each with this in front.
    pub(crate) fn selected(&self, prefix: &str) -> String {
        let columns = self.columns.iter().chain(&["crc"]);
        columns.map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ")
    }

    /// The checksum over a row's columns.
    pub(crate) fn checksum(&self, values: &[ValueRef<'_>]) -> i64 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(self.name.as_bytes());
        for value in values {
            // Kind and length first, so that no two rows run together to the same bytes.
            match value {
                ValueRef::Null => crc.update(&[0]),
                ValueRef::Integer(number) => {
                    crc.update(&[1]);
                    crc.update(&number.to_le_bytes());
                }
                ValueRef::Real(number) => {
                    crc.update(&[2]);
                    crc.update(&number.to_le_bytes());
                }
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    crc.update(&[3]);
                    crc.update(&(bytes.len() as u64).to_le_bytes());
                    crc.update(bytes);
                }
            }
        }
        crc.finalize().into()
    }

    /// Executes a statement with a row's columns as its first parameters and their checksum as the next.
    pub(crate) fn execute(
        &self,
        connection: &Connection,
        sql: &str,
        values: &[ValueRef<'_>],
        doing: &str,
    ) -> Result<(), Failed> {
        let mut statement = connection.prepare_cached(sql).place(doing)?;
        for (index, value) in (1..).zip(values) {
            statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(*value)).place(doing)?;
        }
        statement.raw_bind_parameter(values.len() + 1, self.checksum(values)).place(doing)?;
        statement.raw_execute().place(doing).map(drop)
    }

    /// Whether a row that was read is the one that was stored; its first columns are those of [`Table::selected`].
    pub(crate) fn is_intact(&self, row: &Row<'_>) -> Result<bool, rusqlite::Error> {
        let count = self.columns.len();
        let values = (0..count).map(|column| row.get_ref(column)).collect::<Result<Vec<_>, _>>()?;
        Ok(row.get_ref(count)? == ValueRef::Integer(self.checksum(&values)))
    }

    /// Fails for a row that is not the one that was stored.
    pub(crate) fn check(&self, row: &Row<'_>) -> Result<(), Failed> {
        if self.is_intact(row).place("checking a row")? {
            return Ok(());
        }
        Err(Failed::Damaged(format!(
            "{}; nothing rests on it safely, so the queue does not start: restore a backup, or run \
             `aftercall check --repair`, which delivers again what it cannot be sure of",
            self.describe(row).place("checking a row")?
        )))
    }

    /// Names a damaged row.
    fn describe(&self, row: &Row<'_>) -> Result<String, rusqlite::Error> {
        let mut keys = Vec::new();
        for (column, name) in self.columns.iter().enumerate().take(self.keys) {
            keys.push(format!("{name} {}", shown(row.get_ref(column)?)));
        }
        if let Some(rowid) = self.rowid {
            keys.push(format!("{rowid} {}", shown(row.get_ref(rowid)?)));
        }
        Ok(format!("the row of `{}` with {} is damaged", self.name, keys.join(", ")))
    }

    /// Reads every row and tells of those that are damaged.
    pub(crate) fn check_all(&self, connection: &Connection, mut find: impl FnMut(String)) -> Result<(), Failed> {
        let doing = "checking rows";
        let rowid = self.rowid.map(|rowid| format!(", {rowid}")).unwrap_or_default();
        let sql = format!("SELECT {}{rowid} FROM {}", self.selected(""), self.name);
        let mut select = connection.prepare(&sql).place(doing)?;
        let mut rows = select.query([]).place(doing)?;
        while let Some(row) = rows.next().place(doing)? {
            if !self.is_intact(row).place(doing)? {
                find(self.describe(row).place(doing)?);
            }
        }
        Ok(())
    }

    /// The condition that names a row by its columns, as parameters.
    pub(crate) fn key_columns(&self) -> Vec<&'static str> {
        self.rowid.map_or_else(|| self.columns[..self.keys].to_vec(), |rowid| vec![rowid])
    }
}

/// An optional number.
pub(crate) fn maybe(number: Option<i64>) -> ValueRef<'static> {
    number.map_or(ValueRef::Null, ValueRef::Integer)
}

/// A text.
pub(crate) fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_checksum() {
        let of = |values: &[ValueRef<'_>]| RETRIES.checksum(values);
        let one = of(&[ValueRef::Integer(1), text("a"), ValueRef::Null]);
        assert_eq!(one, of(&[ValueRef::Integer(1), ValueRef::Blob(b"a"), maybe(None)]));
        assert_ne!(one, of(&[ValueRef::Integer(2), text("a"), ValueRef::Null]));
        assert_ne!(one, of(&[ValueRef::Integer(1), text("a")]));
        assert_ne!(of(&[text("ab"), text("c")]), of(&[text("a"), text("bc")]));
        assert_ne!(STATE.checksum(&[]), DESTINATIONS.checksum(&[]));
    }
}
