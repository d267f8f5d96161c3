//! Sets of HTTP statuses, and what a status means for a delivery.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A set of HTTP statuses, written as a list such as `["2xx", "409", "420-429"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Reads a list; its first faulty item is the error.
    pub fn from_list<S: AsRef<str>>(items: &[S]) -> Result<Self, ParseStatusError> {
        items.iter().map(|item| range(item.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// 2xx, what counts as success by default.
    pub fn success() -> Self {
        Self(vec![200..=299])
    }

    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Statuses {
    type Err = ParseStatusError;

    /// Reads one item: `2xx`, `409` or `420-429`.
    fn from_str(item: &str) -> Result<Self, Self::Err> {
        Ok(Self(vec![range(item)?]))
    }
}

/// The text is not a status, a class of statuses or a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an HTTP status: write one such as `409`, a class such as `2xx`, or a range such as `420-429`")]
pub struct ParseStatusError(String);

fn range(item: &str) -> Result<RangeInclusive<u16>, ParseStatusError> {
    let refuse = || ParseStatusError(item.chars().take(32).collect());
    let one = |text: &str| {
        let well_formed = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let status = text.parse().ok().filter(|s| (200..600).contains(s));
        status.filter(|_| well_formed).ok_or_else(refuse)
    };
    if let Some(class) = item.strip_suffix("xx") {
        let first: u16 = one(&format!("{class}00"))?;
        return Ok(first..=first + 99);
    }
    match item.split_once('-') {
        None => one(item).map(|status| status..=status),
        Some((from, to)) => {
            let range = one(from)?..=one(to)?;
            if range.is_empty() { Err(refuse()) } else { Ok(range) }
        }
    }
}

/// What a status means for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    Transient,
    Permanent,
}

/// Success if it is listed so; else transient if it is listed so, is 408, 425, 429 or 5xx; else permanent.
pub(super) fn verdict(status: u16, success: &Statuses, transient: &Statuses) -> Verdict {
    if success.contains(status) {
        Verdict::Success
    } else if transient.contains(status) || matches!(status, 408 | 425 | 429 | 500..=599) {
        Verdict::Transient
    } else {
        Verdict::Permanent
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match range.start() == range.end() {
                true => write!(f, "{comma}{}", range.start())?,
                false => write!(f, "{comma}{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}
