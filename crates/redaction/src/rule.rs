//! Rules: which places of an event, and what becomes of the values there.

use std::fmt;

use event::json::Path;

use crate::error::Error;

/// What becomes of a value. A rule works on the whole value, also if it is an object, an array or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The member or item goes away.
    Drop,
    /// `"***"` stands in its place.
    Mask {
        /// Of a string so many of its last characters stay, but never more than half of them.
        keep_last: usize,
    },
    /// A keyed hash stands in its place: the same for values that say the same, and no way back.
    Hash,
    /// A token stands in its place: the same for the same value, which whoever has the key can have back.
    Tokenise,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) path: Path,
    pub(crate) how: How,
}

impl Rule {
    /// A rule for what `path` leads to, from an event's whole on: a JSON pointer in which `*` is every member or item.
    ///
    /// # Errors
    /// If the path is no pointer, or leads to the whole event.
    pub fn new(path: &str, how: How) -> Result<Self, Error> {
        let path: Path = path.parse()?;
        if path.steps().len() == 0 {
            return Err(Error::WholeEvent);
        }
        Ok(Self { path, how })
    }

    /// Where it leads.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it does.
    pub fn how(&self) -> How {
        self.how
    }
}

impl How {
    /// By its name, with the characters that a mask keeps.
    ///
    /// # Errors
    /// If `keep_last` means nothing.
    pub fn with(self, keep_last: Option<usize>) -> Result<Self, Error> {
        match (self, keep_last) {
            (how, None) => Ok(how),
            (Self::Mask { .. }, Some(0)) => Err(Error::KeepLastOfNothing),
            (Self::Mask { .. }, Some(keep_last)) => Ok(Self::Mask { keep_last }),
            _ => Err(Error::KeepLastOfNoMask),
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Mask { .. } => "mask",
            Self::Hash => "hash",
            Self::Tokenise => "tokenise",
        })
    }
}
