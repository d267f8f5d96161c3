//! Secrets as a destination sees them: asked for at every attempt, so a rotated one is used at once.

use std::fmt;
use std::sync::Arc;

/// A secret whose present value is asked for whenever it is needed. Its `Debug` text never shows it.
#[derive(Clone)]
pub struct Secret(Arc<Resolve>);

type Resolve = dyn Fn() -> Result<Arc<str>, SecretError> + Send + Sync;

/// The secret cannot be had at the moment. The text names where it was looked for, never what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub String);

impl Secret {
    /// A secret that `resolve` gives. It is called for every attempt, on the task that sends: it must be quick, so
    /// whoever reads a file or asks a service keeps the answer for a while.
    pub fn from_fn(resolve: impl Fn() -> Result<Arc<str>, SecretError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// A secret that never changes.
    pub fn fixed(value: impl Into<Arc<str>>) -> Self {
        let value = value.into();
        Self::from_fn(move || Ok(value.clone()))
    }

    /// Its value now.
    pub fn get(&self) -> Result<Arc<str>, SecretError> {
        (self.0)()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
