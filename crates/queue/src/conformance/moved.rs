//! Cases about moving everything to another queue and from another one. The other one is the in-memory reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};

use super::Harness;
use super::fixture::{Fixture, OPTIONS, event, failure, identified};
use super::model::Reference;
use crate::moving::{Move, Moving, Shared, Standing, Tally, abandon};
use crate::{
    Attempts, ConsumerId, DeadLetterQuery, Erasure, Fingerprint, Moved, Outcome, QueueError, Rejection, ReviewState,
    Seq, Stage,
};

/// A delivery that a destination gets: its body, what was tried, whether it is an edited copy, and behind a dead letter.
pub type Delivered = (String, Attempts, bool, bool);

/// What there is to see of a dead letter.
type Letter = (Timestamp, Option<EventId>, Attempts, String, Option<Bytes>, Option<(String, Option<Bytes>)>, bool);

/// How many letters a group has, and how far who is with it, with which note.
type Group = (Fingerprint, u64, ReviewState, Option<String>, Option<String>);

/// All that can be seen of a queue, in the order that counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// By destination and conversation, in the order of delivery.
    pub deliveries: BTreeMap<(&'static str, String), Vec<Delivered>>,
    letters: BTreeMap<(Option<Arc<str>>, String), Vec<Letter>>,
    groups: Vec<Group>,
}

/// Moves all from one to the other, in one go.
pub async fn move_all<A: Harness, B: Harness>(from: &Fixture<A>, to: &Fixture<B>) -> Tally {
    let mut moving = begin(from, to).await.expect("begins");
    while !moving.step(from.now).await.expect("moves") {}
    moving.finish(from.now).await.expect("finishes")
}

/// Begins a move, or goes on.
pub async fn begin<A: Harness, B: Harness>(from: &Fixture<A>, to: &Fixture<B>) -> Result<Moving, QueueError> {
    let shared = vec![
        Shared { name: Arc::from("crm"), from: from.crm, to: to.crm },
        Shared { name: Arc::from("lake"), from: from.lake, to: to.lake },
    ];
    let the_move = Move { from: Arc::from("one"), to: Arc::from("other"), began: from.now };
    Moving::begin((Arc::clone(&from.queue), Arc::clone(&to.queue)), shared, the_move, OPTIONS.dedupe_window).await
}

/// Everything of a queue; its deliveries are made.
pub async fn seen<H: Harness>(f: &mut Fixture<H>) -> Seen {
    let mut letters = BTreeMap::<_, Vec<Letter>>::new();
    for listed in f.queue.dead_letters(DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() }).await.unwrap() {
        let letter = f.queue.dead_letter(listed.id).await.unwrap().expect("it was listed");
        let edit = letter.edit.map(|edit| (format!("{:?}", edit.by), edit.body));
        let about = (
            letter.died,
            letter.event,
            letter.attempts,
            format!("{:?}", letter.failure),
            letter.body,
            edit,
            letter.altered,
        );
        let of = letter.conversation.map(|name| name.to_string()).unwrap_or_default();
        letters.entry((letter.destination, of)).or_default().push(about);
    }
    letters.values_mut().for_each(|letters| letters.sort_by_key(|letter| format!("{letter:?}")));
    let groups = f.queue.dead_letter_groups(DeadLetterQuery::default()).await.unwrap();
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|group| {
            let review = group.review;
            let is_open = review.state == ReviewState::Open;
            let said = (review.by.filter(|_| !is_open), review.note.filter(|_| !is_open));
            (group.fingerprint, group.count, review.state, said.0, said.1)
        })
        .collect();
    groups.sort_by_key(|group| group.0);
    // Whatever waits for its retry is due by then.
    f.wait(OPTIONS.times.longest_wait.as_secs());
    let mut deliveries = BTreeMap::new();
    deliver_all(f, &mut deliveries).await;
    // And what waits for a dead letter.
    let all = f.queue.dead_letters(DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() }).await.unwrap();
    f.queue.discard(all.iter().map(|letter| letter.id).collect(), f.by()).await.unwrap();
    deliver_all(f, &mut deliveries).await;
    Seen { deliveries, letters, groups }
}

/// Delivers everything that can be, and notes it.
async fn deliver_all<H: Harness>(f: &Fixture<H>, deliveries: &mut BTreeMap<(&'static str, String), Vec<Delivered>>) {
    for (name, consumer) in [("crm", f.crm), ("lake", f.lake)] {
        loop {
            let leases = f.lease(consumer, 1_000).await;
            if leases.is_empty() {
                break;
            }
            for lease in &leases {
                let edited = lease.stored.again.is_some_and(|again| again.edited);
                let of = lease.stored.event.conversation.as_ref().map(ToString::to_string);
                let one = (super::fixture::body(lease), lease.attempts, edited, lease.behind_dead);
                deliveries.entry((name, of.unwrap_or_default())).or_default().push(one);
            }
            f.settle(&leases, Outcome::Done).await;
        }
    }
}

/// Something of everything: settled for one destination and not for the other, tried, dead, edited, redriven, in conflict,
/// for nobody, and no event at all.
async fn fill<H: Harness>(f: &mut Fixture<H>) {
    let tried = |made| Attempts { made, charged: 1, first: Some(f.now), last: Some(f.now) };
    f.publish(vec![
        event("both", "a", "a1"),
        event("crm", "a", "a2"),
        event("both", "b", "b1"),
        event("none", "n", "n1"),
    ])
    .await;
    f.publish(vec![
        event("crm", "c", "c1"),
        event("crm", "d", "d1"),
        event("crm", "e", "e1"),
        event("lake", "b", "b2"),
    ])
    .await;
    f.publish(vec![identified("a1", "crm", "a", "another a1")]).await;
    for lease in f.lease(f.crm, 10).await {
        let outcome = match super::fixture::body(&lease).as_str() {
            "a1" => Outcome::Done,
            "e1" => {
                Outcome::Retry { at: f.now.plus(OPTIONS.times.lease), attempts: tried(2), failure: failure("busy") }
            }
            _ => Outcome::Dead { attempts: tried(3), failure: failure("no such field") },
        };
        f.settle(&[lease], outcome).await;
    }
    let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
    let of = |name: &str| letters.iter().find(|letter| letter.conversation.as_deref() == Some(name)).unwrap().id;
    f.queue.edit(of("c"), Some(Bytes::from_static(b"c1 mended")), f.by()).await.unwrap();
    f.queue.edit(of("d"), Some(Bytes::from_static(b"d1 mended")), f.by()).await.unwrap();
    f.queue.redrive(vec![of("c")], f.by()).await.unwrap();
    let group = letters[0].fingerprint();
    f.queue.set_review(group, ReviewState::Acknowledged, f.by()).await.unwrap();
    let rejection = Rejection {
        source: Arc::from("test"),
        received: f.now,
        proof: Arc::from("key 1"),
        failure: crate::Failure::new(Stage::Intake, crate::FailureClass::Permanent, "no JSON"),
        body: Bytes::from_static(b"{"),
    };
    f.queue.reject(rejection).await.unwrap();
    f.queue.remember(f.crm, Some(Bytes::from_static(b"down"))).await.unwrap();
    f.wait(10);
    f.publish(vec![event("both", "a", "a3"), event("both", "", "alone")]).await;
}

async fn moves<A: Harness, B: Harness>() {
    let (mut from, mut to) = (Fixture::<A>::new(), Fixture::<B>::new());
    fill(&mut from).await;
    to.now = from.now;
    let counted = {
        let shared = [Shared { name: Arc::from("crm"), from: from.crm, to: to.crm }];
        Moving::count(&*from.queue, &shared, OPTIONS.dedupe_window, from.now).await.unwrap()
    };
    let tally = move_all(&from, &to).await;
    assert_eq!(tally, counted);
    assert_eq!((tally.dead_letters, tally.damaged, tally.stay), (3, 0, 0));
    // A repetition is a duplicate there too, and an event of the old days is found.
    let again = to.publish(vec![event("both", "a", "a1"), event("none", "n", "n1"), event("crm", "c", "c1")]).await;
    assert!(again.iter().all(crate::Published::is_duplicate), "{again:?}");
    let found = to.queue.event(again[0].id()).await.unwrap().expect("it was moved");
    assert_eq!((found.event.body, found.event.received), (Bytes::from_static(b"a1"), from.now.minus_secs(10)));
    assert_eq!(to.queue.remembered(to.crm).await.unwrap(), Some(Bytes::from_static(b"down")));
    assert_eq!(to.queue.status(to.now).await.unwrap().unmatched, 1);
    let trail = to.queue.trace(audit::Subject::Conversation(audit::Conversation::of("a"))).await.unwrap();
    assert!(trail.len() >= 4, "the trail tells of what was moved: {trail:?}");
    let erasure = || Erasure { conversation: "a".to_owned(), dry_run: true, by: from.by() };
    let (here, there) = (from.queue.erase(erasure()).await.unwrap(), to.queue.erase(erasure()).await.unwrap());
    assert_eq!(
        (there.events, there.undelivered, there.dead_letters),
        (here.events, here.undelivered, here.dead_letters)
    );
    to.publish(vec![event("crm", "a", "a4")]).await;
    let (before, mut after) = (seen(&mut from).await, seen(&mut to).await);
    let late = after.deliveries.get_mut(&("crm", "a".to_owned())).unwrap().pop();
    assert_eq!(late.map(|late| late.0), Some("a4".to_owned()), "what comes later is delivered later");
    assert_eq!(after, before);
}

trait Seconds {
    fn minus_secs(self, seconds: u64) -> Self;
}

impl Seconds for Timestamp {
    fn minus_secs(self, seconds: u64) -> Self {
        self.minus(std::time::Duration::from_secs(seconds))
    }
}

/// Nothing gets lost, doubled or out of order on the way from the backend to another queue.
pub async fn everything_moves_from_it<H: Harness>() {
    moves::<H, Reference>().await;
}

/// Nor on the way from another queue into the backend.
pub async fn everything_moves_into_it<H: Harness>() {
    moves::<Reference, H>().await;
}

/// A queue that is a part of a move says so, and one that has events takes over nothing.
pub async fn says_that_it_is_moved<H: Harness>() {
    let (mut from, to) = (Fixture::<H>::new(), Fixture::<Reference>::new());
    from.publish(vec![event("crm", "a", "a1")]).await;
    let moving = begin(&from, &to).await.unwrap();
    let (one, other) = (Standing::of(&*from.queue).await.unwrap(), Standing::of(&*to.queue).await.unwrap());
    assert!(
        matches!((&one, &other), (Some(Standing::MovingTo(_)), Some(Standing::MovingFrom(_)))),
        "{one:?} {other:?}"
    );
    drop(moving);
    let mut given_up = Fixture::<Reference>::new();
    given_up.publish(vec![event("crm", "a", "a1")]).await;
    let part = Fixture::<H>::new();
    begin(&given_up, &part).await.unwrap().step(given_up.now).await.unwrap();
    abandon(&*given_up.queue, given_up.now).await.unwrap();
    given_up.wait(5);
    let again = begin(&given_up, &part).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(again.contains("is not finished"), "what is there is of a move that was given up: {again}");
    from.wait(5);
    let third = Fixture::<Reference>::new();
    assert!(matches!(begin(&from, &third).await, Err(QueueError::Invalid(_))), "it is on its way elsewhere");
    assert_eq!(move_all(&from, &to).await.events, 1);
    assert!(matches!(Standing::of(&*from.queue).await.unwrap(), Some(Standing::MovedTo(_))));
    assert_eq!(Standing::of(&*to.queue).await.unwrap(), None);
    assert!(begin(&from, &to).await.is_err() && abandon(&*from.queue, from.now).await.is_err());
    assert!(begin(&to, &from).await.is_err(), "there is something in the way");
    assert!(matches!(from.queue.remembered(ConsumerId(999)).await, Err(QueueError::Invalid(_))));
}

/// What was taken over is there after a crash, and is passed over when it comes again.
pub async fn keeps_what_it_took_over<H: Harness>() {
    let (mut from, mut to) = (Fixture::<Reference>::new(), Fixture::<H>::new());
    fill(&mut from).await;
    to.now = from.now;
    let mut moving = begin(&from, &to).await.unwrap();
    while !moving.step(from.now).await.unwrap() {}
    drop(moving);
    to.crash();
    assert!(matches!(Standing::of(&*to.queue).await.unwrap(), Some(Standing::MovingFrom(_))));
    to.now = from.now;
    let tally = move_all(&from, &to).await;
    assert_eq!(tally.events, 0, "everything is known: {tally:?}");
    to.crash();
    to.now = from.now;
    let (before, after) = (seen(&mut from).await, seen(&mut to).await);
    assert_eq!(after, before);
}

/// An event for a destination that nobody knows is refused, and so is one that stands there again for several.
pub async fn refuses_what_it_cannot_keep<H: Harness>() {
    let (from, to) = (Fixture::<Reference>::new(), Fixture::<H>::new());
    from.publish(vec![event("both", "a", "a1")]).await;
    let page = from.queue.left(Seq(0), 10, 1_000).await.unwrap();
    let stored = page.page.events[0].clone();
    let mut moved = Moved {
        known_by: stored.event.id,
        known_since: stored.event.received,
        event: stored.event,
        again: None,
        left: page.left[0].clone(),
        dead: Vec::new(),
        proof: Arc::from("moved"),
    };
    moved.left[0].destination = Arc::from("nowhere");
    let refused = to.queue.take_over(vec![moved.clone()]).await;
    assert!(matches!(&refused, Err(QueueError::Invalid(why)) if why.contains("nowhere")), "{refused:?}");
    moved.left[0].destination = Arc::from("crm");
    let taken = to.queue.take_over(vec![moved.clone(), moved]).await.unwrap();
    assert_eq!((taken.looked_at, taken.new, taken.last), (2, 1, Seq(1)));
    assert_eq!((to.bodies(to.crm).await, to.bodies(to.lake).await), (vec!["a1".to_owned()], vec!["a1".to_owned()]));
}
