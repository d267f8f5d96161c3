//! What is too large for the table is in a bucket, and goes when it is not needed any more.

use std::collections::BTreeMap;

use bytes::Bytes;
use event::Timestamp;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use queue::conformance::fixture::{OPTIONS, event, failure};
use queue::{Attempts, By, ConsumerId, DeadLetterQuery, Erasure, NewEvent, Outcome, Queue, QueueError, Seq};
use queue_aws::{Bodies, INLINE_BYTES};

use crate::bucket;
use crate::emulator::{open, table};
use crate::faults::{alone, publication, settle};

const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

/// With a bucket as servers have it.
fn options() -> queue_aws::Options {
    let options = bucket::with(table(OPTIONS));
    let bodies = options.bodies.clone().map(|bodies| Bodies { inline_bytes: INLINE_BYTES, ..bodies });
    queue_aws::Options { bodies, ..options }
}

/// An event with so many bytes.
fn large(conversation: &str, name: &str, bytes: usize) -> NewEvent {
    let mut body = format!("{{\"body\":\"{name}\",\"rest\":\"").into_bytes();
    body.resize(bytes.saturating_sub(2), b'x');
    body.extend_from_slice(b"\"}");
    NewEvent { body: Bytes::from(body), ..event("crm", conversation, name) }
}

/// Delivers everything; how many bytes each event has, by its place.
async fn drain(queue: &dyn Queue, crm: ConsumerId, now: Timestamp) -> BTreeMap<Seq, usize> {
    let mut delivered = BTreeMap::new();
    loop {
        let leases = queue.lease(crm, 100, now).await.expect("leases");
        if leases.is_empty() {
            return delivered;
        }
        delivered.extend(leases.iter().map(|lease| (lease.stored.seq, lease.stored.event.body.len())));
        queue.settle(settle(&leases, &Outcome::Done), now).await.expect("settles");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_and_large_requests_go_through_the_bucket_and_leave_nothing_there() {
    let options = options();
    let queue = open(&options);
    let crm = alone(&*queue);
    queue.publish(publication(vec![large("a", "small", 1_000)], NOW)).await.expect("publishes");
    assert!(bucket::objects(&options).await.is_empty(), "what is small is in the table");
    queue
        .publish(publication(vec![large("a", "five", 5_000_000), large("b", "one", 2_000)], NOW))
        .await
        .expect("publishes");
    assert_eq!(bucket::objects(&options).await.len(), 1, "the large one alone");
    let many = (0..2_500).map(|number| large(&format!("m{}", number % 40), &format!("many {number}"), 2_000));
    queue.publish(publication(many.collect(), NOW)).await.expect("a request of 5 MB in 2,500 events");
    // A server that has nothing in memory.
    let other = open(&options);
    let delivered = drain(&*other, alone(&*other), NOW).await;
    assert_eq!((delivered.len(), delivered[&Seq(2)]), (2_503, 5_000_000));
    assert!(delivered.iter().all(|(seq, bytes)| *bytes == 2_000 || seq.0 <= 2));
    let erasure = Erasure { conversation: "a".into(), dry_run: false, by: By::new("ann", NOW) };
    let before = bucket::objects(&options).await;
    assert_eq!(other.erase(erasure).await.expect("erases").events, 2);
    assert_eq!(bucket::objects(&options).await.len(), before.len() - 1, "its object is gone");
    bucket::has_what_is_named(&*queue, &options).await;
    let later = NOW.plus(OPTIONS.retention + std::time::Duration::from_secs(1));
    while queue.maintain(later).await.expect("maintains").more {}
    assert!(bucket::objects(&options).await.is_empty(), "retention drops objects");
    assert_eq!(crm, ConsumerId(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_dead_letter_is_redriven_and_its_objects_go_with_it() {
    let options = options();
    let queue = open(&options);
    let crm = alone(&*queue);
    queue
        .publish(publication(vec![large("a", "five", 5_000_000), large("b", "gone", 1_000_000)], NOW))
        .await
        .expect("publishes");
    let leases = queue.lease(crm, 10, NOW).await.expect("leases");
    let dead = Outcome::Dead { attempts: Attempts::default(), failure: failure("no") };
    queue.settle(settle(&leases, &dead), NOW).await.expect("settles");
    assert_eq!(bucket::objects(&options).await.len(), 4, "each event is there as such and as a dead letter");
    let letters = queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    let copy = Bytes::from(vec![b'1'; 400_000]);
    assert!(queue.edit(letters[0].id, Some(copy), By::new("ann", NOW)).await.expect("edits"));
    assert_eq!(bucket::objects(&options).await.len(), 5);
    queue.discard(vec![letters[1].id], By::new("ann", NOW)).await.expect("discards");
    queue.redrive(vec![letters[0].id], By::new("ann", NOW)).await.expect("redrives");
    assert_eq!(drain(&*queue, crm, NOW).await.into_values().collect::<Vec<_>>(), [400_000]);
    assert_eq!(bucket::objects(&options).await.len(), 3, "the two events, and the copy that was redriven");
    bucket::has_what_is_named(&*queue, &options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_gone_makes_a_dead_letter_and_its_destination_goes_on() {
    let options = options();
    let queue = open(&options);
    let crm = alone(&*queue);
    queue.publish(publication(vec![large("a", "gone", 1_000_000)], NOW)).await.expect("publishes");
    queue.publish(publication(vec![large("a", "there", 1_000)], NOW)).await.expect("publishes");
    let leases = queue.lease(crm, 1, NOW).await.expect("leases");
    queue.settle(settle(&leases, &Outcome::Release), NOW).await.expect("settles");
    drop(queue);
    for name in bucket::objects(&options).await {
        options.bodies.as_ref().expect("a bucket").store.delete(&Path::from(name)).await.expect("deletes");
    }
    let queue = open(&options);
    let crm = alone(&*queue);
    assert_eq!(drain(&*queue, crm, NOW).await.into_values().collect::<Vec<_>>(), [1_000]);
    let letters = queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    assert_eq!((letters.len(), letters[0].seq), (1, Some(Seq(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bucket_what_is_large_is_refused_with_the_cure() {
    let queue = open(&table(OPTIONS));
    alone(&*queue);
    for events in [vec![large("a", "one", 500_000)], (0..20).map(|at| large("a", &format!("{at}"), 300_000)).collect()]
    {
        let error = queue.publish(publication(events, NOW)).await.expect_err("is too large");
        assert!(matches!(&error, QueueError::Invalid(said) if said.contains("[queue.bodies]")), "{error}");
    }
}
