//! Cases about publishing: order, duplicates, conflicts.

use std::sync::Arc;

use bytes::Bytes;

use super::Harness;
use super::fixture::{Fixture, event, failure, identified};
use crate::{Published, Rejection, Seq, Stage};

/// Places follow one another, across publications and inside one.
pub async fn accepts_in_order<H: Harness>() {
    let f = Fixture::<H>::new();
    let first = f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2")]).await;
    let second = f.publish(vec![event("crm", "a", "3")]).await;
    let seqs: Vec<_> =
        first.iter().chain(&second).map(|p| matches!(p, Published::Accepted { seq, .. } if seq.0 > 0)).collect();
    assert_eq!(seqs, [true; 3]);
    assert!(matches!(second[0], Published::Accepted { seq: Seq(3), .. }), "{second:?}");
    assert_eq!(f.drain(f.crm).await, ["1", "2", "3"]);
}

/// The same bytes under the same identity are stored once.
pub async fn refuses_a_duplicate<H: Harness>() {
    let f = Fixture::<H>::new();
    let first = f.publish(vec![event("crm", "a", "1")]).await;
    let again = f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2")]).await;
    assert_eq!(again[0], Published::Duplicate { id: first[0].id() });
    assert!(matches!(again[1], Published::Accepted { seq: Seq(2), .. }));
    assert_eq!(f.drain(f.crm).await, ["1", "2"]);
    assert_eq!(f.queue.status(f.now).await.unwrap().duplicates, 1);
}

/// Also when both are in one publication.
pub async fn refuses_a_duplicate_inside_one_publication<H: Harness>() {
    let f = Fixture::<H>::new();
    let answers = f.publish(vec![event("crm", "a", "1"), event("crm", "a", "1")]).await;
    assert!(matches!(answers[0], Published::Accepted { .. }));
    assert!(answers[1].is_duplicate());
    assert_eq!(f.drain(f.crm).await, ["1"]);
}

/// Inside the window an identity is known; beyond it, it is new.
pub async fn knows_an_identity_for_the_window_only<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    f.wait(3_599);
    assert!(f.publish(vec![event("crm", "a", "1")]).await[0].is_duplicate());
    f.wait(1);
    assert!(matches!(f.publish(vec![event("crm", "a", "1")]).await[0], Published::Accepted { seq: Seq(2), .. }));
    f.wait(3_599);
    assert!(f.publish(vec![event("crm", "a", "1")]).await[0].is_duplicate(), "known anew");
}

/// Another content under the same identity is kept and flagged; the same conflict again is a duplicate.
pub async fn keeps_a_conflict<H: Harness>() {
    let f = Fixture::<H>::new();
    let first = f.publish(vec![identified("x", "crm", "a", "one")]).await[0];
    let second = f.publish(vec![identified("x", "crm", "a", "two")]).await[0];
    let Published::Conflict { id, of, seq: Seq(2) } = second else { panic!("{second:?}") };
    assert_eq!(of, first.id());
    assert_ne!(id, first.id());
    let third = f.publish(vec![identified("x", "crm", "a", "three"), identified("x", "crm", "a", "t wo")]).await;
    assert!(matches!(third[0], Published::Conflict { seq: Seq(3), .. }), "{third:?}");
    assert_eq!(third[1], Published::Duplicate { id });
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, crate::Outcome::Done).await;
    let next = f.lease(f.crm, 10).await;
    assert_eq!(next[0].stored.event.conflict_of, Some(first.id()));
    assert_eq!(f.queue.status(f.now).await.unwrap().conflicts, 2);
}

/// Other bytes with the same content are the same event.
pub async fn takes_the_same_content_for_a_duplicate<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![identified("x", "crm", "a", "o n e")]).await;
    assert!(f.publish(vec![identified("x", "crm", "a", "one")]).await[0].is_duplicate());
    assert_eq!(f.drain(f.crm).await, ["o n e"]);
}

/// A body that cannot be read is a dead letter of stage `intake`, once.
pub async fn keeps_a_rejected_body_once<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let mut failure = failure("not JSON");
    failure.stage = Stage::Intake;
    let rejection = |body: &'static str, received| Rejection {
        proof: Arc::from("key 1"),
        source: Arc::from("test"),
        received,
        failure: failure.clone(),
        body: Bytes::from(body),
    };
    let first = f.queue.reject(rejection("{", f.now)).await.unwrap();
    f.wait(10);
    assert_eq!(f.queue.reject(rejection("{", f.now)).await.unwrap(), first);
    assert_ne!(f.queue.reject(rejection("}", f.now)).await.unwrap(), first);
    f.wait(3_600);
    assert_ne!(f.queue.reject(rejection("{", f.now)).await.unwrap(), first, "beyond the window");
    let letter = f.queue.dead_letter(first).await.unwrap().unwrap();
    assert_eq!(letter.body.as_deref(), Some(&b"{"[..]));
    assert_eq!((letter.destination, letter.seq, letter.event), (None, None, None));
    assert_eq!(letter.failure.message, "not JSON");
    assert_eq!(f.queue.status(f.now).await.unwrap().dead_letters, 3);
}

/// An accepted event can be found by its id.
pub async fn finds_an_event_by_its_id<H: Harness>() {
    let f = Fixture::<H>::new();
    let published = f.publish(vec![event("crm", "a", "1"), event("none", "", "2")]).await;
    let found = f.queue.event(published[1].id()).await.unwrap().unwrap();
    assert_eq!((found.seq, &found.event.body[..]), (Seq(2), &b"2"[..]));
    assert_eq!(found.event.conversation, None);
    assert!(f.queue.event(event("crm", "a", "3").id).await.unwrap().is_none());
}
