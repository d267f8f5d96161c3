//! What an archive tells about itself.

use event::Timestamp;
use serde::Serialize;

use crate::Archive;

/// How an archive is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArchiveStatus))]
pub struct Status {
    /// Where it is.
    pub url: String,
    /// Everything up to this place of the log is exported; retention drops nothing behind it.
    pub exported_through: u64,
    /// Parts written since start.
    pub parts: u64,
    /// Events written since start.
    pub events: u64,
    /// When a part was written last, since start.
    pub last_export: Option<Timestamp>,
    /// When the oldest event that is not exported was received, as of the last look.
    pub oldest_waiting: Option<Timestamp>,
    /// Why it cannot be used now, if so; what is to be exported is kept.
    pub error: Option<String>,
    /// Since when it has failed.
    pub failing_since: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) exported_through: u64,
    pub(crate) parts: u64,
    pub(crate) events: u64,
    pub(crate) last_export: Option<Timestamp>,
    pub(crate) oldest_waiting: Option<Timestamp>,
    pub(crate) failure: Option<(Timestamp, String)>,
    /// Of putting aside, which the export knows nothing of.
    pub(crate) aside_failure: Option<(Timestamp, String)>,
}

impl Archive {
    /// How it is doing.
    pub fn status(&self) -> Status {
        let told = self.told.lock();
        let failure = told.failure.as_ref().or(told.aside_failure.as_ref());
        Status {
            url: self.store.shown().to_owned(),
            exported_through: told.exported_through,
            parts: told.parts,
            events: told.events,
            last_export: told.last_export,
            oldest_waiting: told.oldest_waiting,
            error: failure.map(|(_, what)| what.clone()),
            failing_since: failure.map(|(since, _)| *since),
        }
    }
}
