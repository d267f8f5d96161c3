//! Why a dead letter failed, as one number for all that failed alike: 50,000 dead letters of one faulty mapping are one
//! group.
//!
//! A fingerprint is over destination, stage, class, status and the message without what differs from event to event:
//! ids, numbers, times and quoted values.

use std::fmt;
use std::str::FromStr;

use event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::Xxh3;

use crate::{DeadLetter, DeadLetterId, Failure, FailureClass, Stage};

/// Names a group of dead letters; written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[0-9a-f]{16}$"))]
pub struct Fingerprint(pub u64);

/// A group of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterGroup {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// The destination; `None` at stage `intake`.
    pub destination: Option<String>,
    /// Where they failed.
    pub stage: Stage,
    /// Whether trying again could have helped.
    pub class: FailureClass,
    /// HTTP status, if the destination answered.
    pub status: Option<u16>,
    /// What happened, without what differs between them.
    pub message: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub first: Timestamp,
    /// When the last of them died.
    pub last: Timestamp,
    /// The newest of them, to look at.
    pub sample: DeadLetterId,
}

/// Groups that are kept apart at most; what comes after them is put into one of its destination and stage. It bounds
/// memory where messages differ in a way that normalising does not know.
const GROUPS_MAX: usize = 10_000;
/// Bytes of a normalised message.
const MESSAGE_MAX: usize = 300;

impl Failure {
    /// The group of a dead letter of this failure at `destination`.
    pub fn fingerprint(&self, destination: Option<&str>) -> Fingerprint {
        let message = normalise(&self.message);
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        let mut hash = Xxh3::new();
        for part in [destination.unwrap_or(""), self.stage.as_str(), self.class.as_str(), &status, &message] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Fingerprint(hash.digest())
    }
}

impl DeadLetter {
    /// Its group.
    pub fn fingerprint(&self) -> Fingerprint {
        self.failure.fingerprint(self.destination.as_deref())
    }
}

/// A message without what differs from event to event. Words with a digit in them become `#`, which covers numbers, ids
/// and times; what stands in double quotes becomes `"…"`.
pub fn normalise(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            text.push_str("\"…\"");
            quoted(rest)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..length];
            text.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
            length
        } else {
            text.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
        if text.len() > MESSAGE_MAX {
            text.truncate(text.floor_char_boundary(MESSAGE_MAX));
            break;
        }
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+') && c.is_ascii()
}

/// Bytes of a quoted text at the beginning, with its quotes; up to the end if it is not closed.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Puts dead letters into groups, one after the other.
#[derive(Debug, Default)]
pub struct Grouping(std::collections::HashMap<Fingerprint, DeadLetterGroup>);

impl Grouping {
    /// Adds one.
    pub fn add(&mut self, letter: &DeadLetter) {
        let failure = &letter.failure;
        let mut fingerprint = letter.fingerprint();
        let mut message = normalise(&failure.message);
        if self.0.len() >= GROUPS_MAX && !self.0.contains_key(&fingerprint) {
            "various".clone_into(&mut message);
            let various = Failure { message: message.clone(), status: None, ..failure.clone() };
            fingerprint = various.fingerprint(letter.destination.as_deref());
        }
        let group = self.0.entry(fingerprint).or_insert_with(|| DeadLetterGroup {
            fingerprint,
            destination: letter.destination.as_deref().map(str::to_owned),
            stage: failure.stage,
            class: failure.class,
            status: failure.status,
            message,
            count: 0,
            first: letter.died,
            last: letter.died,
            sample: letter.id,
        });
        group.count += 1;
        group.first = group.first.min(letter.died);
        group.last = group.last.max(letter.died);
        group.sample = group.sample.max(letter.id);
    }

    /// The groups, the largest first.
    pub fn groups(self) -> Vec<DeadLetterGroup> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_unstable_by_key(|group| (std::cmp::Reverse(group.count), group.fingerprint));
        groups
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", self.0))
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a group is named by 16 hexadecimal digits, as `dead-letters groups` shows them")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        match text.len() {
            16 => u64::from_str_radix(text, 16).map(Self).map_err(|_| NoFingerprint),
            _ => Err(NoFingerprint),
        }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> Failure {
        Failure {
            stage: Stage::Map,
            class: FailureClass::Permanent,
            status: None,
            message: message.to_owned(),
            excerpt: None,
            latency_ms: 0,
        }
    }

    #[test]
    fn what_differs_from_event_to_event_is_left_out() {
        let cases = [
            ("event 323fe013-0bf7-8289-abf2-2c99d1d27708 is damaged", "event # is damaged"),
            ("no answer within 5 s", "no answer within # s"),
            ("line 3, column 17: at 2026-03-02T08:15:00.123Z", "line #, column # at #"),
            (r#"cannot index "Peter \"the\" Great" with "wrapup""#, "cannot index \"…\" with \"…\""),
            ("an \"open end", "an \"…\""),
            ("Größe 12 € zu viel", "Größe # € zu viel"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(normalise(message), expected, "{message}");
        }
        assert!(normalise(&"ä ".repeat(10_000)).len() <= MESSAGE_MAX);
    }

    #[test]
    fn alike_is_one_group_and_another_reason_is_another() {
        let print = |failure: &Failure, at| failure.fingerprint(at);
        let one = failure("value 17 is no number");
        assert_eq!(print(&one, Some("crm")), print(&failure("value 18 is no number"), Some("crm")));
        assert_ne!(print(&one, Some("crm")), print(&one, Some("lake")));
        assert_ne!(print(&one, Some("crm")), print(&failure("value 17 is no text"), Some("crm")));
        let refused = |status| Failure { status: Some(status), stage: Stage::Deliver, ..one.clone() };
        assert_ne!(print(&refused(404), Some("crm")), print(&refused(422), Some("crm")));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let print = Fingerprint(0x00ab);
        assert_eq!(print.to_string(), "00000000000000ab");
        assert_eq!(print.to_string().parse(), Ok(print));
        for wrong in ["", "ab", "zzzzzzzzzzzzzzzz", "00000000000000abc"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }
}
