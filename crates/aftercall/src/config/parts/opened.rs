//! What a running server has opened for its destinations, to be taken over by a configuration that is read anew.
//!
//! A file is locked by whoever writes it, so one that is open already is never opened again: the configuration that
//! names it gets the same writer, whatever else has changed about the destination, its name included.

use std::path::Path;
use std::sync::Arc;

use super::super::Platform;
use super::super::file::{DestinationKind, DestinationTable};
use super::Made;
use crate::config::genesys::GenesysTable;

/// What a destination is made of. Two that are equal need not be told apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) table: DestinationTable,
    /// What was in the file of certificates.
    pub(crate) ca: Option<Vec<u8>>,
    /// The platform that it asks, if it asks one.
    pub(crate) platform: Option<GenesysTable>,
}

/// The destinations of a running server; at its start there is none, and one that cannot be used does not keep the others
/// from running.
#[derive(Default)]
pub(crate) struct Opened {
    destinations: Option<Vec<(Arc<str>, Setting, Made)>>,
    pub(super) platform: Option<Platform>,
}

impl Opened {
    /// What a running server has opened.
    pub(crate) fn by(running: impl Iterator<Item = (Arc<str>, Setting, Made)>, platform: Option<Platform>) -> Self {
        Self { destinations: Some(running.collect()), platform }
    }

    /// No server runs yet.
    pub(super) fn at_start(&self) -> bool {
        self.destinations.is_none()
    }

    /// The destination that can be taken over for this one.
    pub(super) fn find(&self, name: &str, wanted: &Setting) -> Option<Made> {
        let same = |known: &str, setting: &Setting| match wanted.table.kind {
            // The path is all that a file is opened by; what else may not stand there is checked all the same.
            DestinationKind::File => known_file(&setting.table) == known_file(&wanted.table),
            DestinationKind::Parquet => known == name && same_files(&setting.table, &wanted.table),
            DestinationKind::Http
            | DestinationKind::Postgres
            | DestinationKind::Objects
            | DestinationKind::Sqs
            | DestinationKind::EventBridge
            | DestinationKind::Transcripts => known == name && setting == wanted,
        };
        let mut known = self.destinations.iter().flatten();
        known.find(|(known, setting, _)| same(known, setting)).map(|(.., opened)| opened.clone())
    }
}

/// Whether two destinations write the same files: how they are delivered to does not matter, and the journal of one that
/// is open cannot be opened again.
pub(crate) fn same_files(known: &DestinationTable, wanted: &DestinationTable) -> bool {
    let files = |table: &DestinationTable| DestinationTable {
        order: wanted.order,
        behind_dead: wanted.behind_dead,
        concurrency: wanted.concurrency,
        timeout: wanted.timeout,
        attempts: wanted.attempts,
        backoff: wanted.backoff,
        breaker: wanted.breaker,
        adaptive: wanted.adaptive,
        rate: wanted.rate,
        max_payload: wanted.max_payload,
        on_outage: wanted.on_outage,
        ..table.clone()
    };
    files(known) == *wanted
}

/// The file that a destination writes, if it is one of that kind.
fn known_file(table: &DestinationTable) -> Option<&Path> {
    (table.kind == DestinationKind::File).then_some(table.path.as_deref()).flatten()
}
