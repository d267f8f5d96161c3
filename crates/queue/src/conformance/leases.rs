//! Cases about how leases end and when what failed is tried again.

use std::time::Duration;

use futures::FutureExt;

use super::Harness;
use super::fixture::{Fixture, body, event, failure};
use crate::{Attempts, Outcome};

/// A retry comes when it is due, with its attempts, and is named by `next_due`.
pub async fn retries_when_due<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases[0].attempts, Attempts::default());
    let at = f.now.plus(Duration::from_secs(30));
    let attempts = Attempts { made: 1, charged: 1, first: Some(f.now), last: Some(f.now) };
    f.settle(&leases, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    assert!(f.lease(f.crm, 10).await.is_empty());
    assert_eq!(f.queue.next_due(f.crm), Some(at));
    assert_eq!(f.queue.status(f.now).await.unwrap().consumers[0].retrying, 1);
    f.wait(30);
    let again = f.lease(f.crm, 10).await;
    assert_eq!((body(&again[0]).as_str(), again[0].attempts), ("1", attempts));
    f.settle(&again, Outcome::Done).await;
    assert_eq!(f.queue.next_due(f.crm), None);
}

/// What has failed before keeps nothing back that was not tried yet, nor the other way round: where few are leased at a
/// time, they take turns.
pub async fn what_failed_and_what_was_not_tried_take_turns<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..4).map(|n| event("crm", &format!("p{n}"), &format!("poison {n}"))).collect()).await;
    let failed = Attempts { made: 1, charged: 0, first: Some(f.now), last: Some(f.now) };
    let again = Outcome::Retry { at: f.now, attempts: failed, failure: failure("busy") };
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, again.clone()).await;
    while f.queue.changed(f.crm).now_or_never().is_some() {}
    f.publish((0..4).map(|n| event("crm", &format!("g{n}"), &format!("good {n}"))).collect()).await;
    // Who published is told when it is durable, and who leases a moment later.
    f.queue.changed(f.crm).await;
    for _ in 0..4 {
        let (one, other) = (f.lease(f.crm, 1).await, f.lease(f.crm, 1).await);
        let good = |leases: &[crate::Lease]| body(&leases[0]).starts_with("good");
        assert!(good(&one) != good(&other), "{} and {}", body(&one[0]), body(&other[0]));
        for leases in [one, other] {
            let outcome = if good(&leases) { Outcome::Done } else { again.clone() };
            f.settle(&leases, outcome).await;
        }
    }
    assert!(f.drain(f.crm).await.iter().all(|body| body.starts_with("poison")));
}

/// A lease that was not used goes back as it was.
pub async fn a_released_lease_counts_nothing<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Release).await;
    let again = f.lease(f.crm, 10).await;
    assert_eq!((body(&again[0]).as_str(), again[0].attempts), ("1", Attempts::default()));
}

/// A lease that nobody settles can be leased again after its time.
pub async fn an_unsettled_lease_ends<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    let lease = f.lease(f.crm, 10).await;
    assert_eq!(f.queue.next_due(f.crm), Some(lease[0].until));
    f.wait(59);
    assert!(f.lease(f.crm, 10).await.is_empty());
    f.wait(1);
    assert_eq!(f.bodies(f.crm).await, ["1"]);
}

/// A clock that was set back by days does not keep a retry waiting for days; one that is due soon still waits.
pub async fn a_retry_further_ahead_than_anybody_waits_is_due<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("crm", "b", "2"), event("crm", "b", "3")]).await;
    let leases = f.lease(f.crm, 10).await;
    let retry = |at| Outcome::Retry { at, attempts: Attempts::default(), failure: failure("busy") };
    f.settle(&leases[1..], retry(f.now.plus(Duration::from_secs(10)))).await;
    f.wait_back(2 * 86_400);
    assert_eq!(f.bodies(f.crm).await, ["2"], "and 1 is out on its lease");
    f.settle(&leases[..1], retry(f.now.plus(Duration::from_secs(10)))).await;
    assert!(f.lease(f.crm, 10).await.is_empty());
    f.wait(10);
    assert_eq!(f.bodies(f.crm).await, ["1"]);
}

/// A settlement that comes behind the end of its lease counts, if nobody has leased the event since: also where the end
/// was noticed in between. The next of the conversation follows, and nothing is delivered again.
pub async fn a_late_settlement_counts_while_nobody_else_has_the_event<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "a1"), event("crm", "a", "a2"), event("crm", "b", "b1")]).await;
    let late = f.lease(f.crm, 10).await;
    assert_eq!(late.iter().map(body).collect::<Vec<_>>(), ["a1", "b1"]);
    f.wait(60);
    // Takes notice of the ends, and leases neither.
    assert!(f.lease(f.crm, 0).await.is_empty());
    f.wait_back(60);
    f.settle(&late[..1], Outcome::Done).await;
    f.settle(&late[..1], Outcome::Done).await;
    f.wait(3_600);
    f.settle(&late[1..], Outcome::Done).await;
    assert_eq!(f.drain(f.crm).await, ["a2"]);
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.consumers[0].delivered, status.consumers[0].unsettled), (3, 0));
}

/// Who comes too late settles nothing.
pub async fn a_settlement_of_an_ended_lease_is_ignored<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1")]).await;
    let late = f.lease(f.crm, 10).await;
    f.wait(60);
    let held = f.lease(f.crm, 10).await;
    f.settle(&late, Outcome::Dead { attempts: Attempts::default(), failure: failure("late") }).await;
    assert_eq!(f.queue.status(f.now).await.unwrap().dead_letters, 0);
    f.settle(&held, Outcome::Done).await;
    f.settle(&held, Outcome::Done).await;
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.consumers[0].delivered, status.consumers[0].unsettled), (1, 0));
}
