//! Why a dead letter failed, as one number for all that failed alike: 50,000 dead letters of one faulty mapping are one
//! group.
//!
//! A fingerprint is over destination, stage, class, status and the message without what differs from event to event:
//! ids, numbers, times and quoted values; and over the place in the event and the version of the mapping where those are
//! known. Letters of before they were kept have the fingerprint that they had.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::Xxh3;

use crate::{DeadLetter, DeadLetterId, Failure, FailureClass, GroupReview, Review, Stage, apply_reviews, normalise};

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
    /// Where they failed, as far as that is known: a JSON pointer.
    pub path: Option<String>,
    /// Which mapping was in force.
    pub mapping: Option<String>,
    /// The newest of the group, whether it was selected or not.
    #[serde(skip)]
    pub newest: DeadLetterId,
    /// How far people are with it.
    pub review: GroupReview,
}

/// Groups that are kept apart at most; what comes after them is put into one of its destination and stage. It bounds
/// memory where messages differ in a way that normalising does not know.
const GROUPS_MAX: usize = 10_000;

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
        for (kind, known) in [(1, place(self.path.as_deref())), (2, self.mapping.clone())] {
            if let Some(part) = known {
                hash.update(&[kind]);
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
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

/// A pointer without what differs from event to event: places in arrays, and names that are ids.
fn place(path: Option<&str>) -> Option<String> {
    path.map(|path| path.split('/').map(normalise).collect::<Vec<_>>().join("/"))
}

impl DeadLetterGroup {
    /// A group of this letter, and none in it yet.
    pub fn begin(letter: &DeadLetter) -> Self {
        Self::named(letter.fingerprint(), normalise(&letter.failure.message), letter)
    }

    /// One of those that are not kept apart from each other any more, but for destination and stage.
    pub fn various(letter: &DeadLetter) -> Self {
        let failure = Failure {
            message: "various".to_owned(),
            status: None,
            path: None,
            mapping: None,
            ..letter.failure.clone()
        };
        let fingerprint = failure.fingerprint(letter.destination.as_deref());
        let message = failure.message.clone();
        Self { status: None, path: None, mapping: None, ..Self::named(fingerprint, message, letter) }
    }

    fn named(fingerprint: Fingerprint, message: String, letter: &DeadLetter) -> Self {
        let failure = &letter.failure;
        Self {
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
            path: place(failure.path.as_deref()),
            mapping: failure.mapping.clone(),
            newest: letter.id,
            review: GroupReview::default(),
        }
    }

    /// Counts one in.
    pub fn add(&mut self, letter: &DeadLetter) {
        self.count += 1;
        self.first = self.first.min(letter.died);
        self.last = self.last.max(letter.died);
        self.sample = self.sample.max(letter.id);
        self.newest = self.newest.max(letter.id);
    }
}

/// Puts dead letters into groups, one after the other.
#[derive(Debug, Default)]
pub struct Grouping {
    groups: HashMap<Fingerprint, DeadLetterGroup>,
    reviews: Vec<Review>,
    /// The newest letter of each group that was reviewed, of those that were passed over.
    newest: HashMap<Fingerprint, DeadLetterId>,
}

impl Grouping {
    /// No groups yet. How far people are with them is in `reviews`.
    pub fn new(reviews: Vec<Review>) -> Self {
        let newest = reviews.iter().map(|review| (review.group, DeadLetterId(0))).collect();
        Self { groups: HashMap::new(), reviews, newest }
    }

    /// Adds one.
    pub fn add(&mut self, letter: &DeadLetter) {
        let fingerprint = letter.fingerprint();
        if let Some(group) = self.groups.get_mut(&fingerprint) {
            return group.add(letter);
        }
        let various = self.groups.len() >= GROUPS_MAX;
        let begun = if various { DeadLetterGroup::various(letter) } else { DeadLetterGroup::begin(letter) };
        self.groups.entry(begun.fingerprint).or_insert(begun).add(letter);
    }

    /// Takes note of one that does not count, but may open its group again.
    pub fn pass_over(&mut self, letter: &DeadLetter) {
        if self.newest.is_empty() {
            return;
        }
        if let Some(newest) = self.newest.get_mut(&letter.fingerprint()) {
            *newest = letter.id.max(*newest);
        }
    }

    /// The groups, the largest first.
    pub fn groups(self) -> Vec<DeadLetterGroup> {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        for group in &mut groups {
            let passed_over = self.newest.get(&group.fingerprint).copied();
            group.newest = group.newest.max(passed_over.unwrap_or(group.newest));
        }
        apply_reviews(&mut groups, &self.reviews);
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
        Failure::new(Stage::Map, FailureClass::Permanent, message)
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
        let at = |path: &str| Failure { path: Some(path.to_owned()), ..one.clone() };
        assert_ne!(print(&at("/data/name"), Some("crm")), print(&at("/data/nam"), Some("crm")));
        assert_eq!(print(&at("/items/1/id"), Some("crm")), print(&at("/items/27/id"), Some("crm")));
        let by = |version: &str| Failure { mapping: Some(version.to_owned()), ..one.clone() };
        assert_ne!(print(&by("abc"), Some("crm")), print(&by("def"), Some("crm")));
        assert_ne!(print(&by("abc"), Some("crm")), print(&at("abc"), Some("crm")));
    }

    #[test]
    fn a_letter_of_before_places_and_versions_were_kept_has_the_fingerprint_that_it_had() {
        let old = Failure { latency_ms: 7, ..failure("no name") };
        assert_eq!(old.fingerprint(Some("crm")).to_string(), "3fabd45a8c1d50c6");
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
