//! Erasing what customers have said in a conversation, while the record stays that something was there.

use serde::Serialize;

use crate::By;

/// What to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The conversation.
    pub conversation: String,
    /// Only count.
    pub dry_run: bool,
    /// Who asks for it, and why.
    pub by: By,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erased {
    /// Events whose bodies were still there.
    pub events: u64,
    /// Bytes of those bodies.
    pub bytes: u64,
    /// Deliveries of them that had not been made, and will not be.
    pub undelivered: u64,
    /// Dead letters that were dropped, with their edited copies: those of its events, and bodies that became no event and
    /// name the conversation.
    pub dead_letters: u64,
    /// Texts in the audit trail that destinations answered to its deliveries, or that say what was wrong with an event.
    pub answers: u64,
    /// Such texts that stay, because deliveries of other conversations were answered the same, or because their block has
    /// an old format.
    pub answers_kept: u64,
    /// Whether nothing is left in the write-ahead log either. If not, it goes with the next checkpoint that no reader is
    /// in the way of: ask again.
    pub log_emptied: bool,
}
