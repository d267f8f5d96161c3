//! Who asks, as handlers and the audit trail see it.

use std::fmt;
use std::sync::Arc;

use audit::{Entry, What};

use super::Scope;
use crate::Tell;

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

    /// Notes in the audit trail what this one has done, which is done by now.
    pub(crate) async fn note(&self, tell: &dyn Tell, action: &str, subject: &str, detail: impl fmt::Display) {
        let detail = Arc::from(detail.to_string());
        let what = What::Done { by: Arc::clone(&self.name), action: action.into(), subject: subject.into(), detail };
        if let Err(error) = tell.queue().note(vec![Entry { at: tell.now(), what }]).await {
            tracing::error!(action, subject, by = &*self.name, %error, "this is missing from the audit trail");
        }
    }

    /// Someone on this machine, without a token.
    pub(crate) fn local() -> Self {
        Self { name: Arc::from(Self::LOCAL), scope: Scope::Admin }
    }
}
