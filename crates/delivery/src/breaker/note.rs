//! What is kept of a breaker, so that whoever delivers next goes on where it stood.
//!
//! Kept is what changes a few times in an outage, and not with each attempt. That a probe is under way is not: if nothing
//! is heard of it, the next one may go out at once. A ramp begins anew. A closed breaker has no note.

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Breaker, PAUSE_MIN, RETRY_AFTER_MAX, State};

/// Version of the format; another one is ignored.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    version: u32,
    #[serde(flatten)]
    stood: Stood,
    /// Status of the last failure, if the destination answered. Its words are not kept, since they may be those of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "breaker", rename_all = "kebab-case")]
enum Stood {
    Open { since: Timestamp, paused: Timestamp, next: Timestamp, probes: u32 },
    Waiting { since: Timestamp, probes: u32 },
    Ramp,
}

impl Note {
    /// As it is stored.
    pub(crate) fn pack(&self) -> Vec<u8> {
        // What could not be packed would be no note when it is read.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The same with the status of the last failure; a ramp has none.
    pub(crate) fn with_status(self, status: Option<u16>) -> Self {
        Self { status: status.filter(|_| self.stood != Stood::Ramp), ..self }
    }

    /// When the last failure was, and its status; none in a ramp.
    pub(crate) fn failure(&self) -> Option<(Timestamp, Option<u16>)> {
        match self.stood {
            Stood::Open { paused, .. } => Some((paused, self.status)),
            Stood::Waiting { since, .. } => Some((since, self.status)),
            Stood::Ramp => None,
        }
    }

    /// Reads back what [`Self::pack`] gave.
    ///
    /// # Errors
    /// When it was not that, or was written by another version.
    pub(crate) fn unpack(stored: &[u8]) -> Result<Self, String> {
        let note: Self = serde_json::from_slice(stored).map_err(|error| error.to_string())?;
        match note.version {
            VERSION => Ok(note),
            version => Err(format!("it has format {version}, and this program knows {VERSION}")),
        }
    }
}

/// Since when the destination is down whose service has kept this note ([`queue::Queue::remembered`]); none if deliveries go out.
///
/// # Errors
/// When it is no such note, or was written by another version.
pub fn stands_open_since(note: &[u8]) -> Result<Option<Timestamp>, String> {
    Ok(match Note::unpack(note)?.stood {
        Stood::Open { since, .. } | Stood::Waiting { since, .. } => Some(since),
        Stood::Ramp => None,
    })
}

impl Breaker {
    /// What is to be kept of it in place of this; nothing while it is closed.
    pub(crate) fn note(&self, kept: Option<Note>) -> Option<Note> {
        let stood = match self.state {
            State::Closed => return None,
            State::HalfOpen { .. } => return kept,
            State::Ramp { .. } => Stood::Ramp,
            State::Open { since, paused, next, probes } => Stood::Open { since, paused, next, probes },
            State::Waiting { since, probes } => Stood::Waiting { since, probes },
        };
        Some(Note { version: VERSION, stood, status: None })
    }

    /// Goes on where a breaker stood. Whatever a note says, it keeps probes back no longer than a pause may last.
    pub(crate) fn restore(&mut self, note: Note, now: Timestamp) {
        match note.stood {
            Stood::Open { since, paused, next, probes } => {
                let longest = self.options.pause.max(RETRY_AFTER_MAX).max(PAUSE_MIN);
                self.state =
                    State::Open { since: since.min(now), paused, next: next.min(paused.plus(longest)), probes };
            }
            Stood::Waiting { since, probes } => self.state = State::Waiting { since: since.min(now), probes },
            Stood::Ramp => self.begin_ramp(now),
        }
    }

    /// The destination is another one now, so nobody knows whether it is down: the next probe may go out at once.
    pub(crate) fn probe_now(&mut self, now: Timestamp) {
        if let State::Open { since, probes, .. } = self.state {
            self.state = State::Open { since, paused: now, next: now, probes };
        }
    }
}
