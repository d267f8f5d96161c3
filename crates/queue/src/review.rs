//! How far people are with a group of dead letters: open, acknowledged by somebody who deals with it, or resolved.
//!
//! ```text
//!  open ──► acknowledged ──► resolved
//!   ▲            │               │      by hand, or by a letter that died later
//!   └────────────┴───────────────┘
//! ```
//!
//! A state is kept with the newest letter that there was, and holds up to that one. So nothing has to be written when a
//! letter dies, and no crash can keep a group from being opened again. A group whose letters are all gone is shown no
//! more, and its state means nothing.

use std::collections::HashMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{By, DeadLetterGroup, DeadLetterId, Fingerprint};

/// States that are kept, the newest: more groups than people deal with. Of an older one the group is open again.
pub const REVIEWS_MAX: usize = 1_000;

/// How far people are with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReviewState {
    /// Nobody deals with it.
    #[default]
    Open,
    /// Somebody does.
    Acknowledged,
    /// Somebody has dealt with it.
    Resolved,
}

impl ReviewState {
    /// The name used in storage, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Reads back what `as_str` gave.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Acknowledged, Self::Resolved].into_iter().find(|state| state.as_str() == name)
    }
}

/// A state that somebody has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Of which group.
    pub group: Fingerprint,
    /// The state.
    pub state: ReviewState,
    /// Who set it, with which note, and when.
    pub by: By,
    /// It holds for letters up to this one.
    pub seen: DeadLetterId,
}

/// How far people are with a group, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupReview {
    /// The state now.
    pub state: ReviewState,
    /// It is open although it was acknowledged or resolved before: a letter died since, or somebody opened it again.
    pub reopened: bool,
    /// Who has set a state last.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// What was noted then.
    pub note: Option<String>,
}

impl Review {
    /// What it means for a group whose newest letter is this one.
    pub fn of(&self, newest: DeadLetterId) -> GroupReview {
        let state = if newest > self.seen { ReviewState::Open } else { self.state };
        GroupReview {
            state,
            reopened: state == ReviewState::Open,
            by: Some(self.by.name.to_string()),
            at: Some(self.by.at),
            note: Some(self.by.reason.to_string()).filter(|note| !note.is_empty()),
        }
    }
}

/// Tells groups, whose newest letters are known, how far people are with them.
pub fn apply_reviews(groups: &mut [DeadLetterGroup], reviews: &[Review]) {
    let by_group: HashMap<Fingerprint, &Review> = reviews.iter().map(|review| (review.group, review)).collect();
    for group in groups {
        group.review = by_group.get(&group.fingerprint).map(|review| review.of(group.newest)).unwrap_or_default();
    }
}
