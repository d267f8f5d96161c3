//! Pages of lists: how many at most, and where the next one begins.
//!
//! A cursor says where the last page ended. What is in it is nobody's business but ours, so that another order or
//! another store can have other cursors. It is no secret and no proof: one that was made up begins a page somewhere in
//! the list that its sender may see anyway, so all of the described form are taken.

use serde::{Deserialize, Deserializer};

use crate::problem::Problem;
use crate::request::{NUMBER_MAX, Number};

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

/// A number in a cursor.
pub(crate) fn digits(number: u64) -> String {
    format!("{number:016x}")
}

/// The number that [`digits`] wrote.
pub(crate) fn number(digits: &str) -> Result<u64, Problem> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let number = u64::from_str_radix(digits, 16).ok();
    number.filter(|_| digits.len() == 16 && digits.bytes().all(is_digit)).ok_or_else(unusable)
}

/// Behind which id a page begins that was asked for by an id, by a cursor, or by both.
pub(crate) fn after(id: Option<Number>, cursor: Option<&str>) -> Result<Option<u64>, Problem> {
    let cursor = cursor.map(number).transpose()?;
    if cursor.is_some_and(|id| id > NUMBER_MAX) {
        return Err(unusable());
    }
    Ok(id.map(|id| id.0).max(cursor))
}

/// The part of the archive after which a page begins: its manifest, as a list names it.
pub(crate) fn part(cursor: Option<&str>) -> Result<Option<&str>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let mut steps = cursor.split('/');
    let is_root = matches!(steps.next(), Some("events" | "outages"));
    let is_name = |step: &str| !step.is_empty() && !step.starts_with('.') && !step.contains(['\\', '\0']);
    if is_root && cursor.ends_with(".json") && steps.all(is_name) { Ok(Some(cursor)) } else { Err(unusable()) }
}

/// A cursor that this list did not give.
pub(crate) fn unusable() -> Problem {
    Problem::bad("cursor: is none of this list; take it as `next` of the page before gives it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_written() {
        for there in [0, 17, u64::MAX] {
            assert_eq!(number(&digits(there)).unwrap(), there);
        }
        for wrong in ["", "17", "+000000000000011", "000000000000001G", "000000000000001F", "00000000000000011"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_has_a_maximum() {
        let read = |limit: usize| serde_json::from_value::<Limit>(limit.into()).map(|limit| limit.0);
        assert_eq!((read(1).unwrap(), read(1_000).unwrap(), Limit::default().0), (1, 1_000, 100));
        assert!(read(0).is_err() && read(1_001).unwrap_err().to_string().contains("1 to 1000"));
    }

    #[test]
    fn a_part_of_the_archive_is_below_its_folders() {
        for cursor in ["events/2026-03-19/21/0000000000000001.json", "outages/a-b/2026-03-19/21/x.json"] {
            assert_eq!(part(Some(cursor)).unwrap(), Some(cursor));
        }
        for cursor in
            ["../../etc", "events/../../etc/x.json", "events//x.json", "/etc/x.json", "events", "", "events/a"]
        {
            assert!(part(Some(cursor)).is_err(), "{cursor}");
        }
    }
}
