//! Which of several servers delivers to a destination, and who takes over from it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, body, event};
use queue::{ConsumerId, Lease, Outcome, Queue};
use queue_aws::AwsQueue;

use crate::emulator::{open, table};
use crate::faults::{Fault, Faulty, alone, faulty, publication, settle};

const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);
/// Short, so that a take-over does not take long.
const OWNERSHIP: Duration = Duration::from_secs(2);
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> queue_aws::Options {
    queue_aws::Options { ownership: Some(OWNERSHIP), ..table(OPTIONS) }
}

async fn publish(queue: &AwsQueue, conversations: &[&str]) {
    let events = conversations.iter().map(|name| event("crm", name, name)).collect();
    queue.publish(publication(events, NOW)).await.expect("publishes");
}

/// Leases as a service does, until there is something.
async fn leased(queue: &AwsQueue, crm: ConsumerId, now: Timestamp) -> Vec<Lease> {
    let leasing = async {
        loop {
            let leases = queue.lease(crm, 10, now).await.expect("leases");
            if !leases.is_empty() {
                return leases;
            }
            queue.changed(crm).await;
        }
    };
    tokio::time::timeout(PATIENCE, leasing).await.expect("leases in the end")
}

fn bodies(leases: &[Lease]) -> BTreeSet<String> {
    leases.iter().map(body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_delivers_and_another_one_asks_for_nothing_meanwhile() {
    let options = options();
    let owner = open(&options);
    let standby = faulty(&options, Fault::Unsent(u64::MAX));
    let (crm, _) = (alone(&*owner), alone(&standby.queue));
    publish(&owner, &["a", "b"]).await;
    assert_eq!(owner.lease(crm, 1, NOW).await.expect("leases").len(), 1);
    assert!(standby.queue.lease(crm, 1, NOW).await.expect("asks who owns it").is_empty());
    let before = standby.requests.load(Ordering::SeqCst);
    for _ in 0..200 {
        assert!(standby.queue.lease(crm, 1, NOW).await.expect("knows").is_empty());
        assert_eq!(standby.queue.next_due(crm), None);
    }
    // It looks at the head and at the owners from time to time, whoever leases.
    let asked = standby.requests.load(Ordering::SeqCst) - before;
    assert!(asked < 100, "{asked} requests for 200 leases");
    assert_eq!(owner.lease(crm, 10, NOW).await.expect("leases").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_gives_back_when_it_stops_is_taken_over_and_what_it_leased_is_not() {
    let options = options();
    let (one, other) = (open(&options), open(&options));
    let (crm, _) = (alone(&*one), alone(&*other));
    publish(&one, &["a", "b"]).await;
    let leases = one.lease(crm, 1, NOW).await.expect("leases");
    assert_eq!(bodies(&leases), ["a".to_owned()].into());
    assert!(other.lease(crm, 10, NOW).await.expect("asks").is_empty());
    one.close().await.expect("closes");
    assert_eq!(bodies(&leased(&other, crm, NOW).await), ["b".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_a_server_does_not_have_any_more_is_taken_over() {
    let options = options();
    let (one, other) = (open(&options), open(&options));
    let (crm, _) = (alone(&*one), alone(&*other));
    publish(&one, &["a"]).await;
    assert!(one.lease(crm, 0, NOW).await.expect("owns it").is_empty());
    assert!(other.lease(crm, 10, NOW).await.expect("asks").is_empty());
    one.configure(queue::conformance::fixture::topology(&["lake"], queue::Order::Conversation)).expect("configures");
    assert_eq!(bodies(&leased(&other, crm, NOW).await), ["a".to_owned()].into());
    assert!(one.lease(crm, 10, NOW).await.expect("has it no more").is_empty());
}

/// A server that cannot say any more that it is there stops to lease by itself, and is taken over from, whatever the clock
/// of the other one shows; and what it delivered before counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_taken_over_from_and_its_settlements_count() {
    for skew in [-60_000, 0, 50_000] {
        let options = options();
        let Faulty { queue: silent, off, .. } = faulty(&options, Fault::Switched);
        let other = open(&options);
        let (crm, _) = (alone(&silent), alone(&*other));
        publish(&other, &["a", "b"]).await;
        let theirs = silent.lease(crm, 1, NOW).await.expect("leases");
        off.store(true, Ordering::SeqCst);
        let now = Timestamp::from_millis(NOW.as_millis() + skew);
        assert!(other.lease(crm, 10, now).await.expect("asks").is_empty(), "its word still counts, {skew}");
        let mine = leased(&other, crm, now).await;
        assert_eq!(bodies(&mine), ["b".to_owned()].into(), "what is under way is not leased, {skew}");
        off.store(false, Ordering::SeqCst);
        let stopped = async { while !silent.lease(crm, 10, NOW).await.is_ok_and(|leases| leases.is_empty()) {} };
        tokio::time::timeout(PATIENCE, stopped).await.expect("it learns that it was taken over from");
        silent.settle(settle(&theirs, &Outcome::Done), NOW).await.expect("settles");
        other.settle(settle(&mine, &Outcome::Done), now).await.expect("settles");
        let consumer = &other.status(now).await.expect("tells").consumers[0];
        assert_eq!((consumer.delivered, consumer.unsettled), (2, 0), "{skew}");
    }
}

/// As long as it can say so, nobody takes over from a server, also one that has nothing to lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_without_work_stays_the_owner() {
    let options = options();
    let owner = faulty(&options, Fault::Unsent(u64::MAX));
    let other = open(&options);
    let (crm, _) = (alone(&owner.queue), alone(&*other));
    assert!(owner.queue.lease(crm, 10, NOW).await.expect("owns it").is_empty());
    let waiting = async {
        // Some times as long as its word counts.
        let until = tokio::time::Instant::now() + OWNERSHIP * 4;
        while tokio::time::Instant::now() < until {
            assert!(other.lease(crm, 10, NOW).await.expect("asks").is_empty());
            let _ = tokio::time::timeout(OWNERSHIP / 4, other.changed(crm)).await;
        }
    };
    waiting.await;
    publish(&other, &["a"]).await;
    assert!(other.lease(crm, 10, NOW).await.expect("asks").is_empty());
    assert_eq!(bodies(&leased(&owner.queue, crm, NOW).await), ["a".to_owned()].into());
}
