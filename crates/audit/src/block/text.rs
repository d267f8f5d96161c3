//! The texts of a block: each is there, or was erased and only its digest is left.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ERASED, FIRST_VERSION};
use crate::Digest;

/// One text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Text<'a> {
    Here(#[serde(borrow)] &'a str),
    Gone(Digest),
}

/// All texts of a block; entries name them by their numbers.
#[derive(Debug)]
pub(super) struct Texts<'a>(Vec<Text<'a>>);

impl<'a> Texts<'a> {
    pub(super) fn of(texts: impl Iterator<Item = Text<'a>>) -> Self {
        Self(texts.collect())
    }

    /// Reads what stands in front of a block's entries: how many there are, and the texts.
    pub(super) fn take(version: u8, packed: &'a [u8]) -> Result<(u32, Self, &'a [u8]), postcard::Error> {
        if version == FIRST_VERSION {
            let ((count, texts), rest): ((u32, Vec<&str>), _) = postcard::take_from_bytes(packed)?;
            return Ok((count, Self::of(texts.into_iter().map(Text::Here)), rest));
        }
        let ((count, texts), rest) = postcard::take_from_bytes(packed)?;
        Ok((count, Self(texts), rest))
    }

    /// The reverse of [`Texts::take`], with the version in front and the entries behind.
    pub(super) fn packed(&self, version: u8, count: u32, entries: &[u8]) -> Vec<u8> {
        // Growing a vector cannot fail.
        let mut packed = postcard::to_extend(&(count, &self.0), vec![version]).unwrap_or_default();
        packed.extend_from_slice(entries);
        packed
    }

    pub(super) fn get(&self, at: u32) -> Option<Arc<str>> {
        let text = self.0.get(usize::try_from(at).ok()?)?;
        Some(Arc::from(match text {
            Text::Here(text) => text,
            Text::Gone(_) => ERASED,
        }))
    }

    /// Leaves only the digest of a text; false if it is gone already.
    pub(super) fn erase(&mut self, at: u32) -> bool {
        let text = usize::try_from(at).ok().and_then(|at| self.0.get_mut(at));
        let Some((text, digest)) = text.and_then(|text| match *text {
            Text::Here(here) => Some((text, Digest::of(here.as_bytes()))),
            Text::Gone(_) => None,
        }) else {
            return false;
        };
        *text = Text::Gone(digest);
        true
    }

    pub(super) fn is_here(&self, at: u32) -> bool {
        usize::try_from(at).ok().and_then(|at| self.0.get(at)).is_some_and(|text| matches!(text, Text::Here(_)))
    }

    pub(super) fn gone(&self) -> u64 {
        self.0.iter().filter(|text| matches!(text, Text::Gone(_))).count() as u64
    }

    pub(super) fn digests(&self) -> impl ExactSizeIterator<Item = Digest> {
        self.0.iter().map(|text| match text {
            Text::Here(text) => Digest::of(text.as_bytes()),
            Text::Gone(digest) => *digest,
        })
    }
}
