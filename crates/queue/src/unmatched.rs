//! Events that no route led to any destination when they were accepted: listed, and counted by source and topic.
//!
//! Both walk from the newest to the oldest, and a page ends when it is full or has looked at [`UnmatchedQuery::LOOKED_AT_MAX`]
//! of them. It says where it ended, by a place in the log. So one page is bounded work however little is selected, and
//! pages leave none out and repeat none, whatever is accepted or dropped by retention meanwhile.
//!
//! Decisions are made here and reading is left to the backends, so that all of them end their pages alike.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event::{EventId, Timestamp};
use serde::Serialize;

use crate::Seq;

/// Selects events that matched no route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnmatchedQuery {
    /// Only of this source.
    pub source: Option<String>,
    /// Only of this topic; the empty one is that of events which name none.
    pub topic: Option<String>,
    /// Only of this conversation.
    pub conversation: Option<String>,
    /// Only what was received then or later.
    pub from: Option<Timestamp>,
    /// Only what was received before.
    pub to: Option<Timestamp>,
    /// Only before this place, for paging.
    pub before: Option<Seq>,
    /// Events, or groups, of a page at most; 0 means 100.
    pub limit: usize,
}

impl UnmatchedQuery {
    /// Events or groups of a page when the query names no limit.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Events that one page looks at: some tenths of a second of reading, which holds up nothing.
    pub const LOOKED_AT_MAX: usize = 20_000;
    /// An event that was received so much earlier than `from` ends the walk. Times in the log go up with its places,
    /// unless somebody set the clock back; this is by how much they may have.
    pub const CLOCK_SLACK: Duration = Duration::from_secs(86_400);

    fn page(&self) -> usize {
        if self.limit == 0 { Self::DEFAULT_LIMIT } else { self.limit }
    }

    /// Whether it selects this event, whatever its place.
    fn selects(&self, event: &Unmatched) -> bool {
        let is = |wanted: &Option<String>, has: Option<&str>| wanted.is_none() || wanted.as_deref() == has;
        is(&self.source, Some(&event.source))
            && is(&self.topic, Some(&event.topic))
            && is(&self.conversation, event.conversation.as_deref())
            && self.from.is_none_or(|from| event.received >= from)
            && self.to.is_none_or(|to| event.received < to)
    }

    /// Whether neither this event nor any before it can be selected.
    fn is_past(&self, event: &Unmatched) -> bool {
        self.from.is_some_and(|from| event.received < from.minus(Self::CLOCK_SLACK))
    }
}

/// What a list tells of an event that matched no route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unmatched {
    /// Its id, for `trace`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub event: EventId,
    /// Its place in the log.
    pub seq: Seq,
    /// When it was received.
    pub received: Timestamp,
    /// The source.
    pub source: Arc<str>,
    /// The topic; empty if it names none.
    pub topic: Arc<str>,
    /// The conversation.
    pub conversation: Option<Arc<str>>,
    /// The event with the same identity and another content that was accepted before it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub conflict_of: Option<EventId>,
    /// Bytes of its body.
    pub body_bytes: u64,
}

/// A page of them, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnmatchedPage {
    /// Those that are selected.
    pub events: Vec<Unmatched>,
    /// Places whose event is damaged, so that nobody can say whether it is selected.
    pub damaged: Vec<Seq>,
    /// `before` of the next page; `None` if nothing is left to look at.
    pub next: Option<Seq>,
}

/// Events of one source and topic that matched no route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnmatchedGroup {
    /// Their source.
    pub source: Arc<str>,
    /// Their topic; empty if they name none.
    pub topic: Arc<str>,
    /// How many this page has of them.
    pub count: u64,
    /// When the first of them was received.
    pub first: Timestamp,
    /// When the last of them was received.
    pub last: Timestamp,
    /// The newest of them, to look at.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub sample: EventId,
}

/// Groups of the events that one page has looked at, the largest first. A group may have more on the next page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnmatchedGroups {
    /// The groups.
    pub groups: Vec<UnmatchedGroup>,
    /// How many events were looked at, selected or not.
    pub looked_at: u64,
    /// Places whose event is damaged, so that nobody can say of which group it is.
    pub damaged: Vec<Seq>,
    /// `before` of the next page; `None` if nothing is left to look at.
    pub next: Option<Seq>,
}

/// An event that a backend has found, or the place of one that cannot be read.
pub type FoundUnmatched = Result<Unmatched, Seq>;

/// How far a page has come.
#[derive(Debug, Default)]
struct Walk {
    looked_at: usize,
    damaged: Vec<Seq>,
    /// The last one that was looked at.
    last: Option<Seq>,
    /// The page has ended before this one was looked at.
    more: bool,
}

impl Walk {
    /// Whether the page may look at one more; if not, the next page begins with it.
    fn may_look(&mut self, is_full: bool) -> bool {
        self.more = is_full || self.looked_at >= UnmatchedQuery::LOOKED_AT_MAX;
        !self.more
    }

    fn looked_at(&mut self, place: Seq) {
        self.looked_at += 1;
        self.last = Some(place);
    }

    fn is_damaged(&mut self, place: Seq) {
        self.looked_at(place);
        self.damaged.push(place);
    }

    fn next(&self) -> Option<Seq> {
        self.last.filter(|_| self.more)
    }
}

/// Makes a page of what a backend finds from `before` downwards.
#[derive(Debug)]
pub struct UnmatchedListing<'a> {
    query: &'a UnmatchedQuery,
    walk: Walk,
    events: Vec<Unmatched>,
}

impl<'a> UnmatchedListing<'a> {
    /// An empty page.
    pub fn new(query: &'a UnmatchedQuery) -> Self {
        Self { query, walk: Walk::default(), events: Vec::new() }
    }

    /// Takes the next one; returns whether it wants another.
    pub fn add(&mut self, found: FoundUnmatched) -> bool {
        if !self.walk.may_look(self.events.len() >= self.query.page()) {
            return false;
        }
        match found {
            Err(place) => self.walk.is_damaged(place),
            Ok(event) if self.query.is_past(&event) => return false,
            Ok(event) => {
                self.walk.looked_at(event.seq);
                if self.query.selects(&event) {
                    self.events.push(event);
                }
            }
        }
        true
    }

    /// The page.
    pub fn finish(self) -> UnmatchedPage {
        UnmatchedPage { next: self.walk.next(), events: self.events, damaged: self.walk.damaged }
    }
}

/// Makes groups of what a backend finds from `before` downwards.
#[derive(Debug)]
pub struct UnmatchedGrouping<'a> {
    query: &'a UnmatchedQuery,
    walk: Walk,
    groups: HashMap<(Arc<str>, Arc<str>), UnmatchedGroup>,
}

impl<'a> UnmatchedGrouping<'a> {
    /// No groups yet.
    pub fn new(query: &'a UnmatchedQuery) -> Self {
        Self { query, walk: Walk::default(), groups: HashMap::new() }
    }

    /// Takes the next one; returns whether it wants another.
    pub fn add(&mut self, found: FoundUnmatched) -> bool {
        let event = match found {
            Ok(event) if self.query.is_past(&event) => return false,
            Ok(event) => event,
            Err(place) => {
                let looks = self.walk.may_look(false);
                if looks {
                    self.walk.is_damaged(place);
                }
                return looks;
            }
        };
        let selected = self.query.selects(&event);
        let key = (Arc::clone(&event.source), Arc::clone(&event.topic));
        let is_full = selected && self.groups.len() >= self.query.page() && !self.groups.contains_key(&key);
        if !self.walk.may_look(is_full) {
            return false;
        }
        self.walk.looked_at(event.seq);
        if selected {
            self.groups.entry(key).or_insert_with(|| UnmatchedGroup::begin(&event)).add(&event);
        }
        true
    }

    /// The groups.
    pub fn finish(self) -> UnmatchedGroups {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        groups.sort_unstable_by(|one, other| {
            (other.count, &one.source, &one.topic).cmp(&(one.count, &other.source, &other.topic))
        });
        let next = self.walk.next();
        UnmatchedGroups { groups, looked_at: self.walk.looked_at as u64, damaged: self.walk.damaged, next }
    }
}

impl UnmatchedGroup {
    fn begin(event: &Unmatched) -> Self {
        Self {
            source: Arc::clone(&event.source),
            topic: Arc::clone(&event.topic),
            count: 0,
            first: event.received,
            last: event.received,
            sample: event.event,
        }
    }

    fn add(&mut self, event: &Unmatched) {
        self.count += 1;
        self.first = self.first.min(event.received);
        self.last = self.last.max(event.received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, topic: &str) -> FoundUnmatched {
        Ok(Unmatched {
            event: EventId::from_identity("test", [&seq.to_le_bytes()[..]]),
            seq: Seq(seq),
            received: Timestamp::from_millis(seq as i64 * 1_000),
            source: Arc::from("test"),
            topic: Arc::from(topic),
            conversation: None,
            conflict_of: None,
            body_bytes: 1,
        })
    }

    /// All pages of a walk over places from `last` down, as a backend would make them.
    fn pages(last: u64, query: &UnmatchedQuery, topic: impl Fn(u64) -> &'static str) -> Vec<UnmatchedPage> {
        let (mut query, mut pages) = (query.clone(), Vec::new());
        loop {
            let mut listing = UnmatchedListing::new(&query);
            let first = query.before.map_or(last, |before| before.0 - 1);
            let _ = (1..=first).rev().all(|seq| listing.add(event(seq, topic(seq))));
            let page = listing.finish();
            query.before = page.next;
            pages.push(page);
            if query.before.is_none() {
                return pages;
            }
        }
    }

    fn topic(name: &str) -> UnmatchedQuery {
        UnmatchedQuery { topic: Some(name.to_owned()), ..UnmatchedQuery::default() }
    }

    #[test]
    fn a_page_that_selects_little_looks_at_a_bounded_number_and_says_where_the_next_begins() {
        let last = 2 * UnmatchedQuery::LOOKED_AT_MAX as u64 + 7;
        let pages = pages(last, &topic("rare"), |seq| if seq == 3 { "rare" } else { "usual" });
        let next: Vec<_> = pages.iter().map(|page| page.next.map(|seq| seq.0)).collect();
        assert_eq!(next, [Some(last - 19_999), Some(8), None]);
        let found: Vec<_> = pages.iter().flat_map(|page| &page.events).map(|event| event.seq.0).collect();
        assert_eq!(found, [3]);
    }

    #[test]
    fn pages_leave_none_out_and_repeat_none_and_the_last_one_says_so() {
        for limit in 1..9 {
            let query = UnmatchedQuery { limit, ..UnmatchedQuery::default() };
            let pages = pages(7, &query, |_| "any");
            let found: Vec<_> = pages.iter().flat_map(|page| &page.events).map(|event| event.seq.0).collect();
            assert_eq!((found, pages.len()), ((1..=7).rev().collect(), 7_usize.div_ceil(limit)), "{limit}");
        }
    }

    #[test]
    fn a_walk_ends_where_nothing_can_be_selected_any_more() {
        // A day of seconds, and a little.
        let from = Some(Timestamp::from_millis(100_000_000));
        let query = UnmatchedQuery { from, limit: 1_000, ..UnmatchedQuery::default() };
        let found = pages(100_010, &query, |_| "any");
        assert_eq!(found.iter().map(|page| page.events.len()).sum::<usize>(), 11);
        // Down to a day before, and not to the beginning.
        assert_eq!(found.len(), 86_411_usize.div_ceil(UnmatchedQuery::LOOKED_AT_MAX));
    }

    #[test]
    fn groups_of_pages_add_up() {
        // Of each ten thousand, one after the other.
        let name = |seq: u64| ["one", "two", "three"][(seq as usize - 1) / 10_000];
        for (limit, expected) in [(1, 3), (2, 2), (3, 2), (100, 2)] {
            let (mut query, mut pages) = (UnmatchedQuery { limit, ..UnmatchedQuery::default() }, Vec::new());
            loop {
                let mut grouping = UnmatchedGrouping::new(&query);
                let first = query.before.map_or(30_000, |before| before.0 - 1);
                let _ = (1..=first).rev().all(|seq| grouping.add(event(seq, name(seq))));
                let page = grouping.finish();
                assert!(page.groups.len() <= limit && page.looked_at <= 20_000);
                query.before = page.next;
                pages.push(page);
                if query.before.is_none() {
                    break;
                }
            }
            assert_eq!(pages.len(), expected, "{limit}");
            for topic in ["one", "two", "three"] {
                let groups = pages.iter().flat_map(|page| &page.groups).filter(|group| &*group.topic == topic);
                assert_eq!(groups.map(|group| group.count).sum::<u64>(), 10_000, "{limit}: {topic}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_told_and_counts_as_looked_at() {
        let query = topic("one");
        let mut listing = UnmatchedListing::new(&query);
        assert!(listing.add(event(3, "one")) && listing.add(Err(Seq(2))) && listing.add(event(1, "two")));
        let page = listing.finish();
        assert_eq!((page.events.len(), page.damaged, page.next), (1, vec![Seq(2)], None));
        let mut grouping = UnmatchedGrouping::new(&query);
        assert!(grouping.add(Err(Seq(2))) && grouping.add(event(1, "one")));
        let groups = grouping.finish();
        assert_eq!((groups.groups[0].count, groups.looked_at, groups.damaged), (1, 2, vec![Seq(2)]));
    }
}
