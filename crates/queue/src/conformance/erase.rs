//! Erasing a conversation: its bodies are gone everywhere, and everything else stays.

use audit::{Entry, Subject, What};
use bytes::Bytes;
use event::EventId;

use super::Harness;
use super::fixture::{Fixture, event, failure};
use super::trail::whole;
use crate::{
    Attempts, ConsumerId, DeadLetterQuery, Erased, Erasure, Failure, FailureClass, NewEvent, Outcome, Published,
    Rejection, Stage,
};

async fn erase<H: Harness>(f: &Fixture<H>, dry_run: bool) -> Erased {
    let erasure = Erasure { conversation: "a".to_owned(), dry_run, by: f.by().because("asked to") };
    f.queue.erase(erasure).await.expect("erases")
}

async fn stored<H: Harness>(f: &Fixture<H>, body: &str) -> Bytes {
    let id = EventId::from_identity("test", [body.as_bytes()]);
    f.queue.event(id).await.expect("reads").expect("is there").event.body
}

/// One event of `a` delivered, one dead with a copy, one of `b`, and a body that is none and names the conversation.
async fn filled<H: Harness>() -> Fixture<H> {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "one"), event("crm", "b", "two"), event("both", "a", "three")]).await;
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Done).await;
    let leases = f.lease(f.crm, 10).await;
    let attempts = Attempts { made: 1, charged: 1, ..Attempts::default() };
    f.settle(&leases, Outcome::Dead { attempts, failure: failure("no Jane") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    f.queue.edit(letters[0].id, Some(Bytes::from_static(b"copy")), f.by()).await.expect("edits");
    for body in ["{\"a\"", "{\"ab\""] {
        let failure = Failure::new(Stage::Intake, FailureClass::Permanent, "no JSON");
        let rejection = Rejection {
            proof: "key 1".into(),
            source: "test".into(),
            received: f.now,
            body: Bytes::from_static(body.as_bytes()),
            failure,
        };
        f.queue.reject(rejection).await.expect("keeps it");
    }
    f
}

/// What is counted is gone; the other conversation, the identities and the trail stay.
pub async fn erases_a_conversation_and_nothing_else<H: Harness>() {
    let f = filled::<H>().await;
    let erased = erase(&f, false).await;
    assert_eq!((erased.events, erased.bytes, erased.undelivered, erased.dead_letters), (2, 8, 1, 2));
    assert!(erased.log_emptied && erased.answers_kept == 0, "{erased:?}");
    assert_eq!((stored(&f, "one").await, stored(&f, "three").await), (Bytes::new(), Bytes::new()));
    assert_eq!(stored(&f, "two").await, "two");
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    assert_eq!(letters.len(), 1, "the body that does not name it: {letters:?}");
    let again = f.publish(vec![event("crm", "a", "one")]).await;
    assert!(matches!(again[..], [Published::Duplicate { .. }]), "{again:?}");
    // In another envelope: there is nothing left to compare it with, and what was erased must not come back.
    let other = NewEvent { body: "one, again".into(), ..event("crm", "a", "one") };
    let again = f.publish(vec![other]).await;
    assert!(matches!(again[..], [Published::Duplicate { .. }]), "{again:?}");
    let entries = whole(&f).await;
    let of = |entry: &Entry| match &entry.what {
        What::Erased { places, by, reason, .. } => Some((places.clone(), by.to_string(), reason.to_string())),
        _ => None,
    };
    let noted: Vec<_> = entries.iter().filter_map(of).collect();
    let places: Vec<u64> = noted.iter().flat_map(|(places, ..)| places.clone()).collect();
    assert_eq!(places, [1, 3]);
    assert!(noted.iter().all(|(_, by, reason)| by == "ann" && reason == "asked to"), "{noted:?}");
    let subject = Subject::Conversation(audit::Conversation::of("a"));
    assert!(f.queue.trace(subject).await.expect("traces").len() > 4, "the story stays");
    let again = erase(&f, false).await;
    assert_eq!(Erased { log_emptied: false, ..again }, Erased::default(), "there is nothing left");
}

/// Delivers until nothing is unsettled; that an event is not there any more may be settled a little later.
async fn drain_all<H: Harness>(f: &Fixture<H>, consumer: ConsumerId, place: usize) -> Vec<String> {
    let mut delivered = Vec::new();
    loop {
        delivered.extend(f.drain(consumer).await);
        if f.queue.status(f.now).await.expect("tells").consumers[place].unsettled == 0 {
            return delivered;
        }
        f.queue.changed(consumer).await;
    }
}

/// An erased event is not delivered, and holds up nobody.
pub async fn what_waits_for_an_erased_event_goes_on<H: Harness>() {
    let mut f = Fixture::<H>::new();
    f.publish(vec![event("both", "a", "one"), event("crm", "a", "two"), event("crm", "b", "three")]).await;
    let leases = f.lease(f.crm, 10).await;
    let attempts = Attempts { made: 1, ..Attempts::default() };
    let at = f.now.plus(std::time::Duration::from_secs(5));
    f.settle(&leases, Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    let erased = erase(&f, false).await;
    assert_eq!((erased.events, erased.undelivered), (2, 3), "one of them for both");
    f.publish(vec![event("both", "a", "four")]).await;
    f.wait(5);
    assert_eq!(drain_all(&f, f.crm, 0).await, ["three", "four"]);
    assert_eq!(drain_all(&f, f.lake, 1).await, ["four"]);
    assert_eq!(f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists"), []);
}

/// Counted as it would be, and nothing is changed.
pub async fn a_dry_run_only_counts<H: Harness>() {
    let f = filled::<H>().await;
    let before = whole(&f).await;
    let counted = erase(&f, true).await;
    assert_eq!(whole(&f).await, before);
    assert_eq!((stored(&f, "one").await, stored(&f, "three").await), ("one".into(), "three".into()));
    let erased = erase(&f, false).await;
    assert_eq!(Erased { log_emptied: true, ..counted }, erased);
}

/// A delivery that was under way is over, and nothing that was said of it stays.
pub async fn what_is_answered_afterwards_is_not_kept<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "one"), event("both", "a", "two")]).await;
    let (crm, lake) = (f.lease(f.crm, 10).await, f.lease(f.lake, 10).await);
    erase(&f, false).await;
    let attempts = Attempts { made: 1, charged: 1, ..Attempts::default() };
    f.settle(&crm, Outcome::Dead { attempts, failure: failure("no Jane") }).await;
    f.settle(&lake, Outcome::Retry { at: f.now, attempts, failure: failure("no Jane") }).await;
    assert_eq!(f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists"), []);
    assert_eq!(drain_all(&f, f.crm, 0).await, [""; 0]);
    assert_eq!(drain_all(&f, f.lake, 1).await, [""; 0]);
    let said = serde_json::to_string(&whole(&f).await).expect("writes");
    assert!(!said.contains("Jane"), "{said}");
}
