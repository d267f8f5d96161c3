//! What says which parts there are, and what they hold.

use event::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::chain::Before;
use crate::hour::Hour;
use crate::progress::Progress;

/// Counts up when lines or manifests change.
pub(crate) const FORMAT: u32 = 1;
/// The end of a part's name.
pub(crate) const DATA: &str = ".ndjson.zst";
/// The end of a manifest's name.
pub(crate) const MANIFEST: &str = ".json";
/// The end of what says that a part was replayed.
pub(crate) const REPLAYED: &str = ".replayed";

/// Which of the two collections a part is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Accepted events of closed hours.
    Events,
    /// What was put aside for a destination while it was down.
    Outage(String),
}

impl Kind {
    /// The folder of its days.
    pub(crate) fn root(&self) -> Path {
        match self {
            Self::Events => Path::from("events"),
            Self::Outage(destination) => Path::from(format!("outages/{}", folder(destination))),
        }
    }

    /// The name of a part without its end.
    pub(crate) fn stem(&self, hour: Hour, name: &str) -> String {
        format!("{}/{hour}/{name}", self.root())
    }
}

/// The name of a destination as that of a folder: a name may have any sign, and an object store has its own idea of some.
fn folder(destination: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let sign = |byte: u8| if kept(byte) { char::from(byte).to_string() } else { format!("={byte:02x}") };
    destination.bytes().map(sign).collect()
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// The part's object, below the archive's root.
    pub object: String,
    /// Bytes of the object, and of the lines in it.
    pub bytes: u64,
    /// Bytes of the lines before they were compressed.
    pub lines_bytes: u64,
    /// Checksum of the object, in hex.
    pub sha256: String,
    /// Events in it.
    pub count: u64,
    /// Place in the log of the first one.
    pub first_seq: u64,
    /// Place in the log of the last one.
    pub last_seq: u64,
    /// The id of the last one.
    pub last_id: String,
    /// When the first and the last of them were received, by time.
    pub earliest: Timestamp,
    /// See `earliest`.
    pub latest: Timestamp,
    /// Places whose events were damaged in the queue when they were to be exported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<u64>,
    /// The destination that it was put aside for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// How often the part was written anew, because something was erased from it.
    #[serde(default, skip_serializing_if = "is_never")]
    pub rewritten: u32,
    /// The object that this one came in place of; deleted afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Parts of events are numbered as they are exported, from 1 on; none if it was exported before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<u64>,
    /// Some parts of events that were exported before it, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) before: Vec<Before>,
    /// How far the export has come with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_never(times: &u32) -> bool {
    *times == 0
}
