//! Erasing a conversation where it was delivered to.

/// What to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The conversation's id.
    pub conversation: String,
    /// Only count.
    pub dry_run: bool,
    /// Where to go on: [`Erased::next`] of the answer before.
    pub cursor: Option<String>,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Deliveries that were taken over and were not where they belong yet.
    pub waiting: u64,
    /// Rows of files, or objects.
    pub rows: u64,
    /// Files or objects that were made anew without them, or deleted.
    pub files: u64,
    /// Bytes, as far as they are known: of what was waiting, and of objects.
    pub bytes: u64,
    /// Files or objects that were looked at.
    pub looked: u64,
    /// What holds something of it still.
    pub kept: Vec<Unerased>,
    /// Where to go on; none if this was the end.
    pub next: Option<String>,
}

/// What could not be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unerased {
    /// The file or the object, from the root of the destination.
    pub name: String,
    /// Rows of the conversation in it, if that is known.
    pub rows: Option<u64>,
    /// Why, and what to do.
    pub why: String,
}
