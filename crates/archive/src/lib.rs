//! Accepted events in object storage, and the way back into the queue.
//!
//! | what | where below the archive's root | written |
//! |---|---|---|
//! | the events of an hour, in parts | `events/2026-03-19/21/00000000000000000017.ndjson.zst` | when the hour is closed |
//! | what a part holds, and its checksum | the same, `.json` | after the part |
//! | what was put aside while a destination was down | `outages/crm/2026-03-19/21/….ndjson.zst`, `.json` | at once |
//! | a part that something was erased from | the same, `.1.ndjson.zst` and on; the manifest names it | when asked to |
//! | that it was replayed | the same, `.replayed` | after the replay of the part |
//!
//! The manifest of a part is what commits it: an object without one is as if it were not there, and is written again. A
//! manifest also says how far the export has come ([`progress`]), so a crash, or a lost state file, repeats nothing and
//! leaves nothing out. An object is checked against its manifest before any line of it is used.

mod chain;
mod codec;
mod erase;
mod error;
mod export;
mod hour;
mod manifest;
mod outage;
mod part;
mod progress;
mod replay;
mod service;
mod state;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

pub use erase::ErasedParts;
pub use error::Error;
pub use manifest::{Kind, Manifest};
pub use outage::PutAsidePart;
pub use replay::{Choice, DryRun, Filter, From as ReplayFrom, Stepped, step, try_out, write_off};
pub use status::Status;
pub use store::Store;
pub use verify::{Listed, Verified, VerifiedPage};

use crate::state::StateFile;
use crate::status::Told;

/// An archive: where it is, how far the export has come, and what was read last.
#[derive(Debug)]
pub struct Archive {
    store: Store,
    state: StateFile,
    /// How far the export has come; one export at a time holds it.
    exporting: tokio::sync::Mutex<Option<progress::Progress>>,
    /// Held to read while something is put aside, and to write while something is erased or written off.
    putting: tokio::sync::RwLock<()>,
    told: Mutex<Told>,
    /// The part that was read and checked last, because a replay takes many steps for one.
    cached: Mutex<Option<(String, Bytes)>>,
    wake: tokio::sync::Notify,
}

impl Archive {
    /// An archive at a place. What was exported is remembered in a file in this directory too, so that retention can go on
    /// while the place cannot be reached.
    pub fn new(store: Store, data_dir: &std::path::Path) -> Arc<Self> {
        let state = StateFile::in_dir(data_dir, store.shown());
        let known = state.read();
        let told = Told { exported_through: known.as_ref().map_or(0, |known| known.after), ..Told::default() };
        Arc::new(Self {
            store,
            state,
            exporting: tokio::sync::Mutex::new(None),
            putting: tokio::sync::RwLock::new(()),
            told: Mutex::new(told),
            cached: Mutex::new(None),
            wake: tokio::sync::Notify::new(),
        })
    }
}
