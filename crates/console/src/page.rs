//! Pages of lists: how many at most, and where the next one begins.
//!
//! A cursor says where the last page ended. What is in it is nobody's business but ours, so that another order or
//! another store can have other cursors; so it is written in base64. It is no secret and no proof: one that was made up
//! begins a page somewhere in the list that its sender may see anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// Items of one page, at most: each may have a message and an excerpt of some hundred bytes.
pub(crate) const PAGE_MAX: usize = 1_000;
/// Items of a page when nothing is said.
pub(crate) const PAGE_DEFAULT: usize = 100;

/// How many items are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(PAGE_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = usize::deserialize(deserializer)?;
        if (1..=PAGE_MAX).contains(&limit) {
            return Ok(Self(limit));
        }
        Err(serde::de::Error::custom(format_args!("{limit} is not within 1 to {PAGE_MAX}")))
    }
}

/// Where a page of the list `list` ended.
pub(crate) fn cursor(list: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

/// What a cursor of the list `list` says.
pub(crate) fn place(list: &str, cursor: &str) -> Result<String, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.strip_prefix(list)).and_then(|rest| rest.strip_prefix(':'));
    place.map(str::to_owned).ok_or_else(unusable)
}

/// A cursor that this list did not give.
pub(crate) fn unusable() -> Problem {
    Problem::bad("cursor: is none of this list; take it as `next` of the page before gives it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_by_its_list_alone() {
        let next = cursor("letters", "17");
        assert_eq!(place("letters", &next).unwrap(), "17");
        for wrong in ["", "17", "!", &next[1..]] {
            assert!(place("letters", wrong).is_err(), "{wrong}");
        }
        assert!(place("groups", &next).is_err() && place("letter", &next).is_err());
    }

    #[test]
    fn a_limit_has_a_maximum() {
        let read = |limit: usize| serde_json::from_value::<Limit>(limit.into()).map(|limit| limit.0);
        assert_eq!((read(1).unwrap(), read(1_000).unwrap(), Limit::default().0), (1, 1_000, 100));
        assert!(read(0).is_err() && read(1_001).unwrap_err().to_string().contains("1 to 1000"));
    }
}
