//! Cases about dealing with dead letters: edited copies, and how far people are with a group.

use bytes::Bytes;

use super::Harness;
use super::fixture::{Fixture, body, event, failure, topology};
use crate::{
    Attempts, DeadLetter, DeadLetterId, DeadLetterQuery, Failure, Fingerprint, GroupReview, NotRedriven, Order,
    Outcome, REVIEWS_MAX, Rejection, ReviewState, Stage,
};

/// Dead letters of events with these bodies, each in a conversation of its own.
async fn dead<H: Harness>(f: &Fixture<H>, bodies: &[&str], message: &str) -> Vec<DeadLetter> {
    let before = letters(f).await.last().map(|letter| letter.id);
    f.publish(bodies.iter().map(|body| event("both", &format!("c{body}"), body)).collect()).await;
    f.drain(f.lake).await;
    let leases = f.lease(f.crm, 100).await;
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure(message) }).await;
    letters(f).await.into_iter().filter(|letter| Some(letter.id) > before).collect()
}

async fn letters<H: Harness>(f: &Fixture<H>) -> Vec<DeadLetter> {
    f.queue.dead_letters(DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() }).await.unwrap()
}

async fn whole<H: Harness>(f: &Fixture<H>, id: DeadLetterId) -> DeadLetter {
    f.queue.dead_letter(id).await.unwrap().unwrap()
}

fn copy(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

/// The original stays beside the copy, a new copy takes the place of the one before, and it can be dropped.
pub async fn keeps_an_edited_copy_beside_the_original<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let before = dead(&f, &["1", "2"], "no").await;
    let id = before[0].id;
    assert!(f.queue.edit(id, copy("one"), f.by()).await.unwrap());
    f.wait(5);
    assert!(f.queue.edit(id, copy("ONE"), f.by().because("louder")).await.unwrap());
    assert!(!f.queue.edit(DeadLetterId(999), copy("x"), f.by()).await.unwrap(), "there is no such letter");
    let letter = whole(&f, id).await;
    let edit = letter.edit.clone().unwrap();
    assert_eq!((letter.body.as_deref(), edit.body.as_deref()), (Some(&b"1"[..]), Some(&b"ONE"[..])));
    assert_eq!((&*edit.by.name, &*edit.by.reason, edit.by.at), ("ann", "louder", f.now));
    let listed = letters(&f).await;
    assert_eq!(listed[0].edit.as_ref().map(|edit| (&edit.by, &edit.body)), Some((&edit.by, &None)));
    assert_eq!(listed[1], before[1], "the other one is as it was");
    assert!(f.queue.edit(id, None, f.by()).await.unwrap());
    assert_eq!(letters(&f).await, before);
    assert_eq!(whole(&f, id).await.edit, None);
}

/// The copy is delivered under the event's id, the event is marked, and what fails again is known to be altered.
pub async fn redrives_the_edited_copy<H: Harness>() {
    let f = Fixture::<H>::new();
    let before = dead(&f, &["1", "2"], "no").await;
    f.queue.edit(before[0].id, copy("one"), f.by()).await.unwrap();
    let ids: Vec<_> = before.iter().map(|letter| letter.id).collect();
    let outcomes = f.queue.redrive(ids.clone(), f.by()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases.iter().map(body).collect::<Vec<_>>(), ["one", "2"]);
    assert_eq!(leases[0].stored.event.id, before[0].event.unwrap());
    let edited = |at: usize| leases[at].stored.again.map(|again| again.edited);
    assert_eq!((edited(0), edited(1)), (Some(true), Some(false)));
    f.settle(&leases, Outcome::Dead { attempts: Attempts::default(), failure: failure("still no") }).await;
    let again = letters(&f).await;
    assert_eq!(again.iter().map(|letter| letter.edit.is_some()).collect::<Vec<_>>(), [false, false]);
    let (one, two) = (whole(&f, again[0].id).await, whole(&f, again[1].id).await);
    assert_eq!((one.altered, one.body.as_deref(), two.altered), (true, Some(&b"one"[..]), false));
    let first = f.queue.event(before[0].event.unwrap()).await.unwrap().unwrap();
    assert_eq!(&*first.event.body, b"1", "the original is still in the log");
    // It stays marked, edited again or not.
    f.queue.redrive(vec![again[0].id], f.by()).await.unwrap();
    let leases = f.lease(f.crm, 10).await;
    assert_eq!(leases[0].stored.again.map(|again| again.edited), Some(true));
}

/// A copy goes with its letter, and an edited copy that no route leads to its destination stays one.
pub async fn drops_the_copy_with_its_letter<H: Harness>() {
    let f = Fixture::<H>::new();
    let before = dead(&f, &["1"], "no").await;
    f.queue.edit(before[0].id, copy("one"), f.by()).await.unwrap();
    f.queue.configure(topology(&["lake"], Order::Conversation)).unwrap();
    let outcomes = f.queue.redrive(vec![before[0].id], f.by()).await.unwrap();
    assert_eq!(outcomes[0].result, Err(NotRedriven::NotRouted("crm".to_owned())));
    assert!(whole(&f, before[0].id).await.edit.is_some());
    let gone = f.queue.discard(vec![before[0].id], f.by()).await.unwrap();
    assert!(gone[0].edit.as_ref().is_some_and(|edit| edit.body.is_none()), "{gone:?}");
    assert!(!f.queue.edit(before[0].id, copy("two"), f.by()).await.unwrap());
    // A body that is no event can have a copy too; what becomes of it is for intake to say.
    let failure = Failure { stage: Stage::Intake, ..failure("no JSON") };
    let rejection = Rejection {
        proof: "key 1".into(),
        source: "test".into(),
        received: f.now,
        failure,
        body: Bytes::from_static(b"{"),
    };
    let id = f.queue.reject(rejection).await.unwrap();
    assert!(f.queue.edit(id, copy("{}"), f.by()).await.unwrap());
    let letter = whole(&f, id).await;
    assert_eq!(letter.edit.and_then(|edit| edit.body).as_deref(), Some(&b"{}"[..]));
    assert_eq!(f.queue.redrive(vec![id], f.by()).await.unwrap()[0].result, Err(NotRedriven::NoEvent));
}

/// A state that was set holds until it is set anew, or until a letter dies.
pub async fn a_new_letter_opens_its_group_again<H: Harness>() {
    let mut f = Fixture::<H>::new();
    dead(&f, &["1", "2", "6"], "no 1").await;
    dead(&f, &["3"], "other").await;
    let queue = std::sync::Arc::clone(&f.queue);
    let groups = async || queue.dead_letter_groups(DeadLetterQuery::default()).await.unwrap();
    let first = groups().await;
    assert!(first.iter().all(|group| group.review == GroupReview::default()), "{first:?}");
    let group = first[0].fingerprint;
    let set = f.queue.set_review(group, ReviewState::Acknowledged, f.by().because("on it")).await.unwrap();
    assert_eq!((set.group, set.state, set.seen), (group, ReviewState::Acknowledged, DeadLetterId(4)));
    let expected = GroupReview {
        state: ReviewState::Acknowledged,
        reopened: false,
        by: Some("ann".to_owned()),
        at: Some(f.now),
        note: Some("on it".to_owned()),
    };
    let reviews = async || groups().await.into_iter().map(|group| group.review).collect::<Vec<_>>();
    assert_eq!(reviews().await, [expected.clone(), GroupReview::default()]);
    f.wait(10);
    dead(&f, &["4"], "other").await;
    assert_eq!(reviews().await[0], expected, "a letter of another group does nothing");
    dead(&f, &["5"], "no 5").await;
    let opened = GroupReview { state: ReviewState::Open, reopened: true, ..expected };
    assert_eq!(reviews().await[0], opened);
    let early = DeadLetterQuery { until: Some(f.now), ..DeadLetterQuery::default() };
    let early = f.queue.dead_letter_groups(early).await.unwrap();
    assert_eq!((early[0].count, &early[0].review), (3, &opened), "also where the new one is not selected");
    f.queue.set_review(group, ReviewState::Resolved, f.by()).await.unwrap();
    assert_eq!(reviews().await[0].state, ReviewState::Resolved);
    f.queue.set_review(group, ReviewState::Open, f.by()).await.unwrap();
    assert_eq!((reviews().await[0].state, reviews().await[0].reopened), (ReviewState::Open, true));
    assert_eq!(f.queue.reviews().await.unwrap().len(), 1);
}

/// However many groups come and go, a bounded number of states is kept: the newest.
pub async fn keeps_a_bounded_number_of_states<H: Harness>() {
    let mut f = Fixture::<H>::new();
    for number in 0..REVIEWS_MAX as u64 + 3 {
        f.now = event::Timestamp::from_millis(f.now.as_millis() + 1);
        f.queue.set_review(Fingerprint(u64::MAX - number), ReviewState::Resolved, f.by()).await.unwrap();
    }
    let reviews = f.queue.reviews().await.unwrap();
    assert_eq!(reviews.len(), REVIEWS_MAX);
    assert_eq!(reviews.iter().map(|review| review.group.0).max(), Some(u64::MAX - 3), "the oldest are gone");
}
