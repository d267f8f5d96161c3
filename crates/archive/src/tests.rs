//! The archive on a local directory, with the in-memory queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{Event, EventId, NewEvent, Timestamp};
use queue::{Consumer, MemoryQueue, Options, Order, Publication, Queue, Router, Routes, Seq, Target, Topology};
use storage::Location;
use tempfile::TempDir;

use crate::{Archive, Choice, Error, Filter, ReplayFrom, Store, step};

/// 2026-03-19T21:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_773_954_000_000);

struct All;

impl Router for All {
    fn route(&self, _: &Event) -> Routes {
        Routes::from_iter([Target { consumer: 0, route: 0 }])
    }
}

struct Site {
    dir: TempDir,
    queue: MemoryQueue,
}

impl Site {
    fn new() -> Self {
        let queue = MemoryQueue::new(Options::default());
        let consumers =
            vec![Consumer { name: Arc::from("crm"), order: Order::None, behind_dead: queue::BehindDead::Continue }];
        queue.configure(Topology { consumers, router: Arc::new(All) }).unwrap();
        Self { dir: tempfile::tempdir().unwrap(), queue }
    }

    fn archive(&self) -> Arc<Archive> {
        let store = Store::open(&Location::Directory(self.dir.path().join("archive"))).unwrap();
        Archive::new(store, self.dir.path())
    }

    async fn publish(&self, minutes: u64, names: &[&str]) {
        let new = |name: &&str| NewEvent {
            id: EventId::from_identity("test", [name.as_bytes()]),
            topic: Arc::from("t"),
            conversation: Some(Arc::from("c")),
            body: Bytes::from(format!("{{\"name\":\"{name}\"}}")),
        };
        let received = START.plus(Duration::from_secs(minutes * 60));
        let events = names.iter().map(new).collect();
        let content = |body: &[u8]| *EventId::from_identity("content", [body]).as_bytes();
        self.queue
            .publish(Publication {
                proof: Arc::from("key 1"),
                source: Arc::from("s"),
                received,
                events,
                content: queue::Content::Plain(content),
            })
            .await
            .unwrap();
    }

    /// Exports all that is closed at a time; the hours and counts of the parts.
    async fn export(&self, archive: &Archive, minutes: u64) -> Vec<(String, u64)> {
        let now = START.plus(Duration::from_secs(minutes * 60));
        let mut parts = Vec::new();
        while let Some(manifest) = archive.export_part(&self.queue, now, false).await.unwrap() {
            let hour = manifest.object.rsplit('/').nth(1).unwrap().to_owned();
            parts.push((hour, manifest.count));
        }
        parts
    }

    async fn delivered(&self) -> Vec<String> {
        let now = START.plus(Duration::from_secs(1 << 20));
        let leases = self.queue.lease(queue::ConsumerId(0), 10_000, now).await.unwrap();
        let bodies =
            leases.iter().map(|lease| String::from_utf8_lossy(&lease.stored.event.body).into_owned()).collect();
        let settle = |lease: &queue::Lease| queue::Settle { token: lease.token, outcome: queue::Outcome::Done };
        self.queue.settle(leases.iter().map(settle).collect(), now).await.unwrap();
        bodies
    }
}

fn part(hour: &str, count: u64) -> (String, u64) {
    (hour.to_owned(), count)
}

fn all(source: ReplayFrom) -> Choice {
    let to = START.plus(Duration::from_secs(100 * 3_600));
    Choice { from: START, to, pattern: None, conversation: None, destination: "crm".to_owned(), source }
}

async fn replay(site: &Site, archive: &Archive, choice: Choice, limit: usize) -> u64 {
    let filter = Filter::new(choice).unwrap();
    loop {
        let stepped = step(&site.queue, Some(archive), &filter, false, limit, START).await.unwrap();
        if stepped.replay.done {
            return stepped.replay.queued;
        }
    }
}

#[tokio::test]
async fn closed_hours_are_exported_once_whatever_is_lost_in_between() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(58, &["a", "b"]).await;
    site.publish(60, &["c"]).await;
    site.publish(59, &["d"]).await;
    site.publish(70, &["e"]).await;
    assert_eq!(site.export(&archive, 60).await, [], "a request of the hour may still be on its way");
    assert_eq!(site.export(&archive, 62).await, [part("21", 3)], "what came a little late is there");
    assert_eq!(archive.status().exported_through, 2, "and what is mixed with it waits");
    // The state file is lost.
    std::fs::remove_file(site.dir.path().join("archive.json")).unwrap();
    let archive = site.archive();
    assert_eq!(site.export(&archive, 125).await, [part("22", 2)]);
    // The clock is set back.
    site.publish(30, &["f"]).await;
    assert_eq!(site.export(&archive, 125).await, [part("21", 1)], "a further part");
    assert_eq!(site.export(&site.archive(), 125).await, []);
    let verified = archive.verify(None, 100).await.unwrap().parts;
    assert_eq!(verified.iter().map(|part| part.count).collect::<Vec<_>>(), [3, 1, 2]);
    assert!(verified.iter().all(|part| part.problem.is_none()));
    site.delivered().await;
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Archive), 2).await, 6);
    let names: Vec<_> = ["a", "b", "d", "f", "c", "e"].map(|name| format!("{{\"name\":\"{name}\"}}")).into();
    assert_eq!(site.delivered().await, names);
}

#[tokio::test]
async fn a_replay_of_both_has_each_event_once() {
    let site = Site::new();
    let archive = site.archive();
    for hour in 0..6 {
        site.publish(hour * 60 + 10, &[&format!("{hour}-1"), &format!("{hour}-2")]).await;
    }
    site.export(&archive, 4 * 60 + 5).await;
    archive.guard(&site.queue);
    site.delivered().await;
    // Retention has dropped the first ones only.
    let now = START.plus(Options::RETENTION).plus(Duration::from_secs(3 * 3_600));
    assert_eq!(site.queue.maintain(now).await.unwrap().events_dropped, 6);
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Store), 3).await, 6);
    assert_eq!(site.delivered().await.len(), 6);
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Auto), 3).await, 12);
    let mut delivered = site.delivered().await;
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), 12);
    // Retention stops at what is not exported.
    let now = now.plus(Duration::from_secs(1_000 * 3_600));
    site.queue.maintain(now).await.unwrap();
    assert_eq!(site.queue.read_log(Seq(0), 1, 1).await.unwrap().events[0].seq, Seq(9));
}

#[tokio::test]
async fn what_is_put_aside_comes_back_once() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a", "b", "c"]).await;
    let leases = site.queue.lease(queue::ConsumerId(0), 10, START).await.unwrap();
    let events: Vec<_> = leases.iter().map(|lease| Arc::clone(&lease.stored)).collect();
    assert_eq!(archive.last_put_aside("crm").await.unwrap(), None);
    let erasures = site.queue.erasures();
    archive.put_aside(&site.queue, "crm", &events[..2], erasures, START).await.unwrap();
    let last = archive.put_aside(&site.queue, "crm", &events[2..], erasures, START).await.unwrap();
    assert_eq!(archive.last_put_aside("crm").await.unwrap(), Some((last.clone(), vec![3])));
    assert_eq!(archive.last_put_aside("lake").await.unwrap(), None);
    let outcome = || queue::Outcome::PutAside(Arc::from(last.as_str()));
    let settle = |lease: &queue::Lease| queue::Settle { token: lease.token, outcome: outcome() };
    site.queue.settle(leases.iter().map(settle).collect(), START).await.unwrap();
    let put_aside = || async { site.queue.status(START).await.unwrap().consumers[0].put_aside };
    assert_eq!(put_aside().await, 3);
    let some = Choice { pattern: Some(r#"{"name":["b"]}"#.to_owned()), ..all(ReplayFrom::Outage) };
    assert_eq!(replay(&site, &archive, some, 1).await, 1);
    assert_eq!((site.delivered().await.len(), put_aside().await), (1, 3), "the others are still to be found");
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Outage), 1).await, 3);
    assert_eq!(site.delivered().await.len(), 3);
    let other = Choice { to: START.plus(Duration::from_secs(5)), ..all(ReplayFrom::Outage) };
    assert_eq!(put_aside().await, 0);
    assert_eq!(replay(&site, &archive, other, 1).await, 0, "it is marked as replayed");
    let listed = archive.list(None, 10).await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|part| part.replayed && part.destination.is_some()));
}

#[tokio::test]
async fn what_is_erased_before_it_is_put_aside_is_not_and_what_a_crash_has_left_is_deleted() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a", "b"]).await;
    let leases = site.queue.lease(queue::ConsumerId(0), 10, START).await.unwrap();
    let events: Vec<_> = leases.iter().map(|lease| Arc::clone(&lease.stored)).collect();
    let erasures = site.queue.erasures();
    let part = archive.put_aside(&site.queue, "crm", &events[..1], erasures, START).await.unwrap();
    // As a crash leaves it: the object of a second part, and no manifest.
    let whole = site.dir.path().join("archive").join(part.replace(".json", ".ndjson.zst"));
    let left = whole.with_file_name("00000000000009-00000000000000000002.ndjson.zst");
    std::fs::copy(&whole, &left).unwrap();
    let by = queue::By::new("ann", START).because("asked for");
    site.queue.erase(queue::Erasure { conversation: "c".to_owned(), dry_run: false, by }).await.unwrap();
    let refused = archive.put_aside(&site.queue, "crm", &events[1..], erasures, START).await;
    assert!(matches!(refused, Err(Error::Erased)), "{refused:?}");
    archive.erase("c", true, None, 10).await.unwrap();
    assert!(left.exists(), "it was only counted");
    let erased = archive.erase("c", false, None, 10).await.unwrap();
    assert_eq!((erased.events, erased.parts), (1, 1));
    assert!(!left.exists() && !whole.exists());
    let again = archive.erase("c", false, None, 10).await.unwrap();
    assert_eq!((again.events, again.damaged), (0, Vec::new()), "what was written anew stays");
    assert_eq!(archive.verify(None, 10).await.unwrap().parts[0].problem, None);
}

#[tokio::test]
async fn what_is_damaged_is_found_and_never_replayed() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a"]).await;
    let manifest =
        archive.export_part(&site.queue, START.plus(Duration::from_secs(3_700)), false).await.unwrap().unwrap();
    let path = site.dir.path().join("archive").join(&manifest.object);
    let mut data = std::fs::read(&path).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    std::fs::write(&path, data).unwrap();
    let problem = archive.verify(None, 10).await.unwrap().parts.remove(0).problem.unwrap();
    assert!(problem.contains("checksum"), "{problem}");
    let filter = Filter::new(all(ReplayFrom::Archive)).unwrap();
    let refused = step(&site.queue, Some(&archive), &filter, false, 10, START).await.unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
    assert!(site.queue.replays(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_archive_of_another_queue_is_refused() {
    let site = Site::new();
    site.publish(1, &["a", "b"]).await;
    site.export(&site.archive(), 70).await;
    std::fs::remove_file(site.dir.path().join("archive.json")).unwrap();
    for names in [&["x"][..], &["x", "y", "z"]] {
        let other = Site { queue: Site::new().queue, ..Site::new() };
        other.publish(1, names).await;
        let store = Store::open(&Location::Directory(site.dir.path().join("archive"))).unwrap();
        let archive = Archive::new(store, other.dir.path());
        let now = START.plus(Duration::from_secs(7_200));
        let refused = archive.export_part(&other.queue, now, false).await.unwrap_err();
        assert!(matches!(refused, Error::OtherQueue(_)), "{refused}");
    }
}

#[tokio::test]
async fn pages_of_parts_leave_none_out_and_repeat_none() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a", "b", "c"]).await;
    site.export(&archive, 70).await;
    let leases = site.queue.lease(queue::ConsumerId(0), 10, START).await.unwrap();
    for (lease, destination) in leases.iter().zip(["a", "a-b", "ä/b"]) {
        let events = std::slice::from_ref(&lease.stored);
        archive.put_aside(&site.queue, destination, events, site.queue.erasures(), START).await.unwrap();
    }
    let all = archive.list(None, 100).await.unwrap();
    let aside: Vec<_> = all.iter().filter_map(|part| part.destination.as_deref()).collect();
    assert_eq!((all.len(), aside), (4, vec!["ä/b", "a-b", "a"]));
    for limit in 1..5 {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = archive.list(after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.manifest.clone());
            seen.extend(page);
        }
        assert_eq!(seen, all, "{limit}");
    }
}

#[tokio::test]
async fn a_dry_run_goes_page_by_page_and_changes_nothing() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a", "b", "c", "d", "e"]).await;
    site.export(&archive, 70).await;
    for source in [ReplayFrom::Store, ReplayFrom::Archive, ReplayFrom::Auto] {
        let pattern = Some(r#"{"name":[{"anything-but":"e"}]}"#.to_owned());
        let filter = Filter::new(Choice { pattern, ..all(source) }).unwrap();
        let (mut pass, mut fail, mut cursor) = (0, 0, None::<String>);
        loop {
            let judge = |event: &Event| Some(if event.body.contains(&b'c') { Err("no".to_owned()) } else { Ok(()) });
            let run =
                crate::try_out(&site.queue, Some(&archive), &filter, cursor.as_deref(), 2, Timestamp::default(), judge)
                    .await
                    .unwrap();
            (pass, fail, cursor) = (pass + run.pass, fail + run.fail, run.next);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((pass, fail), (3, 1), "{source:?}");
    }
    assert_eq!(site.queue.status(START).await.unwrap().replayed, 0);
    for wrong in ["", "x", "s", "s000000000000001g", "a00", "{}"] {
        let filter = Filter::new(all(ReplayFrom::Store)).unwrap();
        let judge = |_: &Event| None;
        assert!(
            crate::try_out(&site.queue, Some(&archive), &filter, Some(wrong), 2, Timestamp::default(), judge)
                .await
                .is_err(),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_is_erased_is_in_no_object_and_the_rest_stays() {
    let site = Site::new();
    let archive = site.archive();
    site.publish(1, &["a", "b"]).await;
    site.export(&archive, 70).await;
    let before = archive.list(None, 10).await.unwrap();
    let counted = archive.erase("c", true, None, 10).await.unwrap();
    assert_eq!((counted.read, counted.parts, counted.events, counted.bytes), (1, 1, 2, 24));
    assert_eq!(archive.list(None, 10).await.unwrap(), before);
    let none = archive.erase("another", false, None, 10).await.unwrap();
    assert_eq!((none.read, none.events), (1, 0));
    // The one before was broken off before its old object was deleted.
    let name = before[0].manifest.clone();
    let mut manifest = archive.manifest(&name).await.unwrap();
    archive.store.put("events/left-over", Bytes::from_static(b"{}")).await.unwrap();
    manifest.replaces = Some("events/left-over".to_owned());
    let stem = name.strip_suffix(".json").unwrap();
    archive.store.put(&name, serde_json::to_vec(&manifest).unwrap().into()).await.unwrap();
    assert_eq!(archive.erase("c", false, None, 10).await.unwrap(), counted);
    let names = archive.store.names("events").await.unwrap();
    assert_eq!(names, [format!("{stem}.1.ndjson.zst"), name.clone()]);
    let verified = archive.verify(None, 10).await.unwrap().parts;
    assert_eq!((verified.len(), verified[0].count, &verified[0].problem), (1, 2, &None));
    let after = archive.list(None, 10).await.unwrap();
    assert_eq!((after[0].first_seq, after[0].last_seq, after[0].count), (1, 2, 2));
    let again = archive.erase("c", false, None, 10).await.unwrap();
    assert_eq!((again.parts, again.events), (0, 0));
    let filter = Filter::new(all(ReplayFrom::Archive)).unwrap();
    let judge = |_: &Event| Some(Ok(()));
    let run =
        crate::try_out(&site.queue, Some(&archive), &filter, None, 10, Timestamp::default(), judge).await.unwrap();
    assert_eq!((run.pass, run.fail), (0, 0), "nothing of it comes back");
}

/// The manifests of events, in the order of their names.
async fn manifests(archive: &Archive) -> Vec<String> {
    let names = archive.store.names("events").await.unwrap();
    names.into_iter().filter(|name| name.ends_with(".json")).collect()
}

async fn missing(archive: &Archive) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None::<String>;
    loop {
        let page = archive.verify(after.as_deref(), 2).await.unwrap();
        found.extend(page.parts.into_iter().filter(|part| part.problem.is_some()).map(|part| part.manifest));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_part_that_is_missing_is_found_refused_and_written_again_while_the_queue_has_it() {
    let site = Site::new();
    let archive = site.archive();
    for hour in 0..4 {
        site.publish(hour * 60 + 10, &[&format!("{hour}-1"), &format!("{hour}-2")]).await;
    }
    site.export(&archive, 5 * 60).await;
    let all_of_it = manifests(&archive).await;
    assert_eq!((all_of_it.len(), missing(&archive).await), (4, Vec::<String>::new()));
    let read = |name: &String| std::fs::read(site.dir.path().join("archive").join(name)).unwrap();
    let object = |name: &String| name.replace(".json", ".ndjson.zst");
    // The one in the middle, the last one, and two in a row.
    for gone in [&[1][..], &[3], &[2, 1]] {
        let before: Vec<_> = all_of_it.iter().map(|name| read(&object(name))).collect();
        for at in gone {
            archive.store.delete(&all_of_it[*at]).await.unwrap();
            archive.store.delete(&object(&all_of_it[*at])).await.unwrap();
        }
        assert_eq!(missing(&archive).await, gone.iter().map(|at| all_of_it[*at].clone()).collect::<Vec<_>>());
        let filter = Filter::new(all(ReplayFrom::Archive)).unwrap();
        let refused = step(&site.queue, Some(&archive), &filter, false, 10, START).await.unwrap_err();
        assert!(refused.to_string().contains("its manifest is gone"), "{refused}");
        let judge = |_: &Event| Some(Ok(()));
        assert!(
            crate::try_out(&site.queue, Some(&archive), &filter, None, 10, Timestamp::default(), judge).await.is_err()
        );
        // Another process, which remembers only what is in its file.
        assert_eq!(site.archive().mend(&site.queue).await.unwrap(), gone.len() as u64, "{gone:?}");
        assert_eq!(manifests(&archive).await, all_of_it);
        assert_eq!(all_of_it.iter().map(|name| read(&object(name))).collect::<Vec<_>>(), before, "the same parts");
        assert_eq!(missing(&archive).await, Vec::<String>::new());
    }
    site.delivered().await;
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Archive), 10).await, 8);
    // Retention has dropped it from the queue.
    site.queue.maintain(START.plus(Options::RETENTION).plus(Duration::from_secs(1 << 20))).await.unwrap();
    archive.store.delete(&all_of_it[1]).await.unwrap();
    assert_eq!(archive.mend(&site.queue).await.unwrap(), 0);
    assert_eq!(missing(&archive).await, [all_of_it[1].clone()], "it is told as long as it is missing");
}

#[tokio::test]
async fn parts_that_were_deleted_from_the_beginning_on_are_no_gap() {
    let site = Site::new();
    let archive = site.archive();
    for hour in 0..4 {
        site.publish(hour * 60 + 10, &[&format!("{hour}-1")]).await;
    }
    site.export(&archive, 5 * 60).await;
    for name in &manifests(&archive).await[..2] {
        archive.store.delete(name).await.unwrap();
    }
    assert_eq!(missing(&archive).await, Vec::<String>::new());
    site.delivered().await;
    assert_eq!(replay(&site, &archive, all(ReplayFrom::Archive), 10).await, 2);
}
