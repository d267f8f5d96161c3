//! Cases about crashes, for backends that keep anything.

use std::time::Duration;

use super::Harness;
use super::fixture::{Fixture, body, event, failure};
use crate::{Attempts, BehindDead, DeadLetterQuery, Outcome, Published, ReviewState, Seq};

/// What was acknowledged is there, byte for byte, and what was on lease is free.
pub async fn keeps_accepted_events<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..700).map(|n| event("both", &format!("c{}", n % 7), &format!("event {n}"))).collect()).await;
    assert_eq!(f.lease(f.crm, 10).await.len(), 7);
    f.crash();
    let delivered = f.drain(f.crm).await;
    assert_eq!(delivered.len(), 700);
    assert_eq!(f.drain(f.lake).await.len(), 700);
}

/// What was settled stays settled, also out of order.
pub async fn keeps_settlements<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..100).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    let leases = f.lease(f.crm, 100).await;
    let odd: Vec<_> = leases.into_iter().filter(|lease| lease.token.seq.0 % 2 == 1).collect();
    f.settle(&odd, Outcome::Done).await;
    f.crash();
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.consumers[0].delivered, status.consumers[0].unsettled), (50, 50));
    let rest = f.lease(f.crm, 100).await;
    assert!(rest.iter().all(|lease| lease.token.seq.0 % 2 == 0));
    assert_eq!(rest.len(), 50);
}

/// A retry keeps its time and its attempts, and its conversation keeps waiting.
pub async fn keeps_retries<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2"), event("crm", "b", "3")]).await;
    let leases = f.lease(f.crm, 1).await;
    let attempts = Attempts { made: 3, charged: 2, first: Some(f.now), last: Some(f.now) };
    let at = f.now.plus(Duration::from_secs(600));
    f.settle(&leases, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    f.crash();
    assert_eq!(f.drain(f.crm).await, ["3"]);
    f.wait(600);
    let again = f.lease(f.crm, 10).await;
    assert_eq!((body(&again[0]).as_str(), again[0].attempts), ("1", attempts));
    f.settle(&again, Outcome::Done).await;
    assert_eq!(f.drain(f.crm).await, ["2"]);
}

/// Dead letters stay.
pub async fn keeps_dead_letters<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    let leases = f.lease(f.crm, 1).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let before = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    f.crash();
    assert_eq!(f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap(), before);
    assert_eq!(f.queue.status(f.now).await.unwrap().dead_letters, 1);
    assert!(f.drain(f.crm).await.is_empty());
}

/// A redriven event is for its destination only, also when it is read back from the store.
pub async fn keeps_redriven<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("both", "a", "1"), event("both", "b", "2")]).await;
    let leases = f.lease(f.crm, 2).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    f.queue.redrive(letters.iter().map(|letter| letter.id).collect(), f.by()).await.unwrap();
    f.crash();
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.accepted, status.redriven, status.dead_letters), (2, 2, 0));
    assert_eq!(f.drain(f.lake).await, ["1", "2"], "once");
    assert_eq!(f.drain(f.crm).await, ["1", "2"]);
    f.publish(vec![event("both", "a", "3")]).await;
    assert_eq!(f.queue.status(f.now).await.unwrap().accepted, 3);
}

/// An edited copy and the state of a group stay, and so does the mark of an event that was edited.
pub async fn keeps_edits_and_reviews<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2")]).await;
    let leases = f.lease(f.crm, 2).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    for letter in &letters {
        let copy = bytes::Bytes::from(format!("edited {}", letter.id.0));
        f.queue.edit(letter.id, Some(copy), f.by()).await.unwrap();
    }
    f.queue.redrive(vec![letters[0].id], f.by()).await.unwrap();
    f.queue.set_review(letters[1].fingerprint(), ReviewState::Acknowledged, f.by()).await.unwrap();
    let (reviews, before) = (f.queue.reviews().await.unwrap(), f.queue.dead_letter(letters[1].id).await.unwrap());
    f.crash();
    assert_eq!(f.queue.reviews().await.unwrap(), reviews);
    assert_eq!(f.queue.dead_letter(letters[1].id).await.unwrap(), before);
    let groups = f.queue.dead_letter_groups(DeadLetterQuery::default()).await.unwrap();
    assert_eq!(groups[0].review.state, ReviewState::Acknowledged);
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases.iter().map(body).collect::<Vec<_>>(), ["edited 1"]);
    assert!(leases[0].stored.again.is_some_and(|again| again.edited));
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let groups = f.queue.dead_letter_groups(DeadLetterQuery::default()).await.unwrap();
    assert!(groups[0].review.reopened, "{groups:?}");
}

/// A conversation that waits for its dead letter waits on after a crash, and in the same order.
pub async fn keeps_conversations_held<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish((1..4).map(|n| event("crm", "a", &format!("a{n}"))).chain([event("crm", "b", "b1")]).collect()).await;
    let leases = f.lease(f.crm, 1).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    f.crash();
    f.set_behind_dead(BehindDead::Hold);
    assert_eq!(f.drain(f.crm).await, ["b1"]);
    let consumer = f.queue.status(f.now).await.unwrap().consumers.swap_remove(0);
    assert_eq!((consumer.held_conversations, consumer.held), (1, 2));
    let ids = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap().iter().map(|letter| letter.id).collect();
    f.queue.redrive(ids, f.by()).await.unwrap();
    f.crash();
    f.set_behind_dead(BehindDead::Hold);
    let again = f.lease(f.crm, 10).await;
    assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["a1"]);
    f.settle(&again, Outcome::Done).await;
    f.crash();
    f.set_behind_dead(BehindDead::Hold);
    assert_eq!(f.drain(f.crm).await, ["a2", "a3"]);
}

/// Live events go first after a crash too, with thousands of redriven ones before them in the log.
pub async fn keeps_redriven_behind_all_others<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..2_000).map(|n| event("crm", &format!("d{n}"), &format!("dead {n}"))).collect()).await;
    let leases = f.lease(f.crm, 2_000).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let query = DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() };
    let ids = f.queue.dead_letters(query).await.unwrap().iter().map(|letter| letter.id).collect();
    f.queue.redrive(ids, f.by()).await.unwrap();
    f.publish((0..1_000).map(|n| event("crm", &format!("c{n}"), &format!("live {n}"))).collect()).await;
    f.crash();
    let first = f.lease(f.crm, 1_000).await;
    assert!(first.iter().all(|lease| lease.stored.again.is_none()));
    f.settle(&first, Outcome::Done).await;
    assert_eq!(f.drain(f.crm).await.len(), 2_000);
}

/// A duplicate is known after a crash, and so is a conflict.
pub async fn keeps_identities<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..500).map(|n| event("crm", "a", &n.to_string())).collect()).await;
    f.publish(vec![super::fixture::identified("3", "crm", "a", "other")]).await;
    f.crash();
    let again = f.publish((0..500).map(|n| event("crm", "a", &n.to_string())).collect()).await;
    assert!(again.iter().all(Published::is_duplicate));
    let conflict = f.publish(vec![super::fixture::identified("3", "crm", "a", "other")]).await;
    assert!(conflict[0].is_duplicate(), "{conflict:?}");
}

/// No place is given twice, even when the log is empty again.
pub async fn keeps_places_unique<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2")]).await;
    f.drain(f.crm).await;
    f.wait(7_201);
    f.queue.maintain(f.now).await.unwrap();
    f.crash();
    let next = f.publish(vec![event("crm", "a", "3")]).await;
    assert!(matches!(next[0], Published::Accepted { seq: Seq(3), .. }), "{next:?}");
    assert_eq!(f.drain(f.crm).await, ["3"]);
}

/// The trail goes on behind a crash, and says of everything that was acknowledged what became of it.
pub async fn keeps_the_trail<H: Harness>() {
    let mut f = Fixture::<H>::new();
    for n in 0..5 {
        f.publish(vec![event("crm", "a", &n.to_string())]).await;
        f.crash();
    }
    f.drain(f.crm).await;
    f.crash();
    let entries = super::trail::whole(&f).await;
    let received = entries.iter().filter(|entry| matches!(entry.what, audit::What::Received { .. })).count();
    let attempted = entries.iter().filter(|entry| matches!(entry.what, audit::What::Attempted { .. })).count();
    assert_eq!((received, attempted), (5, 5));
}
