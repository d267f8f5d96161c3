//! One case that plays long random games on a backend and on the in-memory reference, and compares every answer.

use std::time::Duration;

use super::Harness;
use super::fixture::{Fixture, body, event, failure, identified};
use crate::{Attempts, BehindDead, DeadLetterQuery, Lease, MemoryQueue, Options, Outcome, Queue};

use std::sync::Arc;

/// Games played; each is some hundred steps.
const GAMES: u64 = 12;
const STEPS: usize = 300;

/// The in-memory reference.
pub struct Reference(Arc<MemoryQueue>);

impl Reference {
    /// As [`MemoryQueue::fail_after`].
    pub fn fail_after(&self, calls: u64) {
        self.0.fail_after(calls);
    }

    /// As [`MemoryQueue::fail_never`].
    pub fn fail_never(&self) {
        self.0.fail_never();
    }
}

impl Harness for Reference {
    fn new(options: Options) -> Self {
        Self(Arc::new(MemoryQueue::new(options)))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.0) as Arc<dyn Queue>
    }

    fn crash(&mut self) {}
}

/// A small generator (SplitMix64), so that a game is told by its seed alone.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Every answer of the backend is the reference's.
pub async fn does_what_the_reference_does<H: Harness>() {
    for seed in 0..GAMES {
        play::<H>(seed).await;
    }
}

async fn play<H: Harness>(seed: u64) {
    let mut dice = Dice(seed);
    let (mut real, mut reference) = (Fixture::<H>::new(), Fixture::<Reference>::new());
    let mut held: Vec<(Lease, Lease)> = Vec::new();
    for step in 0..STEPS {
        let at = format!("seed {seed}, step {step}");
        match dice.roll(12) {
            0..3 => publish(&mut dice, &real, &reference, &at).await,
            3..6 => held.extend(lease(&mut dice, &real, &reference, &at).await),
            6..9 => settle(&mut dice, &real, &reference, &mut held).await,
            9 => redrive(&mut dice, &real, &reference, &at).await,
            10 => {
                let behind_dead = if dice.roll(2) == 0 { BehindDead::Hold } else { BehindDead::Continue };
                real.set_behind_dead(behind_dead);
                reference.set_behind_dead(behind_dead);
            }
            _ => {
                let seconds = [1, 20, 90, 1_000][usize::try_from(dice.roll(4)).unwrap_or(0)];
                real.wait(seconds);
                reference.wait(seconds);
                let (one, other) = (real.queue.maintain(real.now).await, reference.queue.maintain(real.now).await);
                assert_eq!(one.expect("maintains").expired, other.expect("maintains").expired, "{at}");
            }
        }
        compare(&real, &reference, &at).await;
    }
}

async fn publish<H: Harness>(dice: &mut Dice, real: &Fixture<H>, reference: &Fixture<Reference>, at: &str) {
    let mut one = || {
        let topic = ["crm", "lake", "both", "nobody"][usize::try_from(dice.roll(4)).unwrap_or(0)];
        let conversation = ["", "a", "b", "c", "d"][usize::try_from(dice.roll(5)).unwrap_or(0)];
        let (identity, body) = (dice.roll(400).to_string(), dice.roll(10));
        match body {
            0..8 => event(topic, conversation, &identity),
            _ => identified(&identity, topic, conversation, &format!("{identity} conflict {body}")),
        }
    };
    let events: Vec<_> = (0..4).map(|_| one()).collect();
    assert_eq!(real.publish(events.clone()).await, reference.publish(events).await, "{at}");
}

async fn lease<H: Harness>(
    dice: &mut Dice,
    real: &Fixture<H>,
    reference: &Fixture<Reference>,
    at: &str,
) -> Vec<(Lease, Lease)> {
    let crm = dice.roll(2) == 0;
    let one = real.lease(if crm { real.crm } else { real.lake }, 1_000).await;
    let other = reference.lease(if crm { reference.crm } else { reference.lake }, 1_000).await;
    let show = |lease: &Lease| {
        let stored = &lease.stored;
        (lease.token.seq, stored.first_seq(), body(lease), lease.route, lease.attempts, lease.behind_dead, lease.until)
    };
    assert_eq!(one.iter().map(show).collect::<Vec<_>>(), other.iter().map(show).collect::<Vec<_>>(), "{at}");
    one.into_iter().zip(other).collect()
}

async fn settle<H: Harness>(
    dice: &mut Dice,
    real: &Fixture<H>,
    reference: &Fixture<Reference>,
    held: &mut Vec<(Lease, Lease)>,
) {
    for _ in 0..dice.roll(4) {
        if held.is_empty() {
            return;
        }
        let (one, other) = held.swap_remove(usize::try_from(dice.roll(held.len() as u64)).unwrap_or(0));
        let made = one.attempts.made + 1;
        let attempts = Attempts { made, charged: made, first: Some(real.now), last: Some(real.now) };
        let outcome = match dice.roll(6) {
            0..3 => Outcome::Done,
            3 => {
                let at = real.now.plus(Duration::from_secs(dice.roll(100)));
                Outcome::Retry { at, attempts, failure: failure("busy") }
            }
            4 => Outcome::Dead { attempts, failure: failure("no") },
            _ => Outcome::Release,
        };
        real.settle(&[one], outcome.clone()).await;
        reference.settle(&[other], outcome).await;
    }
}

/// Redrives or discards some dead letters. Those of one piece of upkeep have no particular order, so they are named by
/// their places.
async fn redrive<H: Harness>(dice: &mut Dice, real: &Fixture<H>, reference: &Fixture<Reference>, at: &str) {
    let query = || DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() };
    let letters = real.queue.dead_letters(query()).await.expect("lists");
    let others = reference.queue.dead_letters(query()).await.expect("lists");
    let discard = dice.roll(4) == 0;
    for letter in letters.into_iter().filter(|_| dice.roll(3) == 0) {
        let same = |other: &&crate::DeadLetter| (&other.destination, other.seq) == (&letter.destination, letter.seq);
        let other = others.iter().find(same).expect("has it too").id;
        if discard {
            let gone = real.queue.discard(vec![letter.id], real.by()).await.expect("discards").len();
            assert_eq!(gone, reference.queue.discard(vec![other], real.by()).await.expect("discards").len(), "{at}");
        } else {
            let one = real.queue.redrive(vec![letter.id], real.by()).await.expect("redrives").swap_remove(0);
            let other = reference.queue.redrive(vec![other], real.by()).await.expect("redrives").swap_remove(0);
            assert_eq!(one.result, other.result, "{at}");
        }
    }
}

async fn compare<H: Harness>(real: &Fixture<H>, reference: &Fixture<Reference>, at: &str) {
    let letters = |letters: Vec<crate::DeadLetter>| {
        let show = |letter: crate::DeadLetter| (letter.destination, letter.seq, letter.failure.message);
        // Those of one piece of upkeep come in no particular order.
        letters.into_iter().map(show).collect::<std::collections::BTreeSet<_>>()
    };
    let query = || DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() };
    let one = letters(real.queue.dead_letters(query()).await.expect("lists"));
    assert_eq!(one, letters(reference.queue.dead_letters(query()).await.expect("lists")), "{at}");
    let (one, other) = (real.queue.status(real.now).await, reference.queue.status(real.now).await);
    let (one, other) = (one.expect("tells"), other.expect("tells"));
    assert_eq!(
        (one.accepted, one.duplicates, one.conflicts, one.unmatched, one.dead_letters),
        (other.accepted, other.duplicates, other.conflicts, other.unmatched, other.dead_letters),
        "{at}"
    );
    for (one, other) in one.consumers.iter().zip(&other.consumers) {
        assert_eq!(
            (one.delivered, one.leased, one.dead_letters),
            (other.delivered, other.leased, other.dead_letters),
            "{at}"
        );
    }
}
