//! What upkeep drops beside events, and what it leaves to servers of another configuration.

use std::time::Duration;

use audit::{Chain, What};
use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, event, topology};
use queue::{DeadLetterQuery, Order, Outcome, Queue, Replay, ReplayPiece};

use crate::emulator::{open, table};
use crate::faults::{alone, publication, settle};

const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_blocks_of_the_trail_are_dropped_and_what_is_left_is_whole() {
    let options = queue_aws::Options { audit_retention: Duration::from_secs(3_600), ..table(OPTIONS) };
    let queue = open(&options);
    let crm = alone(&*queue);
    for number in 0..60 {
        let at = NOW.plus(Duration::from_secs(60 * number));
        queue.publish(publication(vec![event("crm", "a", &number.to_string())], at)).await.expect("publishes");
        let leases = queue.lease(crm, 10, at).await.expect("leases");
        queue.settle(settle(&leases, &Outcome::Done), at).await.expect("settles");
    }
    let before = queue.audit(0, 1_000).await.expect("reads");
    let (count, end) = (before.blocks.len(), NOW.plus(Duration::from_secs(60 * 90)));
    assert_eq!(before.begins.number, 0);
    // As of another server, which was not there before.
    let other = open(&options);
    alone(&*other);
    while other.maintain(end).await.expect("maintains").more {}
    let after = queue.audit(0, 1_000).await.expect("reads");
    assert!(after.blocks.len() < count && after.begins.number > 0, "{} of {count}", after.blocks.len());
    assert_eq!(after.blocks[0].number, after.begins.number + 1);
    let entries = after.blocks.iter().flat_map(|block| block.entries().expect("can be read"));
    let entries: Vec<_> = entries.collect();
    assert!(
        entries.iter().any(|entry| matches!(entry.what, What::Dropped { block, .. } if block == after.begins.number))
    );
    assert!(entries.iter().all(|entry| entry.at.plus(options.audit_retention + Duration::from_secs(3_600)) > end));
    let mut chain = Chain::behind(after.begins);
    assert!(after.blocks.iter().all(|block| chain.next(block).is_ok()), "the rest is chained to where it begins");
    assert_eq!(queue.audit(after.begins.number + 3, 1).await.expect("reads").blocks[0].number, after.begins.number + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_replays_are_forgotten_beyond_those_that_are_remembered() {
    let queue = open(&table(OPTIONS));
    alone(&*queue);
    for number in 0..ReplayPiece::REMEMBERED + 3 {
        let piece = ReplayPiece {
            id: format!("r-{number:06}"),
            selection: "all".to_owned(),
            destination: "crm".into(),
            from: None,
            to: "end".to_owned(),
            done: number != 0,
            erasures: queue.erasures(),
            events: Vec::new(),
            put_aside: 0,
        };
        queue.replay(piece, NOW.plus(Duration::from_secs(number as u64))).await.expect("replays");
    }
    queue.maintain(NOW).await.expect("maintains");
    let left: Vec<Replay> = queue.replays(None).await.expect("tells");
    assert_eq!(left.len(), ReplayPiece::REMEMBERED + 1);
    assert!(left.iter().any(|replay| !replay.done), "one that is not finished stays, however old");
    assert!(!left.iter().any(|replay| replay.id == "r-000001" || replay.id == "r-000002"));
}

/// A server without a destination does not drop what another one has not looked at for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_a_destination_drops_nothing_of_it() {
    let options = queue_aws::Options { ownership: Some(queue_aws::OWNERSHIP), ..table(OPTIONS) };
    let (has, lacks) = (open(&options), open(&options));
    let crm = has.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures")[0];
    assert!(has.lease(crm, 1, NOW).await.expect("owns it").is_empty());
    lacks.configure(topology(&["lake"], Order::Conversation)).expect("configures");
    let events = ["1", "2", "3"].map(|name| event("crm", name, name));
    lacks.publish(publication(events.to_vec(), NOW)).await.expect("publishes");
    let later = NOW.plus(OPTIONS.retention + Duration::from_secs(1));
    while lacks.maintain(later).await.expect("maintains").more {}
    assert_eq!(has.status(later).await.expect("tells").retained, 3, "they are left to the one that has it");
    while has.maintain(later).await.expect("maintains").more {}
    assert_eq!(has.status(later).await.expect("tells").retained, 0);
    assert_eq!(has.dead_letters(DeadLetterQuery::default()).await.expect("lists").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_watchers_remember_is_whole_whatever_its_size_and_one_of_two_keeps_it() {
    let options = table(OPTIONS);
    let (queue, other) = (open(&options), open(&options));
    let (mut seen, nothing) = queue.watched().await.expect("reads");
    assert_eq!(nothing, None);
    let (unseen, _) = other.watched().await.expect("reads");
    for bytes in [10, 379_999, 380_001, 2_660_000, 760_000, 760_001, 0, 1_000_000] {
        let kept: Vec<u8> = (0..bytes).map(|at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        let (stale, _) = other.watched().await.expect("reads");
        seen = queue.keep_watched(seen, kept.clone()).await.expect("keeps").expect("nobody else has");
        for stale in [stale, unseen] {
            let lost = other.keep_watched(stale, b"of another".to_vec()).await.expect("is answered");
            assert!(lost.is_none(), "{bytes} bytes: what was kept since is not overwritten");
        }
        let read = other.watched().await.expect("reads").1.expect("is there");
        assert!(read == kept, "{bytes} bytes were kept, {} are there", read.len());
    }
    let error = queue.keep_watched(seen, vec![0; queue_aws::WATCHED_BYTES_MAX + 1]).await.expect_err("is too large");
    assert!(error.to_string().contains("2660000 is the most"), "{error}");
}
