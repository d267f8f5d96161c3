//! What goes into a queue.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, NewEvent, Timestamp};

use crate::{Failure, Seq};

/// The events of one request, accepted all or none.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The configured source they came in by.
    pub source: Arc<str>,
    /// When the request had been read.
    pub received: Timestamp,
    /// What has proved that it is genuine, for the audit trail: which key, never the key itself.
    pub proof: Arc<str>,
    /// The events, in their order.
    pub events: Vec<NewEvent>,
    /// Names the content of a body, ignoring what may differ between two sendings of the same event. Called only when
    /// an identity is known and the bytes differ, to tell a duplicate from a conflict.
    pub content: Content,
}

/// What makes a name of a body's content.
pub type ContentName = dyn Fn(&[u8]) -> [u8; 16] + Send + Sync;

/// Names the content of bodies.
#[derive(Clone)]
pub enum Content {
    /// Of any body alike.
    Plain(fn(&[u8]) -> [u8; 16]),
    /// By what is known of this publication.
    Known(Arc<ContentName>),
}

impl Content {
    /// The name of a body's content.
    pub fn of(&self, body: &[u8]) -> [u8; 16] {
        match self {
            Self::Plain(name) => name(body),
            Self::Known(name) => name(body),
        }
    }
}

impl From<fn(&[u8]) -> [u8; 16]> for Content {
    fn from(name: fn(&[u8]) -> [u8; 16]) -> Self {
        Self::Plain(name)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Known(_) => "Known",
        })
    }
}

/// What became of one event of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// New, and durable now.
    Accepted {
        /// Its id.
        id: EventId,
        /// Its place in the log.
        seq: Seq,
    },
    /// The same event was accepted before; nothing was stored.
    Duplicate {
        /// The id, which is the same as before.
        id: EventId,
    },
    /// Another content under the same identity was accepted before; this one is stored under an id of its own.
    Conflict {
        /// The id under which it is stored, made from identity and content.
        id: EventId,
        /// The id of the event that had the identity first.
        of: EventId,
        /// Its place in the log.
        seq: Seq,
    },
}

impl Published {
    /// The id under which the event is known.
    pub fn id(&self) -> EventId {
        match *self {
            Self::Accepted { id, .. } | Self::Duplicate { id } | Self::Conflict { id, .. } => id,
        }
    }

    /// Whether nothing was stored because the event is known.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Duplicate { .. })
    }
}

/// An authentic body that cannot become an event.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The source it came in by.
    pub source: Arc<str>,
    /// When the request had been read.
    pub received: Timestamp,
    /// What has proved that it is genuine, for the audit trail.
    pub proof: Arc<str>,
    /// Why it cannot become an event; its stage is `intake`.
    pub failure: Failure,
    /// The whole body.
    pub body: Bytes,
}

/// A cheap hash of a body's bytes, stored beside the identity to recognise a plain re-sending without reading it back.
pub fn body_hash(body: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(body)
}

/// The id of an event that conflicts with `first`: made from that id and the new content.
pub fn conflict_id(first: EventId, content: [u8; 16]) -> EventId {
    EventId::from_identity("conflict", [first.as_bytes().as_slice(), &content])
}
