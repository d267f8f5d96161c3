//! Secrets as those who send them see them: asked for whenever one is needed, so a rotated one is used at once.

mod file;

use std::fmt;
use std::sync::Arc;

pub use file::SecretFile;

/// A secret whose present value is asked for whenever it is needed. Its `Debug` text never shows it.
#[derive(Clone)]
pub struct Secret(Arc<Resolve>);

type Resolve = dyn Fn(Look) -> Result<Arc<str>, SecretError> + Send + Sync;

/// How a secret is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// What was found a moment ago is good enough.
    Usual,
    /// What was found last was refused: the source itself is asked.
    Again,
}

/// The secret cannot be had at the moment. The text names where it was looked for, never what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub String);

impl Secret {
    /// A secret that `resolve` gives. It is called for every attempt, on the task that sends: it must be quick, so
    /// whoever reads a file or asks a service keeps the answer for a while.
    pub fn from_fn(resolve: impl Fn() -> Result<Arc<str>, SecretError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |_| resolve()))
    }

    /// The same; `again` is called after what `resolve` gave was refused, and may take a moment.
    pub fn from_fns(
        resolve: impl Fn() -> Result<Arc<str>, SecretError> + Send + Sync + 'static,
        again: impl Fn() -> Result<Arc<str>, SecretError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |look| match look {
            Look::Usual => resolve(),
            Look::Again => again(),
        }))
    }

    /// A secret that never changes.
    pub fn fixed(value: impl Into<Arc<str>>) -> Self {
        let value = value.into();
        Self::from_fn(move || Ok(value.clone()))
    }

    /// The first line of a file, which is read again when it changes.
    pub fn file(file: SecretFile) -> Self {
        Self(Arc::new(move |look| match look {
            Look::Usual => file.get(),
            Look::Again => file.get_again(),
        }))
    }

    /// Its value now.
    ///
    /// # Errors
    /// If it was never found, and is not found now.
    pub fn get(&self) -> Result<Arc<str>, SecretError> {
        (self.0)(Look::Usual)
    }

    /// Its value now, after the one before was refused: a file is read, however lately it was looked at.
    ///
    /// # Errors
    /// As [`Secret::get`].
    pub fn get_again(&self) -> Result<Arc<str>, SecretError> {
        (self.0)(Look::Again)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
