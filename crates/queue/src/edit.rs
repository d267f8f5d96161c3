//! The edited copy of a dead letter's body, which is kept beside the original.

use bytes::Bytes;

use crate::By;

/// An edited copy of a body: what a redrive delivers in place of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Who made it, why and when.
    pub by: By,
    /// Its bytes; only [`crate::Queue::dead_letter`] fills it. `None` there if they are damaged on disk.
    pub body: Option<Bytes>,
}
