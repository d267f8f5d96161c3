//! A move of a queue that has a random story, broken off anywhere, while events arrive.
#![cfg(test)]

use proptest::prelude::*;

use queue::conformance::Fixture;
use queue::conformance::fixture::{event, failure};
use queue::conformance::model::{Dice, Reference};
use queue::conformance::moved::{begin, seen};
use queue::{Attempts, BehindDead, DeadLetterQuery, Outcome, QueueError, ReviewState};

const STEPS: u64 = 60;

/// One random thing that happens to a queue that works.
async fn happen(f: &mut Fixture<Reference>, dice: &mut Dice, number: u64) {
    match dice.roll(8) {
        0..3 => arrive(f, dice, number).await,
        3..6 => {
            let consumer = if dice.roll(2) == 0 { f.crm } else { f.lake };
            for lease in f.queue.lease(consumer, 3, f.now).await.unwrap() {
                let attempts = Attempts { made: lease.attempts.made + 1, last: Some(f.now), ..lease.attempts };
                let outcome = match dice.roll(5) {
                    0 => Outcome::Retry {
                        at: f.now.plus(std::time::Duration::from_secs(9)),
                        attempts,
                        failure: failure("busy"),
                    },
                    1 => Outcome::Dead { attempts, failure: failure(if dice.roll(2) == 0 { "no" } else { "never" }) },
                    2 => Outcome::Release,
                    _ => Outcome::Done,
                };
                f.settle(&[lease], outcome).await;
            }
        }
        6 => {
            let letters = f.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
            let Some(letter) = letters.get(dice.roll(4) as usize) else { return };
            match dice.roll(4) {
                0 => drop(f.queue.redrive(vec![letter.id], f.by()).await.unwrap()),
                1 => drop(f.queue.edit(letter.id, Some("mended".into()), f.by()).await.unwrap()),
                2 => drop(f.queue.discard(vec![letter.id], f.by()).await.unwrap()),
                _ => drop(f.queue.set_review(letter.fingerprint(), ReviewState::Resolved, f.by()).await.unwrap()),
            }
        }
        _ => f.wait(dice.roll(20)),
    }
}

async fn arrive(f: &Fixture<Reference>, dice: &mut Dice, number: u64) {
    let topic = ["crm", "lake", "both", "none"][dice.roll(4) as usize];
    let conversation = ["a", "b", "c", ""][dice.roll(4) as usize];
    f.publish(vec![event(topic, conversation, &format!("{number}"))]).await;
}

/// A step in which one of the queues may fail in passing; whether it did.
async fn fails_in_passing(
    from: &Fixture<Reference>,
    to: &Fixture<Reference>,
    dice: &mut Dice,
    moving: &mut queue::moving::Moving,
) -> bool {
    let harness = if dice.roll(2) == 0 { &from.harness } else { &to.harness };
    harness.fail_after(dice.roll(40));
    let stepped = moving.step(from.now).await;
    harness.fail_never();
    match stepped {
        Ok(_) => false,
        Err(QueueError::Transient { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

async fn a_move_of(seed: u64) {
    let mut dice = Dice(seed);
    let (mut from, mut to) = (Fixture::<Reference>::new(), Fixture::<Reference>::new());
    if seed.is_multiple_of(2) {
        from.set_behind_dead(BehindDead::Hold);
        to.set_behind_dead(BehindDead::Hold);
    }
    for number in 0..STEPS {
        happen(&mut from, &mut dice, number).await;
    }
    let mut number = STEPS;
    let mut moving = begin(&from, &to).await.unwrap();
    while dice.roll(5) > 0 {
        match dice.roll(4) {
            0 => {
                arrive(&from, &mut dice, number).await;
                number += 1;
            }
            1 => drop(moving.step(from.now).await.unwrap()),
            2 => while fails_in_passing(&from, &to, &mut dice, &mut moving).await {},
            // As after a crash; and the queues are those that they were.
            _ => moving = begin(&from, &to).await.unwrap(),
        }
    }
    while !moving.step(from.now).await.unwrap() {}
    moving.finish(from.now).await.unwrap();
    to.now = from.now;
    for old in 0..number {
        let (one, other) = (event("crm", "", &format!("{old}")), event("crm", "", &format!("{old}")));
        let known = from.publish(vec![one]).await[0].is_duplicate();
        assert_eq!(to.publish(vec![other]).await[0].is_duplicate(), known, "seed {seed}, event {old}");
    }
    let (before, after) = (seen(&mut from).await, seen(&mut to).await);
    assert_eq!(after, before, "seed {seed}");
}

/// All that is to be delivered fails for good.
async fn all_die(f: &Fixture<Reference>) {
    for lease in f.queue.lease(f.crm, 10, f.now).await.unwrap() {
        let attempts = Attempts { made: lease.attempts.made + 1, last: Some(f.now), ..lease.attempts };
        f.settle(&[lease], Outcome::Dead { attempts, failure: failure("no") }).await;
    }
}

#[tokio::test]
async fn a_failure_in_passing_leaves_no_dead_letter_behind() {
    for calls in 0..20 {
        let (mut from, mut to) = (Fixture::<Reference>::new(), Fixture::<Reference>::new());
        from.publish(vec![event("crm", "a", "1"), event("crm", "b", "2")]).await;
        all_die(&from).await;
        let letters = from.queue.dead_letters(DeadLetterQuery::default()).await.unwrap();
        from.queue.redrive(letters.iter().map(|letter| letter.id).collect(), from.by()).await.unwrap();
        all_die(&from).await;
        let mut moving = begin(&from, &to).await.unwrap();
        to.harness.fail_after(calls);
        let end = loop {
            match moving.step(from.now).await {
                Err(QueueError::Transient { .. }) => {}
                ended => break ended.unwrap(),
            }
        };
        assert!(end, "it is all one page");
        to.harness.fail_never();
        let tally = moving.finish(from.now).await.unwrap();
        let (before, after) = (seen(&mut from).await, seen(&mut to).await);
        assert_eq!(after, before, "call {calls} failed");
        let counted = (tally.looked_at, tally.events, tally.dead_letters);
        assert_eq!(counted, (4, 4, 2), "call {calls} failed, and everything is counted once");
    }
}

#[tokio::test]
async fn somebody_else_who_writes_meanwhile_is_noticed() {
    let (from, to) = (Fixture::<Reference>::new(), Fixture::<Reference>::new());
    from.publish(vec![event("crm", "a", "1")]).await;
    let mut moving = begin(&from, &to).await.unwrap();
    to.publish(vec![event("crm", "a", "2")]).await;
    let error = moving.step(from.now).await.unwrap_err().to_string();
    assert!(error.contains("somebody else writes to other") && error.contains("empty one"), "{error}");
}

proptest! {
    #[test]
    fn wherever_a_move_is_broken_off_nothing_is_lost_doubled_or_out_of_order(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(a_move_of(seed));
    }
}
