//! Cases about retention.

use super::Harness;
use super::fixture::{Fixture, event, failure};
use crate::{Attempts, DeadLetterQuery, Maintained, Outcome, Seq, Stage};

async fn maintain<H: Harness>(f: &Fixture<H>) -> Maintained {
    let mut sum = Maintained::default();
    loop {
        let step = f.queue.maintain(f.now).await.expect("maintains");
        sum.events_dropped += step.events_dropped;
        sum.identities_dropped += step.identities_dropped;
        sum.expired += step.expired;
        if !step.more {
            return sum;
        }
    }
}

/// A settled event goes when its retention ends, and places go on counting.
pub async fn drops_what_is_settled_and_old<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let published = f.publish((0..300).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    assert_eq!(f.drain(f.crm).await.len(), 300);
    f.wait(7_201);
    let done = maintain(&f).await;
    assert_eq!((done.events_dropped, done.expired), (300, 0));
    assert!(f.queue.event(published[0].id()).await.unwrap().is_none());
    assert_eq!(f.queue.status(f.now).await.unwrap().retained, 0);
    let next = f.publish(vec![event("crm", "a", "next")]).await;
    assert!(matches!(next[0], crate::Published::Accepted { seq: Seq(301), .. }), "{next:?}");
    assert_eq!(f.drain(f.crm).await, ["next"]);
}

/// An undelivered event becomes a dead letter when its retention ends; one that nobody wanted just goes.
pub async fn buries_what_is_undelivered_and_old<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let events = vec![event("crm", "a", "1"), event("crm", "a", "2"), event("crm", "b", "3"), event("none", "a", "4")];
    f.publish(events).await;
    let leases = f.lease(f.crm, 1).await;
    let attempts = Attempts { made: 2, charged: 0, first: Some(f.now), last: Some(f.now) };
    let at = f.now.plus(std::time::Duration::from_secs(100_000));
    f.settle(&leases, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    f.wait(7_201);
    assert_eq!(maintain(&f).await.expired, 3);
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| letter.failure.stage == Stage::Queue));
    assert_eq!(letters.iter().map(|letter| letter.attempts.made).max(), Some(2));
    assert!(f.queue.dead_letter(letters[0].id).await.unwrap().unwrap().body.is_some(), "with its event");
    f.wait(100_000);
    f.publish(vec![event("crm", "a", "new")]).await;
    assert_eq!(f.drain(f.crm).await, ["new"]);
    assert_eq!(f.queue.status(f.now).await.unwrap().consumers[0].retrying, 0);
}

/// The event of a dead letter stays as long as the dead letter.
pub async fn keeps_the_events_of_dead_letters<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2")]).await;
    let leases = f.lease(f.crm, 1).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    f.drain(f.crm).await;
    f.wait(7_201);
    maintain(&f).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    let letter = f.queue.dead_letter(letters[0].id).await.unwrap().unwrap();
    assert_eq!(letter.body.as_deref(), Some(&b"1"[..]));
}

/// Nothing goes before its time, and an event that is being delivered does not go at all.
pub async fn keeps_what_is_young<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    f.wait(7_199);
    f.publish(vec![event("crm", "b", "2")]).await;
    assert_eq!(maintain(&f).await.events_dropped, 0);
    assert_eq!(f.drain(f.crm).await, ["1", "2"]);
}
