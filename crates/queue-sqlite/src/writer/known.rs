//! What the writer begins with: read from the tables, and behind the place up to which they are written, worked out.

use std::time::Duration;

use rusqlite::Connection;

use super::Counters;
use crate::dedupe::Dedupe;
use crate::failure::Failed;
use crate::late::Late;
use crate::trail::Trail;

/// What the writer begins with.
pub(crate) struct Known {
    pub(crate) dedupe: Dedupe,
    pub(crate) trail: Trail,
    pub(crate) late: Late,
    pub(crate) counters: Counters,
}

impl Known {
    /// Reads back what was known.
    pub(crate) fn load(connection: &Connection, dedupe_window: Duration, seal_at: usize) -> Result<Self, Failed> {
        let seconds = u32::try_from(dedupe_window.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let (mut counters, through) = Counters::load(connection)?;
        let dedupe = Dedupe::load(connection, seconds, seal_at, through)?;
        let late = Late::load(connection, through, counters.last_seq)?;
        counters.unmatched += late.unwritten();
        Ok(Self { dedupe, trail: Trail::load(connection)?, late, counters })
    }
}
