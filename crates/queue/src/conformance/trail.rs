//! The audit trail: what happened is noted, once and in order, and the notes are chained.

use audit::{Chain, Conversation, Entry, Outcome as Ended, Subject, What};

use super::Harness;
use super::fixture::{Fixture, event, failure};
use crate::{Answer, Attempts, By, DeadLetterQuery, Outcome};

/// What an entry says, in a word or two.
fn word(entry: &Entry) -> String {
    match &entry.what {
        What::Received { proof, destinations, .. } => format!("received by {proof} for {}", destinations.join(" ")),
        What::Duplicate { .. } => "duplicate".to_owned(),
        What::Rejected { .. } => "rejected".to_owned(),
        What::Attempted { destination, outcome, .. } => match outcome {
            Ended::Skipped { .. } => format!("{destination} skipped"),
            Ended::PutAside { part } => format!("{destination} put aside in {part}"),
            Ended::Delivered { status, latency_ms, .. } => {
                format!("{destination} delivered {} in {latency_ms}", status.unwrap_or(0))
            }
            Ended::Failed { failure, again, .. } => {
                format!(
                    "{destination} failed with {}, {}",
                    failure.message,
                    if again.is_some() { "again" } else { "dead" }
                )
            }
        },
        What::Died { .. } => "died".to_owned(),
        What::Redriven { .. } => "redriven".to_owned(),
        What::Replayed { .. } => "replayed".to_owned(),
        What::Edited { .. } => "edited".to_owned(),
        What::Discarded { .. } => "discarded".to_owned(),
        What::Done { by, action, subject, .. } => format!("{by}: {action} {subject}"),
        What::Erased { .. } => "erased".to_owned(),
        What::Dropped { .. } => "dropped".to_owned(),
    }
}

async fn story<H: Harness>(f: &Fixture<H>, conversation: &str) -> Vec<String> {
    let subject = Subject::Conversation(Conversation::of(conversation));
    f.queue.trace(subject).await.expect("traces").iter().map(word).collect()
}

/// Every block, checked; their entries.
pub(super) async fn whole<H: Harness>(f: &Fixture<H>) -> Vec<Entry> {
    let (mut after, mut chain, mut entries) = (0, None::<Chain>, Vec::new());
    loop {
        let page = f.queue.audit(after, 3).await.expect("reads the trail");
        let chain = chain.get_or_insert_with(|| Chain::behind(page.begins));
        if page.blocks.is_empty() {
            chain.finish().expect("begins at its beginning");
            return entries;
        }
        for block in page.blocks {
            chain.next(&block).expect("is chained");
            entries.extend(block.entries().expect("can be read"));
            after = block.number;
        }
    }
}

/// From its receipt to its dead letter and back: the story of an event, and of no other.
pub async fn tells_what_became_of_a_conversation<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("crm", "a", "one"), event("both", "b", "two"), event("crm", "a", "one")]).await;
    let leases = f.lease(f.crm, 10).await;
    let again = Outcome::Retry { at: f.now, attempts: Attempts::default(), failure: failure("busy") };
    f.settle(&leases[..1], again).await;
    f.settle(&leases[1..], Outcome::Done).await;
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("no") }).await;
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.expect("lists");
    f.queue.redrive(vec![letters[0].id], By::new("eva", f.now)).await.expect("redrives");
    let leases = f.lease(f.crm, 10).await;
    f.settle(&leases, Outcome::Delivered(Answer { status: Some(201), latency_ms: 7, mapping: Some("1f".into()) }))
        .await;
    let expected = [
        "received by key 1 for crm",
        "duplicate",
        "crm failed with busy, again",
        "crm failed with no, dead",
        "died",
        "redriven",
        "crm delivered 201 in 7",
    ];
    assert_eq!(story(&f, "a").await, expected);
    assert_eq!(story(&f, "b").await, ["received by key 1 for crm lake", "crm skipped"]);
    assert_eq!(story(&f, "c").await, [""; 0]);
}

/// What someone has done stands there too, in its place; all of it is chained.
pub async fn notes_what_is_done<H: Harness>() {
    let f = Fixture::<H>::new();
    f.publish(vec![event("nobody", "a", "one")]).await;
    let what = What::Done { by: "eva".into(), action: "paused".into(), subject: "crm".into(), detail: "".into() };
    f.queue.note(vec![Entry { at: f.now, what }]).await.expect("notes");
    f.publish(vec![event("crm", "a", "two")]).await;
    let words: Vec<_> = whole(&f).await.iter().map(word).collect();
    assert_eq!(words, ["received by key 1 for ", "eva: paused crm", "received by key 1 for crm"]);
}
