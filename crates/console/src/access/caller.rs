//! Who asks, as handlers and the audit trail see it.

use std::sync::Arc;

use super::Scope;

/// Who asks. Every handler can take it as an axum `Extension`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, or [`Caller::LOCAL`].
    pub name: Arc<str>,
    /// What it may do.
    pub scope: Scope,
}

impl Caller {
    /// The name of everyone on the machine, where no token is needed. No token can have it.
    pub const LOCAL: &'static str = "local";

    /// Someone on this machine, without a token.
    pub(crate) fn local() -> Self {
        Self { name: Arc::from(Self::LOCAL), scope: Scope::Admin }
    }
}
