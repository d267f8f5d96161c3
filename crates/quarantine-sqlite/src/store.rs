//! The rows: put in, pushed out, listed, read, taken out. Used by the thread alone, inside its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Timestamp;
use intake::{KeyUse, QuarantineEntry, QuarantineQuery, QuarantineSelection, Quarantined, Reason};
use queue::Mention;
use rusqlite::{Connection, params};

use crate::failure::Failed;
use crate::options::{KEY_USES_MAX, Options};
use crate::{row, schema};

/// What is kept of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// The open file.
pub(crate) struct Store {
    connection: Connection,
    max: Kept,
    kept: BTreeMap<Arc<str>, Kept>,
}

impl Store {
    /// Opens the file, and pushes out what is over limits that were lowered.
    pub(crate) fn open(options: &Options) -> Result<Self, Failed> {
        let connection = schema::open(&options.dir)?;
        let max = Kept { requests: options.requests.max(1), bytes: options.bytes };
        let mut store = Self { connection, max, kept: BTreeMap::new() };
        store.count()?;
        store.begin()?;
        for source in store.kept.keys().cloned().collect::<Vec<_>>() {
            store.push_out(&source)?;
        }
        store.commit()?;
        Ok(store)
    }

    /// As if the disk had room for so many pages.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0);
        assert_eq!(self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], set).unwrap(), pages);
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, Kept)> {
        self.kept.iter().map(|(source, kept)| (&**source, *kept))
    }

    pub(crate) fn kept_of(&self, source: &str) -> Kept {
        self.kept.get(source).copied().unwrap_or_default()
    }

    pub(crate) fn begin(&self) -> Result<(), Failed> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(crate) fn commit(&self) -> Result<(), Failed> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Undoes what was not committed.
    pub(crate) fn roll_back(&mut self) -> Result<(), Failed> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.count()
    }

    /// Puts a request in, and returns how many others that pushed out.
    pub(crate) fn insert(&mut self, request: &Quarantined) -> Result<u64, Failed> {
        let (headers, size) = (row::encode_headers(&request.headers), row::size(request) as u64);
        let credential = request.credential.as_ref().map(row::encode_credential);
        let (source, sender, reason) = (&*request.source, request.sender.to_string(), request.reason.code());
        let received = request.received.as_millis();
        let crc = row::checksum([source, &sender, reason], received, &headers, credential.as_deref(), &request.body);
        self.connection
            .prepare_cached(
                "INSERT INTO requests (source, received, sender, reason, size, headers, credential, crc, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                source,
                received,
                sender,
                reason,
                size as i64,
                headers,
                credential,
                crc,
                &request.body[..]
            ])?;
        let kept = self.kept.entry(Arc::clone(&request.source)).or_default();
        (kept.requests, kept.bytes) = (kept.requests + 1, kept.bytes + size);
        self.push_out(&request.source)
    }

    /// Deletes the oldest of a source while it has more than it may.
    fn push_out(&mut self, source: &Arc<str>) -> Result<u64, Failed> {
        let mut pushed_out = 0;
        let kept = self.kept.entry(Arc::clone(source)).or_default();
        while kept.requests > self.max.requests || kept.bytes > self.max.bytes {
            let mut oldest = self.connection.prepare_cached(
                "DELETE FROM requests WHERE id = (SELECT id FROM requests WHERE source = ?1 ORDER BY id LIMIT 1)
                 RETURNING size",
            )?;
            let size: i64 = oldest.query_row([&**source], |row| row.get(0))?;
            kept.requests = kept.requests.saturating_sub(1);
            kept.bytes = kept.bytes.saturating_sub(size.unsigned_abs());
            pushed_out += 1;
        }
        Ok(pushed_out)
    }

    pub(crate) fn list(&self, query: &QuarantineQuery) -> Result<Vec<QuarantineEntry>, Failed> {
        let columns = "id, source, received, sender, reason, length(body), size";
        let after = query.after.map_or(-1, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let of = if query.source.is_some() { "source = ?3" } else { "?3 IS NULL" };
        let sql = format!("SELECT {columns} FROM requests WHERE {of} AND id > ?1 ORDER BY id LIMIT ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        let entries = select.query_map(params![after, limit, query.source], |row| {
            let (sender, reason): (String, String) = (row.get(3)?, row.get(4)?);
            Ok(QuarantineEntry {
                id: row.get::<_, i64>(0)?.unsigned_abs(),
                source: row.get::<_, String>(1)?.into(),
                received: Timestamp::from_millis(row.get(2)?),
                sender: sender.parse().unwrap_or_else(|_| std::net::Ipv4Addr::UNSPECIFIED.into()),
                reason: Reason::from_code(&reason).map_or("unknown", Reason::code),
                body_bytes: row.get::<_, i64>(5)?.unsigned_abs(),
                bytes: row.get::<_, i64>(6)?.unsigned_abs(),
            })
        })?;
        Ok(entries.collect::<Result<_, _>>()?)
    }

    pub(crate) fn read(&self, id: u64) -> Result<Option<Quarantined>, Failed> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let sql = format!("SELECT {} FROM requests WHERE id = ?1", row::COLUMNS);
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query([id])?;
        match rows.next()? {
            None => Ok(None),
            Some(found) => match row::decode(found)? {
                Some(request) => Ok(Some(request)),
                None => Err(Failed::Passing(format!(
                    "request {id} is damaged on disk; drop it with `aftercall quarantine drop {id}`"
                ))),
            },
        }
    }

    /// Takes requests out, and returns how many there were.
    pub(crate) fn remove(&mut self, which: &QuarantineSelection) -> Result<u64, Failed> {
        let removed = match which {
            QuarantineSelection::Ids(ids) => {
                let mut delete = self.connection.prepare_cached("DELETE FROM requests WHERE id = ?1")?;
                let ids = ids.iter().filter_map(|id| i64::try_from(*id).ok());
                ids.map(|id| delete.execute([id])).sum::<Result<usize, _>>()?
            }
            QuarantineSelection::Source(source) => {
                self.connection.execute("DELETE FROM requests WHERE source = ?1", [source])?
            }
            QuarantineSelection::All => self.connection.execute("DELETE FROM requests", [])?,
        };
        self.after_removal(removed)
    }

    /// The requests that mention a conversation in their bodies.
    pub(crate) fn mentioning(&self, conversation: &str) -> Result<Vec<i64>, Failed> {
        let mention = Mention::of(conversation);
        let mut select = self.connection.prepare_cached("SELECT id, body FROM requests ORDER BY id")?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get_ref(1)?.as_blob_or_null().ok().flatten().is_some_and(|body| mention.is_in(body)) {
                found.push(row.get(0)?);
            }
        }
        Ok(found)
    }

    /// Removes them, and overwrites them in the file.
    pub(crate) fn erase_mentioning(&mut self, conversation: &str) -> Result<u64, Failed> {
        let found = self.mentioning(conversation)?;
        let overwrite = |how: &str| self.connection.pragma_update_and_check(None, "secure_delete", how, |_| Ok(()));
        overwrite("ON")?;
        let removed = {
            let mut delete = self.connection.prepare_cached("DELETE FROM requests WHERE id = ?1")?;
            found.iter().map(|id| delete.execute([id])).sum::<Result<usize, _>>()
        };
        overwrite("FAST")?;
        self.after_removal(removed?)
    }

    /// Copies the write-ahead log into the file and empties it; nobody else reads the file.
    pub(crate) fn empty_log(&self) -> Result<(), Failed> {
        let _busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(())
    }

    /// Drops what came before this time, from the oldest on.
    pub(crate) fn expire(&mut self, before: Timestamp) -> Result<u64, Failed> {
        let mut expired = 0;
        {
            let oldest = "(SELECT id FROM requests ORDER BY id LIMIT 1)";
            let sql = format!("DELETE FROM requests WHERE id = {oldest} AND received < ?1");
            let mut delete = self.connection.prepare_cached(&sql)?;
            while delete.execute([before.as_millis()])? > 0 {
                expired += 1;
            }
        }
        self.after_removal(expired)
    }

    fn after_removal(&mut self, removed: usize) -> Result<u64, Failed> {
        if removed > 0 {
            self.count()?;
        }
        Ok(removed as u64)
    }

    /// Gives empty pages back to the disk.
    pub(crate) fn shrink(&self) -> Result<(), Failed> {
        let mut vacuum = self.connection.prepare_cached("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(())
    }

    /// Counts what is there, by the index alone.
    fn count(&mut self) -> Result<(), Failed> {
        let sql = "SELECT source, count(*), sum(size) FROM requests GROUP BY source";
        let mut select = self.connection.prepare_cached(sql)?;
        let rows = select.query_map([], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok((Arc::from(row.get::<_, String>(0)?), Kept { requests: number(1)?, bytes: number(2)? }))
        })?;
        self.kept = rows.collect::<Result<_, _>>()?;
        Ok(())
    }

    pub(crate) fn key_uses(&self) -> Result<Vec<KeyUse>, Failed> {
        let mut select = self.connection.prepare_cached("SELECT source, fingerprint, last_used, uses FROM key_uses")?;
        let uses = select.query_map([], |row| {
            Ok(KeyUse {
                source: row.get::<_, String>(0)?.into(),
                fingerprint: row.get(1)?,
                last_used: Timestamp::from_millis(row.get(2)?),
                uses: row.get::<_, i64>(3)?.unsigned_abs(),
            })
        })?;
        Ok(uses.collect::<Result<_, _>>()?)
    }

    /// Saves uses; what is known already never goes back.
    pub(crate) fn save_key_uses(&self, uses: &[KeyUse]) -> Result<(), Failed> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO key_uses (source, fingerprint, last_used, uses) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET last_used = max(last_used, excluded.last_used), uses = max(uses, excluded.uses)",
        )?;
        for used in uses {
            let times = i64::try_from(used.uses).unwrap_or(i64::MAX);
            upsert.execute(params![&*used.source, used.fingerprint, used.last_used.as_millis(), times])?;
        }
        self.connection
            .prepare_cached(
                "DELETE FROM key_uses WHERE (source, fingerprint) NOT IN
                 (SELECT source, fingerprint FROM key_uses ORDER BY last_used DESC LIMIT ?1)",
            )?
            .execute([KEY_USES_MAX])?;
        Ok(())
    }
}
