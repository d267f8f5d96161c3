//! Filling a queue with known identities, to measure dedupe at the size of days of traffic. Only with the feature `seed`.

use event::{EventId, Timestamp};
use rusqlite::Connection;

use crate::dedupe::{Entry, SEAL_ENTRIES, Sealed};
use crate::failure::{Failed, Place};
use crate::{Options, open, schema};

/// Makes `count` identities known in an empty queue, as if their events had been received at `received`. The queue must
/// not be open. The `n`th is that of [`seeded`].
///
/// # Errors
/// When the directory cannot be written to, or holds a queue that has runs of identities already.
pub fn seed_identities(options: &Options, count: u64, received: Timestamp) -> Result<(), Failed> {
    open::make_dir(&options.dir)?;
    let connection = schema::open_writer(&options.dir)?;
    let mut run = 1;
    let mut next = 0;
    while next < count {
        let until = count.min(next + SEAL_ENTRIES as u64);
        // Place 0 is no event's, so each of them is taken for a duplicate whatever its body.
        let entries = (next..until).map(|n| *Entry::new(seeded(n), 0, received, n).as_bytes());
        let mut packed: Vec<_> = entries.collect();
        packed.sort_unstable();
        write(&connection, Sealed::new(run, packed))?;
        run += 1;
        next = until;
    }
    Ok(())
}

/// The id of the `n`th identity that was seeded.
pub fn seeded(n: u64) -> EventId {
    EventId::from_identity("seeded", [n.to_le_bytes().as_slice()])
}

fn write(connection: &Connection, mut sealed: Sealed) -> Result<(), Failed> {
    connection.execute_batch("BEGIN IMMEDIATE").place("seeding identities")?;
    sealed.write_chunks(connection, usize::MAX)?;
    sealed.write_run(connection)?;
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").place("seeding identities")
}
