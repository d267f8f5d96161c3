//! Cases about events that matched no route.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Timestamp;

use super::Harness;
use super::fixture::{Fixture, event, identified};
use crate::{NewEvent, Publication, Seq, Unmatched, UnmatchedGroup, UnmatchedPage, UnmatchedQuery};

async fn page<H: Harness>(f: &Fixture<H>, query: &UnmatchedQuery) -> UnmatchedPage {
    let page = f.queue.unmatched(query.clone()).await.expect("lists");
    assert!(page.damaged.is_empty(), "{page:?}");
    page
}

/// All pages of so many, one after the other.
async fn walk<H: Harness>(f: &Fixture<H>, query: UnmatchedQuery, limit: usize) -> Vec<Unmatched> {
    let (mut query, mut events) = (UnmatchedQuery { limit, ..query }, Vec::new());
    loop {
        let page = page(f, &query).await;
        assert!(page.events.len() <= limit);
        events.extend(page.events);
        query.before = page.next;
        if query.before.is_none() {
            return events;
        }
    }
}

async fn groups<H: Harness>(f: &Fixture<H>, query: &UnmatchedQuery) -> Vec<UnmatchedGroup> {
    f.queue.unmatched_groups(query.clone()).await.expect("groups").groups
}

fn places(events: &[Unmatched]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

fn short(groups: &[UnmatchedGroup]) -> Vec<(&str, &str, u64)> {
    groups.iter().map(|group| (&*group.source, &*group.topic, group.count)).collect()
}

/// Like [`Fixture::publish`], by another source.
async fn publish_by<H: Harness>(f: &Fixture<H>, source: &str, events: Vec<NewEvent>) {
    let content = |_: &[u8]| [0; 16];
    let publication = Publication {
        proof: Arc::from("key 1"),
        source: Arc::from(source),
        received: f.now,
        events,
        content: crate::Content::Plain(content),
    };
    f.queue.publish(publication).await.expect("publishes");
}

/// Events of all kinds; those of places 2, 4, 5, 7 and 8 are for nobody.
async fn staged<H: Harness>() -> Fixture<H> {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("lost", "a", "22"), event("both", "b", "3")]).await;
    f.wait(60);
    f.publish(vec![event("lost", "b", "4444"), identified("x", "", "", "5"), event("lake", "b", "6")]).await;
    f.wait(60);
    publish_by(&f, "other", vec![event("lost", "a", "7")]).await;
    // The same identity with another content: a conflict, which matches no route either.
    f.publish(vec![identified("x", "", "", "8!")]).await;
    f
}

/// They are listed, the newest first, with what they are and how large, and with no others.
pub async fn lists_what_matches_no_route<H: Harness>() {
    let f = staged::<H>().await;
    let all = page(&f, &UnmatchedQuery::default()).await;
    assert_eq!((places(&all.events), all.next), (vec![8, 7, 5, 4, 2], None));
    let [conflict, other, first, _, lost] = &all.events[..] else { panic!("{all:?}") };
    assert_eq!((conflict.conflict_of, conflict.body_bytes), (Some(first.event), 2));
    assert_eq!((&*other.source, &*other.topic, other.conversation.as_deref()), ("other", "lost", Some("a")));
    assert_eq!((&*first.topic, first.conversation.as_deref(), first.conflict_of), ("", None, None));
    let stored = f.queue.event(lost.event).await.unwrap().expect("leads to the event");
    assert_eq!((stored.seq, stored.event.received, stored.event.body.len() as u64), (lost.seq, lost.received, 2));
}

/// Every condition selects, alone and together; what is selected does not depend on the size of the pages.
pub async fn selects_what_matches_no_route<H: Harness>() {
    let f = staged::<H>().await;
    let minute = |minutes: u64| Some(f.now.minus(std::time::Duration::from_secs(120 - 60 * minutes)));
    let any = UnmatchedQuery::default;
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (any(), vec![8, 7, 5, 4, 2]),
        (UnmatchedQuery { source: some("test"), ..any() }, vec![8, 5, 4, 2]),
        (UnmatchedQuery { topic: some("lost"), ..any() }, vec![7, 4, 2]),
        (UnmatchedQuery { topic: some(""), ..any() }, vec![8, 5]),
        (UnmatchedQuery { topic: some("crm"), ..any() }, vec![]),
        (UnmatchedQuery { conversation: some("a"), ..any() }, vec![7, 2]),
        (UnmatchedQuery { conversation: some(""), ..any() }, vec![]),
        (UnmatchedQuery { from: minute(1), ..any() }, vec![8, 7, 5, 4]),
        (UnmatchedQuery { to: minute(1), ..any() }, vec![2]),
        (UnmatchedQuery { from: minute(1), to: minute(2), ..any() }, vec![5, 4]),
        (UnmatchedQuery { from: minute(2), to: minute(1), ..any() }, vec![]),
        (UnmatchedQuery { before: Some(Seq(5)), ..any() }, vec![4, 2]),
        (UnmatchedQuery { before: Some(Seq(0)), ..any() }, vec![]),
        (UnmatchedQuery { before: Some(Seq(u64::MAX)), ..any() }, vec![8, 7, 5, 4, 2]),
        (UnmatchedQuery { source: some("test"), topic: some("lost"), conversation: some("a"), ..any() }, vec![2]),
        (UnmatchedQuery { from: Some(Timestamp::from_millis(i64::MIN)), ..any() }, vec![8, 7, 5, 4, 2]),
        (UnmatchedQuery { from: Some(Timestamp::from_millis(i64::MAX)), ..any() }, vec![]),
    ];
    for (query, expected) in cases {
        for limit in [1, 2, 5, 100] {
            assert_eq!(places(&walk(&f, query.clone(), limit).await), expected, "{limit}: {query:?}");
        }
        let counted: u64 = groups(&f, &query).await.iter().map(|group| group.count).sum();
        assert_eq!(counted, expected.len() as u64, "{query:?}");
    }
}

/// Pages repeat none and leave none out of those that stay, whatever is accepted and dropped between them.
pub async fn pages_through_what_matches_no_route_while_it_changes<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let lost = |from: u64, to: u64| (from..=to).map(|n| event("lost", &format!("c{n}"), &n.to_string())).collect();
    f.publish(lost(1, 40)).await;
    f.wait(4_000);
    f.publish(lost(41, 100)).await;
    let mut query = UnmatchedQuery { limit: 7, ..UnmatchedQuery::default() };
    let mut seen = Vec::new();
    for round in 0.. {
        let page = page(&f, &query).await;
        seen.extend(places(&page.events));
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
        f.publish(lost(200 + round * 10, 200 + round * 10 + 3)).await;
        if round == 4 {
            // The first ones are beyond retention now, and those of the next page are not.
            f.wait(4_000);
            while f.queue.maintain(f.now).await.expect("maintains").more {}
        }
    }
    assert_eq!(seen, (41..=100).rev().collect::<Vec<u64>>());
    assert!(walk(&f, UnmatchedQuery::default(), 10).await.iter().all(|event| event.seq.0 > 40));
}

/// They are counted by source and topic, the largest group first, and every group leads to one of its events.
pub async fn groups_what_matches_no_route<H: Harness>() {
    let f = staged::<H>().await;
    let all = f.queue.unmatched_groups(UnmatchedQuery::default()).await.expect("groups");
    assert_eq!(short(&all.groups), [("test", "", 2), ("test", "lost", 2), ("other", "lost", 1)]);
    assert_eq!((all.looked_at, all.next), (5, None));
    let lost = &all.groups[1];
    assert_eq!(lost.first.until(lost.last).as_secs(), 60);
    let sample = f.queue.event(lost.sample).await.unwrap().expect("leads to an event");
    assert_eq!(sample.seq, Seq(4), "the newest");
    let query = UnmatchedQuery { source: Some("other".to_owned()), ..UnmatchedQuery::default() };
    assert_eq!(short(&groups(&f, &query).await), [("other", "lost", 1)]);
    // A page of two groups ends before the third, and what pages count adds up.
    let (mut query, mut sums) = (UnmatchedQuery { limit: 2, ..UnmatchedQuery::default() }, BTreeMap::new());
    loop {
        let page = f.queue.unmatched_groups(query.clone()).await.expect("groups");
        assert!(page.groups.len() <= 2);
        for group in page.groups {
            *sums.entry((group.source.to_string(), group.topic.to_string())).or_insert(0) += group.count;
        }
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    assert_eq!(sums.into_values().collect::<Vec<_>>(), [1, 2, 2]);
}

/// They are there after a crash.
pub async fn keeps_what_matches_no_route<H: Harness>() {
    let mut f = staged::<H>().await;
    let before = page(&f, &UnmatchedQuery::default()).await;
    f.crash();
    assert_eq!(page(&f, &UnmatchedQuery::default()).await, before);
}
