//! Cases about what comes behind dead letters, and about redriven events, which come behind all others.

use std::time::Duration;

use super::Harness;
use super::fixture::{Fixture, body, event, failure};
use crate::{Attempts, BehindDead, DeadLetterId, DeadLetterQuery, Lease, Outcome};

fn dead() -> Outcome {
    Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }
}

fn bodies(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(body).collect()
}

async fn letters<H: Harness>(f: &Fixture<H>) -> Vec<DeadLetterId> {
    let query = DeadLetterQuery { limit: 1_000_000, ..DeadLetterQuery::default() };
    f.queue.dead_letters(query).await.unwrap().iter().map(|letter| letter.id).collect()
}

/// Leases the next event of crm and lets it die.
async fn kill<H: Harness>(f: &Fixture<H>, expected: &str) {
    let leases = f.lease(f.crm, 1).await;
    assert_eq!(bodies(&leases), [expected]);
    f.settle(&leases, dead()).await;
}

/// Without being told otherwise a conversation goes on behind its dead letter, and each lease says so.
pub async fn goes_on_and_says_so<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("both", "a", "a1"), event("both", "a", "a2"), event("both", "b", "b1")]).await;
    let first = f.lease(f.crm, 10).await;
    assert!(first.iter().all(|lease| !lease.behind_dead));
    f.settle(&first[..1], dead()).await;
    f.settle(&first[1..], Outcome::Done).await;
    let next = f.lease(f.crm, 10).await;
    assert_eq!((bodies(&next), next[0].behind_dead), (vec!["a2".to_owned()], true));
    let lake = f.lease(f.lake, 10).await;
    assert!(lake.iter().all(|lease| !lease.behind_dead), "it is no dead letter there");
    f.settle(&next, dead()).await;
    let ids = letters(&f).await;
    assert_eq!((show_of(&f, ids[0]).await, show_of(&f, ids[1]).await), ((false, 0), (true, 0)));
    f.queue.discard(ids, f.by()).await.unwrap();
    f.publish(vec![event("crm", "a", "a3")]).await;
    assert!(!f.lease(f.crm, 10).await[0].behind_dead, "they are gone");
}

async fn show_of<H: Harness>(f: &Fixture<H>, id: DeadLetterId) -> (bool, u64) {
    let letter = f.queue.dead_letter(id).await.unwrap().unwrap();
    (letter.behind_dead, letter.held)
}

/// With `hold` a conversation waits for its dead letter, others do not, and what is redriven goes first.
pub async fn holds_a_conversation<H: Harness>() {
    let f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish(vec![event("crm", "a", "a1"), event("crm", "a", "a2"), event("crm", "b", "b1")]).await;
    kill(&f, "a1").await;
    f.publish(vec![event("crm", "a", "a3"), event("crm", "b", "b2"), event("crm", "c", "c1")]).await;
    assert_eq!(f.drain(f.crm).await, ["b1", "c1", "b2"]);
    let consumer = f.queue.status(f.now).await.unwrap().consumers.swap_remove(0);
    assert_eq!((consumer.held_conversations, consumer.held, consumer.unsettled), (1, 2, 2));
    let ids = letters(&f).await;
    assert_eq!(show_of(&f, ids[0]).await, (false, 2));
    f.queue.redrive(ids, f.by()).await.unwrap();
    let again = f.lease(f.crm, 10).await;
    assert_eq!(bodies(&again), ["a1"], "the others still wait for it");
    f.settle(&again, Outcome::Done).await;
    assert_eq!(f.drain(f.crm).await, ["a2", "a3"]);
    let consumer = f.queue.status(f.now).await.unwrap().consumers.swap_remove(0);
    assert_eq!((consumer.held_conversations, consumer.held, consumer.unsettled), (0, 0, 0));
}

/// A discarded dead letter holds nobody, and whoever waits is told.
pub async fn lets_a_held_conversation_go_when_its_dead_letter_is_discarded<H: Harness>() {
    use futures::FutureExt;
    let f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish((1..4).map(|n| event("crm", "a", &format!("a{n}"))).collect()).await;
    kill(&f, "a1").await;
    assert!(f.lease(f.crm, 10).await.is_empty());
    while f.queue.changed(f.crm).now_or_never().is_some() {}
    f.queue.discard(letters(&f).await, f.by()).await.unwrap();
    f.queue.changed(f.crm).await;
    assert_eq!(f.drain(f.crm).await, ["a2", "a3"]);
}

/// Several dead letters of one conversation go again in the order in which they were published, in whatever order they
/// are redriven; one that is redriven before an earlier one waits for it.
pub async fn keeps_the_order_of_what_is_redriven<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((1..5).map(|n| event("crm", "a", &format!("a{n}"))).collect()).await;
    for name in ["a1", "a2", "a3"] {
        kill(&f, name).await;
    }
    f.set_behind_dead(BehindDead::Hold);
    assert!(f.lease(f.crm, 10).await.is_empty(), "a4 waits");
    let ids = letters(&f).await;
    f.queue.redrive(vec![ids[2]], f.by()).await.unwrap();
    assert!(f.lease(f.crm, 10).await.is_empty(), "a3 waits for a1 and a2");
    f.queue.redrive(vec![ids[1], ids[0]], f.by()).await.unwrap();
    kill(&f, "a1").await;
    assert!(f.lease(f.crm, 10).await.is_empty(), "it is a dead letter again");
    f.queue.redrive(letters(&f).await, f.by()).await.unwrap();
    assert_eq!(f.drain(f.crm).await, ["a1", "a2", "a3", "a4"]);
}

/// The setting can be changed while conversations wait.
pub async fn a_change_of_the_setting_counts_at_once<H: Harness>() {
    let f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish((1..4).map(|n| event("crm", "a", &format!("a{n}"))).collect()).await;
    kill(&f, "a1").await;
    assert!(f.lease(f.crm, 10).await.is_empty());
    f.set_behind_dead(BehindDead::Continue);
    let next = f.lease(f.crm, 10).await;
    assert_eq!((bodies(&next), next[0].behind_dead), (vec!["a2".to_owned()], true));
    f.set_behind_dead(BehindDead::Hold);
    f.settle(&next, Outcome::Done).await;
    assert!(f.lease(f.crm, 10).await.is_empty(), "a3 waits again");
    f.set_behind_dead(BehindDead::Continue);
    assert_eq!(f.drain(f.crm).await, ["a3"]);
}

/// However many redriven events stand before them in the log, live ones are leased first.
pub async fn redriven_events_come_behind_all_others<H: Harness>() {
    let f = Fixture::<H>::new();
    for batch in 0..10 {
        f.publish((0..300).map(|n| event("crm", &format!("d{batch}-{n}"), &format!("d{batch}-{n}"))).collect()).await;
        let leases = f.lease(f.crm, 1_000).await;
        f.settle(&leases, dead()).await;
    }
    let ids = letters(&f).await;
    assert_eq!(ids.len(), 3_000);
    for ids in ids.chunks(500) {
        f.queue.redrive(ids.to_vec(), f.by()).await.unwrap();
    }
    f.publish((0..2_000).map(|n| event("crm", &format!("c{}", n % 50), &format!("live {n}"))).collect()).await;
    let mut order = Vec::new();
    loop {
        let leases = f.queue.lease(f.crm, 10, f.now).await.unwrap();
        if leases.is_empty() {
            break;
        }
        order.extend(leases.iter().map(|lease| lease.stored.again.is_some()));
        f.settle(&leases, Outcome::Done).await;
    }
    assert_eq!(order.len(), 5_000);
    assert!(order[..2_000].iter().all(|redriven| !redriven), "{:?}", order.iter().position(|redriven| *redriven));
}

/// One event of a conversation at a time, redriven or not; one that waits for its retry lets the others pass.
pub async fn a_redriven_event_waits_its_turn_in_its_conversation<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "a1"), event("crm", "a", "a2")]).await;
    kill(&f, "a1").await;
    let second = f.lease(f.crm, 10).await;
    f.queue.redrive(letters(&f).await, f.by()).await.unwrap();
    assert!(f.lease(f.crm, 10).await.is_empty(), "a2 is out");
    let at = f.now.plus(Duration::from_secs(30));
    let attempts = Attempts { made: 1, charged: 1, first: Some(f.now), last: Some(f.now) };
    f.settle(&second, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    assert!(f.lease(f.crm, 10).await.is_empty(), "a2 waits for its retry");
    f.wait(30);
    assert_eq!(f.drain(f.crm).await, ["a2", "a1"]);
    f.publish(vec![event("crm", "b", "b1")]).await;
    kill(&f, "b1").await;
    f.queue.redrive(letters(&f).await, f.by()).await.unwrap();
    let again = f.lease(f.crm, 10).await;
    f.publish(vec![event("crm", "b", "b2")]).await;
    assert!(f.lease(f.crm, 10).await.is_empty(), "b1 is out");
    let at = f.now.plus(Duration::from_secs(30));
    f.settle(&again, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    assert_eq!(f.queue.next_due(f.crm), Some(at));
    assert_eq!(f.drain(f.crm).await, ["b2"]);
    f.wait(30);
    let again = f.lease(f.crm, 10).await;
    assert_eq!((bodies(&again), again[0].attempts), (vec!["b1".to_owned()], attempts));
}

/// Retention ends the waiting, as dead letters; and those hold what is younger.
pub async fn what_expires_holds_too<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish(vec![event("crm", "a", "a1"), event("crm", "a", "a2")]).await;
    kill(&f, "a1").await;
    f.wait(7_000);
    f.publish(vec![event("crm", "a", "a3")]).await;
    f.wait(300);
    assert_eq!(f.queue.maintain(f.now).await.unwrap().expired, 1);
    assert!(f.lease(f.crm, 10).await.is_empty());
    let ids = letters(&f).await;
    assert_eq!((ids.len(), show_of(&f, ids[1]).await), (2, (true, 1)));
    f.queue.discard(vec![ids[0]], f.by()).await.unwrap();
    assert!(f.lease(f.crm, 10).await.is_empty());
    f.queue.redrive(vec![ids[1]], f.by()).await.unwrap();
    assert_eq!(f.drain(f.crm).await, ["a2", "a3"]);
}

/// Thousands of events that wait behind dead letters are not in the way of others.
pub async fn a_long_backlog_of_held_conversations_blocks_no_other<H: Harness>() {
    let f = Fixture::<H>::new();
    f.set_behind_dead(BehindDead::Hold);
    f.publish((0..5).map(|n| event("crm", &format!("h{n}"), &format!("h{n}"))).collect()).await;
    let first = f.lease(f.crm, 10).await;
    f.settle(&first, dead()).await;
    for batch in 0..10 {
        f.publish((0..500).map(|n| event("crm", &format!("h{}", n % 5), &format!("{batch}-{n}"))).collect()).await;
    }
    f.publish((0..50).map(|n| event("crm", &format!("c{n}"), &format!("free {n}"))).collect()).await;
    assert_eq!(f.drain(f.crm).await.len(), 50);
    let consumer = f.queue.status(f.now).await.unwrap().consumers.swap_remove(0);
    assert_eq!((consumer.held_conversations, consumer.held), (5, 5_000));
    let ids = letters(&f).await;
    f.queue.discard(vec![ids[0]], f.by()).await.unwrap();
    let mut order: Vec<usize> = Vec::new();
    for body in f.drain(f.crm).await {
        let (batch, n) = body.split_once('-').unwrap();
        order.push(batch.parse::<usize>().unwrap() * 500 + n.parse::<usize>().unwrap());
    }
    assert!(order.len() == 1_000 && order.is_sorted());
}
