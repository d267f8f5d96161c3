//! Cases about reading the log and replaying what was read.

use std::sync::Arc;

use event::Event;

use super::Harness;
use super::fixture::{Fixture, body, event};
use crate::{Erasure, LogPage, Outcome, QueueError, Replay, ReplayPiece, Seq};

/// Reads the whole log in pages of so many events.
async fn read<H: Harness>(f: &Fixture<H>, events: usize, bytes: usize) -> Vec<LogPage> {
    let (mut pages, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = f.queue.read_log(after, events, bytes).await.expect("reads");
        assert!(page.through >= after && page.damaged.is_empty());
        (after, _) = (page.through, pages.push(page.clone()));
        if page.end {
            return pages;
        }
        assert!(!page.events.is_empty(), "a page that is not the last one brings something");
    }
}

async fn everything<H: Harness>(f: &Fixture<H>) -> Vec<Event> {
    read(f, 100, 1 << 20).await.into_iter().flat_map(|page| page.events).map(|stored| stored.event).collect()
}

fn piece<H: Harness>(f: &Fixture<H>, from: Option<&str>, to: &str, done: bool, events: Vec<Event>) -> ReplayPiece {
    ReplayPiece {
        put_aside: 0,
        id: "r1".to_owned(),
        selection: "all".to_owned(),
        destination: Arc::from("crm"),
        from: from.map(str::to_owned),
        to: to.to_owned(),
        done,
        erasures: f.queue.erasures(),
        events,
    }
}

async fn replay<H: Harness>(f: &Fixture<H>, piece: ReplayPiece) -> Replay {
    f.queue.replay(piece, f.now).await.expect("replays")
}

/// Pages hold what was accepted, in order and byte for byte, and are bounded in events and bytes.
pub async fn reads_the_log_in_pages<H: Harness>() {
    let f = Fixture::<H>::new();
    assert!(read(&f, 10, 100).await[0].end);
    f.publish((0..25).map(|n| event("both", &format!("c{n}"), &format!("event {n:02}"))).collect()).await;
    let pages = read(&f, 10, 1 << 20).await;
    let seqs: Vec<u64> = pages.iter().flat_map(|page| &page.events).map(|stored| stored.seq.0).collect();
    assert_eq!(seqs, (1..=25).collect::<Vec<_>>());
    assert!(pages.iter().all(|page| page.events.len() <= 10));
    assert_eq!(pages.last().map(|page| page.through), Some(Seq(25)));
    let pages = read(&f, 10, 20).await;
    assert!(pages.iter().all(|page| page.events.len() <= 3), "no more once there are 20 bytes");
    let bodies: Vec<_> = everything(&f).await.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies[7], "event 07");
    let page = f.queue.read_log(Seq(24), 10, 100).await.unwrap();
    assert_eq!((page.events.len(), page.end), (1, true));
}

/// Retention drops nothing that is to be kept, and drops it when that is lifted.
pub async fn keeps_what_it_is_told_to<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..4).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    f.drain(f.crm).await;
    f.wait(7_201);
    f.queue.keep_from(Some(Seq(3)));
    assert_eq!(f.queue.maintain(f.now).await.unwrap().events_dropped, 2);
    assert_eq!(everything(&f).await.len(), 2);
    f.queue.keep_from(Some(Seq(1)));
    assert_eq!(f.queue.maintain(f.now).await.unwrap().events_dropped, 0);
    f.queue.keep_from(None);
    assert_eq!(f.queue.maintain(f.now).await.unwrap().events_dropped, 2);
    assert!(everything(&f).await.is_empty());
}

/// A replayed event goes to its destination only, is marked, and counts as no new one.
pub async fn replays_to_one_destination<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..3).map(|n| event("both", &format!("c{n}"), &n.to_string())).collect()).await;
    f.publish(vec![event("lake", "c9", "not for crm")]).await;
    let events = everything(&f).await;
    assert_eq!((f.drain(f.crm).await.len(), f.drain(f.lake).await.len()), (3, 4));
    f.wait(60);
    let done = replay(&f, piece(&f, None, "end", true, events)).await;
    assert_eq!((done.queued, done.not_routed, done.done), (3, 1, true));
    assert!(f.lease(f.lake, 10).await.is_empty(), "the other has had them");
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert!(leases.iter().all(|lease| lease.stored.is_replayed() && lease.stored.event.received < f.now));
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.accepted, status.replayed, status.redriven), (4, 3, 0));
    assert!(read(&f, 100, 1 << 20).await.iter().flat_map(|page| &page.events).any(|stored| stored.is_replayed()));
}

/// Pieces come one after the other; a piece of another place changes nothing.
pub async fn goes_on_with_a_replay_where_it_is<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..4).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    f.drain(f.crm).await;
    let events = everything(&f).await;
    let refused = |piece| async { matches!(f.queue.replay(piece, f.now).await, Err(QueueError::Invalid(_))) };
    assert!(refused(piece(&f, Some("1"), "2", false, events[..1].to_vec())).await, "it has not begun");
    replay(&f, piece(&f, None, "2", false, events[..2].to_vec())).await;
    assert!(refused(piece(&f, None, "2", false, events[..2].to_vec())).await, "it has begun");
    assert!(refused(piece(&f, Some("1"), "2", false, events[..2].to_vec())).await, "it is further");
    let known = f.queue.replays(Some("r1".to_owned())).await.unwrap();
    assert_eq!((known[0].position.as_str(), known[0].queued, known[0].done), ("2", 2, false));
    let done = replay(&f, piece(&f, Some("2"), "4", true, events[2..].to_vec())).await;
    assert_eq!((done.queued, done.done), (4, true));
    assert!(refused(piece(&f, Some("4"), "5", true, Vec::new())).await, "it is done");
    assert_eq!(f.drain(f.crm).await, ["0", "1", "2", "3"], "each once");
    let anew = replay(&f, piece(&f, None, "1", false, events[..1].to_vec())).await;
    assert_eq!((anew.queued, anew.done), (1, false));
    assert_eq!(f.queue.replays(None).await.unwrap().len(), 1);
    assert!(f.queue.replays(Some("other".to_owned())).await.unwrap().is_empty());
    let elsewhere =
        ReplayPiece { id: "r2".to_owned(), destination: Arc::from("nobody"), ..piece(&f, None, "1", true, events) };
    assert!(refused(elsewhere).await, "there is no such destination");
}

/// What was erased after a replay has read it is not brought back, and the replay goes on when it has read anew.
pub async fn brings_back_nothing_that_was_erased<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..3).map(|n| event("both", &format!("c{n}"), &n.to_string())).collect()).await;
    f.drain(f.crm).await;
    let read_before = piece(&f, None, "end", true, everything(&f).await);
    let erasure = |conversation: &str| Erasure { conversation: conversation.to_owned(), dry_run: false, by: f.by() };
    f.queue.erase(erasure("c1")).await.expect("erases");
    let refused = f.queue.replay(read_before.clone(), f.now).await;
    assert!(matches!(refused, Err(QueueError::Transient { .. })), "{refused:?}");
    assert!(f.queue.replays(None).await.unwrap().is_empty(), "it has not begun");
    // Also when the queue had nothing to erase: it may have been read from an archive.
    let read_between = piece(&f, None, "end", true, read_before.events);
    f.queue.erase(erasure("elsewhere")).await.expect("erases");
    assert!(f.queue.replay(read_between, f.now).await.is_err());
    f.queue.erase(Erasure { dry_run: true, ..erasure("c0") }).await.expect("counts");
    let events = everything(&f).await.into_iter().filter(|event| !event.is_erased()).collect();
    replay(&f, piece(&f, None, "end", true, events)).await;
    assert_eq!(f.drain(f.crm).await, ["0", "2"]);
}

/// What waits since it was replayed has not waited since it was received.
pub async fn what_is_replayed_waits_from_then_on<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "one")]).await;
    f.drain(f.crm).await;
    let events = everything(&f).await;
    f.wait(600);
    replay(&f, piece(&f, None, "end", true, events)).await;
    let status = f.queue.status(f.now).await.unwrap();
    let crm = status.consumers.iter().find(|consumer| consumer.name == "crm").unwrap();
    assert_eq!((crm.unsettled, crm.oldest_unsettled), (1, Some(f.now)));
}

/// How far a replay has come is as durable as what it has put on its way.
pub async fn keeps_replays<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..3).map(|n| event("both", &format!("c{n}"), &n.to_string())).collect()).await;
    f.drain(f.crm).await;
    let events = everything(&f).await;
    replay(&f, piece(&f, None, "2", false, events[..2].to_vec())).await;
    f.crash();
    let known = f.queue.replays(Some("r1".to_owned())).await.unwrap();
    assert_eq!((known[0].position.as_str(), known[0].queued, known[0].destination.as_str()), ("2", 2, "crm"));
    replay(&f, piece(&f, Some("2"), "3", true, events[2..].to_vec())).await;
    f.crash();
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert!(leases.iter().all(|lease| lease.stored.is_replayed()));
    assert_eq!(f.drain(f.lake).await, ["0", "1", "2"], "once");
    let status = f.queue.status(f.now).await.unwrap();
    assert_eq!((status.accepted, status.replayed), (3, 3));
}

/// Puts aside what waits for the CRM.
async fn put_aside<H: Harness>(f: &Fixture<H>) {
    let leases = f.lease(f.crm, 100).await;
    f.settle(&leases, Outcome::PutAside(Arc::from("outages/crm/1.json"))).await;
}

/// Of the CRM: what was put aside and not replayed, and what was delivered.
async fn counts<H: Harness>(f: &Fixture<H>) -> (u64, u64) {
    let consumer = f.queue.status(f.now).await.unwrap().consumers.swap_remove(0);
    (consumer.put_aside, consumer.delivered)
}

/// What is put aside is settled, told of as what it is, and no delivery.
pub async fn counts_what_is_put_aside_until_it_is_replayed<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish((0..5).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    put_aside(&f).await;
    assert_eq!(counts(&f).await, (5, 0));
    assert!(f.drain(f.crm).await.is_empty());
    let entries = super::trail::whole(&f).await;
    let told = entries.iter().filter(|entry| {
        let audit::What::Attempted { outcome, .. } = &entry.what else { return false };
        matches!(outcome, audit::Outcome::PutAside { part } if &**part == "outages/crm/1.json")
    });
    assert_eq!(told.count(), 5);
    let events = f.queue.read_log(Seq(0), 100, usize::MAX).await.unwrap().events;
    let events: Vec<_> = events.into_iter().map(|stored| stored.event).collect();
    let first = ReplayPiece { put_aside: 2, ..piece(&f, None, "2", false, events[..2].to_vec()) };
    f.queue.replay(first, f.now).await.unwrap();
    assert_eq!(counts(&f).await, (3, 0));
    let rest = ReplayPiece { put_aside: 100, ..piece(&f, Some("2"), "5", true, events[2..].to_vec()) };
    let late = f.queue.replay(ReplayPiece { from: Some("1".to_owned()), ..rest.clone() }, f.now).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(counts(&f).await, (3, 0), "what is refused counts nothing");
    f.queue.replay(rest, f.now).await.unwrap();
    assert_eq!(f.drain(f.crm).await.len(), 5);
    assert_eq!(counts(&f).await, (0, 5), "and never below nothing");
}

/// The counts stay.
pub async fn keeps_the_count_of_what_is_put_aside<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish((0..5).map(|n| event("crm", &format!("c{n}"), &n.to_string())).collect()).await;
    put_aside(&f).await;
    f.crash();
    assert_eq!(counts(&f).await, (5, 0));
    assert!(f.drain(f.crm).await.is_empty());
    let piece = ReplayPiece { put_aside: 2, ..piece(&f, None, "2", false, Vec::new()) };
    f.queue.replay(piece, f.now).await.unwrap();
    f.crash();
    assert_eq!(counts(&f).await, (3, 0));
}
