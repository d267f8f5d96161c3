//! Who does something with dead letters, why, and when: what has to be on record of it.

use std::sync::Arc;

use event::Timestamp;

/// Who did something, why and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The name of the token, or of whoever is on the machine.
    pub name: Arc<str>,
    /// Why, or what is to be noted; may be empty.
    pub reason: Arc<str>,
    /// When.
    pub at: Timestamp,
}

impl By {
    /// Somebody who gives no reason.
    pub fn new(name: impl Into<Arc<str>>, at: Timestamp) -> Self {
        Self { name: name.into(), reason: Arc::from(""), at }
    }

    /// The same for a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), ..self }
    }
}
