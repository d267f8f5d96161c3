//! Cases about leasing and settling.

use std::time::Duration;

use futures::FutureExt;

use super::Harness;
use super::fixture::{Fixture, body, event, failure, topology};
use crate::{
    Attempts, ConsumerId, DeadLetterId, DeadLetterQuery, Failure, NotRedriven, Order, Outcome, QueueError, Rejection,
    Stage,
};

/// What was accepted before a destination was known is not for it.
pub async fn a_new_destination_gets_what_comes_from_now_on<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("both", "a", "1")]).await;
    let ids = f.queue.configure(topology(&["crm", "lake", "later"], Order::Conversation)).unwrap();
    f.publish(vec![event("later", "a", "2")]).await;
    assert_eq!(f.drain(ids[2]).await, ["2"]);
    assert_eq!(f.drain(ids[0]).await, ["1"]);
}

/// The router decides, and its route comes back in the lease.
pub async fn gives_each_destination_its_events<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "1"), event("lake", "a", "2"), event("both", "b", "3")]).await;
    let crm = f.lease(f.crm, 10).await;
    assert_eq!(crm.iter().map(body).collect::<Vec<_>>(), ["1", "3"]);
    assert!(crm.iter().all(|lease| lease.route == 3));
    let lake = f.lease(f.lake, 10).await;
    assert_eq!(lake.iter().map(body).collect::<Vec<_>>(), ["2", "3"]);
    assert!(lake.iter().all(|lease| lease.route == 7));
}

/// One event of a conversation at a time, in their order.
pub async fn keeps_the_order_of_a_conversation<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "a1"), event("crm", "a", "a2"), event("crm", "b", "b1")]).await;
    let first = f.lease(f.crm, 10).await;
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["a1", "b1"]);
    assert!(f.lease(f.crm, 10).await.is_empty(), "a2 waits for a1");
    f.settle(&first[..1], Outcome::Done).await;
    assert_eq!(f.bodies(f.crm).await, ["a2"]);
}

/// Events without a conversation wait for nobody.
pub async fn has_no_order_without_a_conversation<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "", "1"), event("crm", "", "2"), event("crm", "", "3")]).await;
    assert_eq!(f.lease(f.crm, 2).await.len(), 2);
    assert_eq!(f.lease(f.crm, 2).await.len(), 1);
}

/// Nor does anyone at a destination without order.
pub async fn has_no_order_when_told_so<H: Harness>() {
    let f = Fixture::<H>::ordered(Order::None);
    f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2")]).await;
    assert_eq!(f.bodies(f.crm).await, ["1", "2"]);
}

/// What failed for good becomes a dead letter, and the next of its conversation goes on.
pub async fn buries_the_dead<H: Harness>() {
    let f = Fixture::<H>::new();
    let published = f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2")]).await;
    let leases = f.lease(f.crm, 10).await;
    let attempts = Attempts { made: 5, charged: 5, first: Some(f.now), last: Some(f.now) };
    f.settle(&leases, Outcome::Dead { attempts, failure: failure("no such record") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].body, None);
    let letter = f.queue.dead_letter(letters[0].id).await.unwrap().unwrap();
    assert_eq!(letter.body.as_deref(), Some(&b"1"[..]));
    assert_eq!((letter.event, letter.destination.as_deref()), (Some(published[0].id()), Some("crm")));
    assert_eq!((letter.attempts, &letter.failure, letter.died), (attempts, &failure("no such record"), f.now));
    assert_eq!(f.bodies(f.crm).await, ["2"]);
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.dead_letters, status.consumers[0].dead_letters, status.consumers[1].dead_letters), (1, 1, 0));
}

/// While one conversation waits, however much is behind it, the others go on.
pub async fn one_stuck_conversation_blocks_no_other<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "stuck", "s0")]).await;
    let stuck = f.lease(f.crm, 1).await;
    let at = f.now.plus(Duration::from_secs(3_000));
    f.settle(&stuck, Outcome::Retry { at, attempts: Attempts::default(), failure: failure("busy") }).await;
    for batch in 0..6 {
        let behind = (0..250).map(|n| event("crm", "stuck", &format!("s{batch}-{n}")));
        f.publish(behind.collect()).await;
    }
    f.publish((0..50).map(|n| event("crm", &format!("c{n}"), &format!("free {n}"))).collect()).await;
    assert_eq!(f.drain(f.crm).await.len(), 50);
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!(status.consumers[0].unsettled, 1_501);
    let mut later = f;
    later.wait(3_000);
    let order = later.drain(later.crm).await;
    assert_eq!((order.len(), order[0].as_str(), order[1_500].as_str()), (1_501, "s0", "s5-249"));
}

/// Nor does a destination that settles nothing hold up another.
pub async fn one_stuck_destination_blocks_no_other<H: Harness>() {
    let f = Fixture::<H>::new();
    for batch in 0..20 {
        f.publish((0..250).map(|n| event("both", &format!("c{n}"), &format!("{batch}-{n}"))).collect()).await;
    }
    assert!(!f.lease(f.crm, 50).await.is_empty());
    assert_eq!(f.drain(f.lake).await.len(), 5_000);
}

/// A waiting destination is told of new events and of settlements that free a conversation.
pub async fn tells_of_changes<H: Harness>() {
    let f = Fixture::<H>::new();
    while f.queue.changed(f.crm).now_or_never().is_some() {}
    let changed = f.queue.changed(f.crm);
    f.publish(vec![event("crm", "a", "1"), event("crm", "a", "2")]).await;
    changed.await;
    let lease = f.lease(f.crm, 10).await;
    while f.queue.changed(f.crm).now_or_never().is_some() {}
    f.settle(&lease, Outcome::Done).await;
    f.queue.changed(f.crm).await;
    assert_eq!(f.bodies(f.crm).await, ["2"]);
}

/// A change that came before anyone waited counts too.
pub async fn misses_no_change<H: Harness>() {
    let f = Fixture::<H>::new();
    while f.queue.changed(f.crm).now_or_never().is_some() {}
    f.publish(vec![event("crm", "a", "1")]).await;
    f.queue.changed(f.crm).await;
    assert_eq!(f.bodies(f.crm).await, ["1"]);
}

/// What is for nobody is kept and counted.
pub async fn counts_what_matches_no_route<H: Harness>() {
    let f = Fixture::<H>::new();
    let published = f.publish(vec![event("nobody", "a", "1"), event("crm", "a", "2")]).await;
    assert_eq!(f.drain(f.crm).await, ["2"]);
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.accepted, status.unmatched), (2, 1));
    assert!(f.queue.event(published[0].id()).await.unwrap().is_some());
}

/// A destination that was left out finds what came meanwhile.
pub async fn a_destination_that_comes_back_gets_its_backlog<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("lake", "a", "1")]).await;
    f.queue.configure(topology(&["crm"], Order::Conversation)).unwrap();
    assert!(f.lease(f.lake, 10).await.is_empty(), "not while it is left out");
    assert!(!f.queue.status(f.now).await.unwrap().consumers[1].configured);
    let ids = f.queue.configure(topology(&["lake", "crm"], Order::Conversation)).unwrap();
    assert_eq!(ids, [f.lake, f.crm]);
    f.publish(vec![event("lake", "a", "2")]).await;
    assert_eq!(f.drain(f.lake).await, ["1", "2"]);
}

/// Nothing works after `close`, and nothing hangs.
pub async fn refuses_work_when_closed<H: Harness>() {
    let f = Fixture::<H>::new();
    f.queue.close().await.unwrap();
    let late = f.queue.status(f.now).await;
    let publication = crate::Publication {
        proof: "key 1".into(),
        source: "test".into(),
        received: f.now,
        events: vec![event("crm", "a", "1")],
        content: crate::Content::Plain(|_| [0; 16]),
    };
    assert!(matches!(f.queue.publish(publication).await, Err(QueueError::Closed)));
    assert!(matches!(f.queue.settle(Vec::new(), f.now).await, Err(QueueError::Closed)));
    drop(late);
}

/// Dead letters come in pages, by destination or all.
pub async fn pages_through_dead_letters<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..5).map(|n| event("both", &format!("c{n}"), &n.to_string())).collect()).await;
    let dead = Outcome::Dead { attempts: Attempts::default(), failure: failure("no") };
    let crm = f.lease(f.crm, 10).await;
    f.settle(&crm, dead.clone()).await;
    let lake = f.lease(f.lake, 1).await;
    f.settle(&lake, dead).await;
    let query = |destination: Option<&str>, after, limit| DeadLetterQuery {
        destination: destination.map(str::to_owned),
        after,
        limit,
        ..DeadLetterQuery::default()
    };
    let first = f.queue.dead_letters(query(Some("crm"), None, 3)).await.unwrap();
    assert_eq!(first.len(), 3);
    let rest = f.queue.dead_letters(query(Some("crm"), Some(first[2].id), 3)).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|letter| letter.destination.as_deref() == Some("crm")));
    assert_eq!(f.queue.dead_letters(query(None, None, 0)).await.unwrap().len(), 6);
    assert_eq!(f.queue.dead_letters(query(Some("nobody"), None, 0)).await.unwrap().len(), 0);
}

/// Every condition of a query counts, in lists and in groups.
pub async fn selects_and_groups_dead_letters<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..6).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    let leases = f.lease(f.crm, 10).await;
    let dead = |message: String, stage| Outcome::Dead {
        attempts: Attempts::default(),
        failure: Failure { stage, ..failure(&message) },
    };
    f.settle(&leases[..4], dead("field 17 is missing".to_owned(), Stage::Map)).await;
    let between = f.now;
    f.wait(10);
    f.settle(&leases[4..5], dead("field 18 is missing".to_owned(), Stage::Map)).await;
    f.settle(&leases[5..], dead("refused".to_owned(), Stage::Deliver)).await;
    let all = DeadLetterQuery::default;
    let groups = f.queue.dead_letter_groups(all()).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [5, 1]);
    let missing = &groups[0];
    assert_eq!((missing.message.as_str(), missing.stage), ("field # is missing", Stage::Map));
    assert_eq!((missing.first, missing.last, missing.destination.as_deref()), (between, f.now, Some("crm")));
    let count = |query| async { f.queue.dead_letters(query).await.unwrap().len() };
    assert_eq!(count(DeadLetterQuery { group: Some(missing.fingerprint), ..all() }).await, 5);
    assert_eq!(count(DeadLetterQuery { stage: Some(Stage::Deliver), ..all() }).await, 1);
    assert_eq!(count(DeadLetterQuery { conversation: Some("c0".to_owned()), ..all() }).await, 1);
    assert_eq!(count(DeadLetterQuery { since: Some(f.now), ..all() }).await, 2);
    assert_eq!(count(DeadLetterQuery { until: Some(f.now), ..all() }).await, 4);
    let page = DeadLetterQuery { group: Some(missing.fingerprint), limit: 2, ..all() };
    let first = f.queue.dead_letters(page.clone()).await.unwrap();
    let next = f.queue.dead_letters(DeadLetterQuery { after: Some(first[1].id), ..page }).await.unwrap();
    assert_eq!((first.len(), next.len(), next[0].id > first[1].id), (2, 2, true));
    let early = DeadLetterQuery { until: Some(f.now), ..all() };
    assert_eq!(f.queue.dead_letter_groups(early).await.unwrap()[0].count, 4);
}

/// A discarded dead letter is gone, once.
pub async fn discards_dead_letters<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..3).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    let ids = vec![letters[0].id, letters[2].id, DeadLetterId(999)];
    assert_eq!(f.queue.discard(ids.clone(), f.by()).await.unwrap(), [letters[0].clone(), letters[2].clone()]);
    assert_eq!(f.queue.discard(ids, f.by()).await.unwrap(), []);
    assert_eq!(f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap(), letters[1..2]);
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.dead_letters, status.consumers[0].dead_letters), (1, 1));
    assert_eq!(f.queue.dead_letter(letters[0].id).await.unwrap(), None);
}

/// A redriven dead letter is delivered to its destination alone, once, and is a dead letter again if it fails again.
pub async fn redrives_dead_letters<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..3).map(|n| event("both", &format!("c{n}"), &n.to_string())).collect()).await;
    assert_eq!(f.drain(f.lake).await, ["0", "1", "2"]);
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    f.wait(30);
    let outcomes = f.queue.redrive(vec![ids[0], ids[2], DeadLetterId(99)], f.by()).await.unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.id).collect::<Vec<_>>(), [ids[0], ids[2], DeadLetterId(99)]);
    assert!(outcomes[0].result.is_ok() && outcomes[1].result.is_ok());
    assert_eq!(outcomes[2].result, Err(NotRedriven::Missing));
    let again = f.queue.redrive(vec![ids[0]], f.by()).await.unwrap();
    assert_eq!(again[0].result, Err(NotRedriven::Missing), "it is on its way already");
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.accepted, status.redriven, status.dead_letters), (3, 2, 1));
    let crm = status.consumers.iter().find(|consumer| consumer.name == "crm").unwrap();
    assert_eq!(crm.oldest_unsettled, Some(f.now), "they wait since they were redriven");
    f.publish(vec![event("both", "c0", "later")]).await;
    assert_eq!(f.drain(f.lake).await, ["later"], "the others have had theirs");
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases.iter().map(body).collect::<Vec<_>>(), ["2", "later"], "and what is redriven comes behind");
    f.settle(&leases[1..], Outcome::Done).await;
    f.settle(&leases[..1], Outcome::Dead { attempts: Attempts::default(), failure: failure("still no") }).await;
    let again = f.lease(f.crm, 10).await;
    assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["0"]);
    assert!(again[0].stored.again.is_some() && again[0].attempts == Attempts::default());
    assert_eq!(again[0].stored.first_seq(), letters[0].seq.unwrap());
    assert_eq!(again[0].stored.event.id, letters[0].event.unwrap());
    assert!(again[0].stored.event.received < f.now, "as it was received first");
    f.settle(&again, Outcome::Done).await;
    let left = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.event).collect::<Vec<_>>(), [letters[1].event, letters[2].event]);
    assert_eq!(left[1].failure.message, "still no");
}

/// What no route leads to its destination stays a dead letter, and so does what is no event.
pub async fn redrives_nothing_into_the_void<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "c", "1")]).await;
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let rejection = Rejection {
        proof: "key 1".into(),
        source: "test".into(),
        received: f.now,
        failure: Failure { stage: Stage::Intake, ..failure("no JSON") },
        body: bytes::Bytes::from_static(b"{"),
    };
    let no_event = f.queue.reject(rejection).await.unwrap();
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    f.queue.configure(topology(&["lake"], Order::Conversation)).unwrap();
    let outcomes = f.queue.redrive(vec![letters[0].id, no_event], f.by()).await.unwrap();
    assert_eq!(outcomes[0].result, Err(NotRedriven::NotRouted("crm".to_owned())));
    assert_eq!(outcomes[1].result, Err(NotRedriven::NoEvent));
    assert_eq!(f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap(), letters);
}

/// An id that was never given out is an error, not an empty answer.
pub async fn refuses_an_unknown_destination<H: Harness>() {
    let f = Fixture::<H>::new();
    assert!(matches!(f.queue.lease(ConsumerId(999), 1, f.now).await, Err(QueueError::Invalid(_))));
    assert_eq!(f.queue.next_due(ConsumerId(999)), None);
}

/// Events for others do not wait for a destination that is far behind.
pub async fn only_what_is_for_a_destination_waits_for_it<H: Harness>() {
    const EVENTS: usize = 2_000;
    // A publication is answered just before its destinations are told of it.
    const LOOKS: usize = 10_000;
    let f = Fixture::<H>::new();
    let waiting = async || {
        let status = f.queue.status(f.now).await.unwrap();
        let of = |name: &str| status.consumers.iter().find(|consumer| consumer.name == name).unwrap().unsettled;
        (of("crm"), of("lake"))
    };
    let until = async |expected: (u64, u64)| {
        for _ in 0..LOOKS {
            if waiting().await == expected {
                return;
            }
        }
        assert_eq!(waiting().await, expected);
    };
    let mut expected = (0, 0);
    for round in 0..3 {
        for (topic, crm, lake) in [("crm", 1, 0), ("lake", 0, 1), ("nobody", 0, 0), ("both", 1, 1)] {
            let some = (0..EVENTS).map(|n| event(topic, &format!("c{n}"), &format!("{topic} {round} {n}")));
            f.publish(some.collect()).await;
            let count = EVENTS as u64;
            expected = (expected.0 + crm * count, expected.1 + lake * count);
            until(expected).await;
        }
    }
    f.drain(f.lake).await;
    until((expected.0, 0)).await;
    f.drain(f.crm).await;
    until((0, 0)).await;
}
