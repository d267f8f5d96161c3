//! What a seed decides before anything runs: the destinations and when they are down, what is sent when, and which
//! faults there are. What depends on the course of things is drawn while it runs.

use std::time::Duration;

use queue::{BehindDead, Order};

use crate::dice::Dice;

/// Every fault is over after the plan's length; what is left then must drain within this time, however the clock was set:
/// twice the longest that a retry may wait.
pub(crate) const DRAINS_WITHIN: Duration = Duration::from_secs(2 * 3_600);
/// Of so many seeds one runs on the embedded queue, the others on the reference in memory.
const SQLITE_EVERY: u64 = 8;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Which queue it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded queue, on files that are copied, and cut off, at a crash.
    Sqlite,
    /// The reference in memory, which loses at a crash what only a running queue knows.
    Memory,
}

impl Backend {
    /// The one of this seed.
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(SQLITE_EVERY) { Self::Sqlite } else { Self::Memory }
    }
}

/// What one seed has in store.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) backend: Backend,
    /// How long there are faults.
    pub(crate) length: Duration,
    pub(crate) destinations: Vec<DestinationPlan>,
    pub(crate) senders: Vec<Vec<RequestPlan>>,
    pub(crate) events: Vec<EventPlan>,
    /// How often the process ends, and the most steps of the queue between two ends.
    pub(crate) ends: u64,
    pub(crate) steps_between_ends: u64,
    /// When the clock is set, and by how many milliseconds.
    pub(crate) clock_set: Vec<(Duration, i64)>,
    /// When the disk is full.
    pub(crate) full: Vec<(Duration, Duration)>,
    /// Longest time that the disk takes for a commit.
    pub(crate) disk: Duration,
    /// When somebody looks at the dead letters.
    pub(crate) reviews: Vec<Duration>,
    /// When conversations are erased, and which, by their numbers.
    pub(crate) erasures: Vec<(Duration, u64)>,
    /// When the events of a destination are replayed from the store, and of which.
    pub(crate) replays: Vec<(Duration, usize)>,
}

/// A destination, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct DestinationPlan {
    pub(crate) name: String,
    pub(crate) order: Order,
    /// What the events behind a dead letter of their conversation do.
    pub(crate) behind_dead: BehindDead,
    /// While it is down, its deliveries are put aside.
    pub(crate) aside: bool,
    pub(crate) concurrency: usize,
    pub(crate) attempts: u32,
    pub(crate) per_minute: Option<u32>,
    /// Which of the topics it takes, by their number.
    pub(crate) topics: Vec<usize>,
    /// Longest time for an answer, usually.
    pub(crate) pace: Duration,
    /// Percent of attempts that fail for no reason of their own.
    pub(crate) noise: u64,
    pub(crate) outages: Vec<(Duration, Duration, Outage)>,
    /// When it is paused by hand.
    pub(crate) pauses: Vec<(Duration, Duration)>,
    /// Events that it will not take, by their number, and why.
    pub(crate) poison: Vec<(usize, Poison)>,
}

/// How a destination is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It answers 503.
    Busy,
    /// It answers 429 and asks for some time.
    Throttled,
    /// It does not answer.
    Silent,
    /// Nobody is there.
    Refused,
    /// It takes the delivery, but its answer is lost.
    Mute,
}

/// Why an event is never taken, until somebody mends that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poison {
    /// It answers 400.
    Refused,
    /// It answers 500.
    Failing,
    /// The mapping fails.
    Unmappable,
    /// A bug: the destination panics.
    Bug,
    /// The mapping has nothing to deliver; that is no fault.
    Nothing,
}

/// One request of a sender.
#[derive(Debug)]
pub(crate) struct RequestPlan {
    pub(crate) at: Duration,
    pub(crate) form: Form,
    /// Numbers of events.
    pub(crate) events: Vec<usize>,
    /// After how long it is published again though it was answered.
    pub(crate) again: Option<Duration>,
}

/// How a request's body is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Webhook events: one, an array, or an object with an array.
    Webhook { wrapped: bool },
    /// EventBridge envelopes.
    Envelopes,
    /// Nothing that could become an event.
    Unreadable,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct EventPlan {
    pub(crate) topic: usize,
    pub(crate) conversation: Option<u64>,
    /// Has the identity of this earlier event, and another content.
    pub(crate) conflicts_with: Option<usize>,
    /// Length of its text.
    pub(crate) text: usize,
}

/// Topics; no destination takes the last one.
pub(crate) const TOPICS: [&str; 4] = [
    "v2.detail.events.conversation.{id}.acw",
    "v2.detail.events.conversation.{id}.customer.end",
    "v2.detail.events.conversation.{id}.wrapup",
    "v2.detail.events.conversation.{id}.nobody",
];

impl Plan {
    /// What this seed has in store.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let backend = Backend::of(seed);
        let length = dice.pick(&[2 * MINUTE, 20 * MINUTE, 2 * HOUR, 12 * HOUR]).unwrap_or(HOUR);
        let count = dice.between(1, 3);
        let (senders, events) = sent(&mut dice, length);
        let destinations: Vec<_> = (0..count).map(|n| destination(&mut dice, n, length, events.len())).collect();
        let often = dice.chance(70);
        let ends = if often { dice.between(1, 6) } else { 0 };
        let steps_between_ends = dice.pick(&[10, 60, 300, 1_000]).unwrap_or(100);
        let clock_set = clock_set(&mut dice, length);
        let full = if dice.chance(30) { vec![span(&mut dice, length, 10 * MINUTE)] } else { Vec::new() };
        let disk = dice.pick(&[Duration::ZERO, 5 * MILLISECOND, 300 * MILLISECOND]).unwrap_or_default();
        let reviews = (0..dice.roll(4)).map(|_| dice.time(Duration::ZERO, length)).collect();
        let plan = Self {
            seed,
            backend,
            length,
            destinations,
            senders,
            events,
            ends,
            steps_between_ends,
            clock_set,
            full,
            disk,
            reviews,
            erasures: Vec::new(),
            replays: Vec::new(),
        };
        plan.with_operators()
    }

    /// What people do beside reviews, and what destinations do with conversations and outages. It has dice of its own, so
    /// that a seed from before there was any of it still draws the same of all else.
    fn with_operators(mut self) -> Self {
        let mut dice = Dice::new(self.seed, 5);
        for destination in &mut self.destinations {
            if destination.order == Order::Conversation && dice.chance(40) {
                destination.behind_dead = BehindDead::Hold;
            }
            destination.aside = dice.chance(20);
        }
        let conversations = self.events.iter().filter_map(|event| event.conversation).max().map_or(0, |most| most + 1);
        if conversations > 0 && dice.chance(30) {
            let erasure = |_| (dice.time(Duration::ZERO, self.length), dice.roll(conversations));
            self.erasures = (0..2).map(erasure).collect();
        }
        if dice.chance(30) {
            let destination = usize::try_from(dice.roll(self.destinations.len() as u64)).unwrap_or(0);
            self.replays.push((dice.time(Duration::ZERO, self.length), destination));
        }
        self
    }
}

/// Some time within the length, at most so long.
fn span(dice: &mut Dice, length: Duration, most: Duration) -> (Duration, Duration) {
    let from = dice.time(Duration::ZERO, length);
    let to = from + dice.time(MILLISECOND, most);
    (from, to.min(length))
}

fn clock_set(dice: &mut Dice, length: Duration) -> Vec<(Duration, i64)> {
    if !dice.chance(40) {
        return Vec::new();
    }
    let mut list: Vec<_> = (0..dice.between(1, 4))
        .map(|_| {
            let most = dice.pick(&[SECOND, MINUTE, 3 * MINUTE, HOUR, 50 * HOUR]).unwrap_or(SECOND);
            let by = i64::try_from(dice.time(MILLISECOND, most).as_millis()).unwrap_or(0);
            (dice.time(Duration::ZERO, length), if dice.chance(50) { by } else { -by })
        })
        .collect();
    list.sort();
    list
}

fn destination(dice: &mut Dice, number: u64, length: Duration, events: usize) -> DestinationPlan {
    let outages = (0..dice.roll(4)).map(|_| {
        let most = dice.pick(&[10 * SECOND, 5 * MINUTE, 4 * HOUR]).unwrap_or(MINUTE);
        let (from, to) = span(dice, length, most);
        let kinds = [Outage::Busy, Outage::Throttled, Outage::Silent, Outage::Refused, Outage::Mute];
        (from, to, dice.pick(&kinds).unwrap_or(Outage::Busy))
    });
    let outages = outages.collect();
    let kinds = [Poison::Refused, Poison::Failing, Poison::Unmappable, Poison::Bug, Poison::Nothing];
    let share = dice.pick(&[0, 2, 10]).unwrap_or(0);
    let poison = (0..events).filter(|_| dice.chance(share)).collect::<Vec<_>>();
    let poison = poison.into_iter().map(|event| (event, dice.pick(&kinds).unwrap_or(Poison::Refused))).collect();
    DestinationPlan {
        name: format!("destination-{number}"),
        order: if dice.chance(65) { Order::Conversation } else { Order::None },
        behind_dead: BehindDead::Continue,
        aside: false,
        concurrency: usize::try_from(dice.pick(&[1, 3, 10, 50]).unwrap_or(1)).unwrap_or(1),
        attempts: u32::try_from(dice.between(1, 5)).unwrap_or(5),
        per_minute: dice.chance(15).then_some(30),
        topics: (0..TOPICS.len() - 1).filter(|_| dice.chance(75)).collect(),
        pace: dice.pick(&[20 * MILLISECOND, 500 * MILLISECOND, 6 * SECOND]).unwrap_or(SECOND),
        noise: dice.pick(&[0, 3, 20]).unwrap_or(0),
        outages,
        pauses: if dice.chance(20) { vec![span(dice, length, HOUR)] } else { Vec::new() },
        poison,
    }
}

/// What the senders send, and when.
fn sent(dice: &mut Dice, length: Duration) -> (Vec<Vec<RequestPlan>>, Vec<EventPlan>) {
    let conversations = dice.pick(&[1, 4, 12]).unwrap_or(4);
    let mut events = Vec::new();
    let senders = (0..dice.between(1, 3)).map(|_| {
        let mut requests: Vec<_> =
            (0..dice.between(3, 20)).map(|_| request(dice, length, conversations, &mut events)).collect();
        requests.sort_by_key(|request| request.at);
        requests
    });
    (senders.collect(), events)
}

fn request(dice: &mut Dice, length: Duration, conversations: u64, events: &mut Vec<EventPlan>) -> RequestPlan {
    let form = match dice.roll(20) {
        0 => Form::Unreadable,
        1..8 => Form::Envelopes,
        8..10 => Form::Webhook { wrapped: true },
        _ => Form::Webhook { wrapped: false },
    };
    let count = if form == Form::Unreadable { 0 } else { dice.pick(&[1, 1, 2, 8]).unwrap_or(1) };
    let first = events.len();
    for number in first..first + count {
        let conflicts_with = number.checked_sub(1).filter(|_| form != Form::Envelopes && dice.chance(4));
        // A conflict is known by its webhook id; of the events that have one, not all are webhooks'.
        events.push(EventPlan {
            topic: usize::try_from(dice.roll(TOPICS.len() as u64)).unwrap_or(0),
            conversation: dice.chance(92).then(|| dice.roll(conversations)),
            conflicts_with,
            text: usize::try_from(dice.pick(&[10, 200, 3_000]).unwrap_or(10)).unwrap_or(10),
        });
    }
    // Some come when the length is nearly over, many together at the begin.
    let at = if dice.chance(40) { dice.time(Duration::ZERO, SECOND) } else { dice.time(Duration::ZERO, length) };
    let again = dice.chance(30).then(|| dice.time(MILLISECOND, 2 * length));
    RequestPlan { at, form, events: (first..first + count).collect(), again }
}
