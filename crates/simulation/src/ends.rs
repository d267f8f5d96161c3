//! When the process ends, and how long the disk takes: what is drawn step by step.

use std::time::Duration;

use parking_lot::Mutex;

use crate::dice::Dice;
use crate::plan::Plan;

/// Where in a step of the queue the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing of it has happened.
    Before,
    /// It has happened in part, or all of it and was not synced.
    Within,
    /// It has happened, and nobody was told.
    After,
}

/// How a process ends when it does not die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    /// Between two steps.
    Killed,
    /// It is told to stop, and does so in good order.
    Stopped,
}

/// See the module.
pub(crate) struct Ends(Mutex<State>);

struct State {
    dice: Dice,
    /// Ends that are still to come.
    left: u64,
    steps_between: u64,
    /// Steps until the next end.
    next: u64,
    disk: Duration,
    /// How much of the log the last crash has left.
    log: Option<u64>,
}

impl Ends {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed, 2);
        let next = dice.between(1, plan.steps_between_ends);
        let (left, steps_between, disk) = (plan.ends, plan.steps_between_ends, plan.disk);
        Self(Mutex::new(State { dice, left, steps_between, next, disk, log: None }))
    }

    /// A step begins; when in it the process ends, if it does.
    pub(crate) fn step(&self) -> Option<Moment> {
        let mut state = self.0.lock();
        if state.left == 0 {
            return None;
        }
        state.next -= 1;
        if state.next > 0 {
            return None;
        }
        state.left -= 1;
        let most = state.steps_between;
        state.next = state.dice.between(1, most);
        state.dice.pick(&[Moment::Before, Moment::Within, Moment::After])
    }

    /// How the process ends that is up now, if it should end by itself, and after how long.
    pub(crate) fn by_itself(&self, most: Duration) -> Option<(Duration, Fall)> {
        let mut state = self.0.lock();
        if state.left == 0 || !state.dice.chance(40) {
            return None;
        }
        let after = state.dice.time(Duration::from_millis(1), most);
        Some((after, state.dice.pick(&[Fall::Killed, Fall::Stopped]).unwrap_or(Fall::Killed)))
    }

    /// One more end has happened.
    pub(crate) fn count(&self) {
        let mut state = self.0.lock();
        state.left = state.left.saturating_sub(1);
    }

    /// How long the process is away.
    pub(crate) fn away(&self) -> Duration {
        let mut state = self.0.lock();
        let most = state.dice.pick(&[1, 30, 600]).unwrap_or(1);
        state.dice.time(Duration::from_millis(10), Duration::from_secs(most))
    }

    /// No more of them.
    pub(crate) fn stop(&self) {
        let mut state = self.0.lock();
        (state.left, state.disk) = (0, Duration::ZERO);
    }

    /// How long the disk takes for a commit.
    pub(crate) fn disk(&self) -> Duration {
        let mut state = self.0.lock();
        let most = state.disk;
        if most.is_zero() { most } else { state.dice.time(Duration::ZERO, most) }
    }

    pub(crate) fn chance(&self) -> bool {
        self.0.lock().dice.chance(50)
    }

    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        let mut state = self.0.lock();
        // Both ends of a torn log are as likely as all of its middle.
        match state.dice.roll(3) {
            0 => least,
            1 => most,
            _ => state.dice.between(least, most),
        }
    }

    /// The crash leaves so much of the log.
    pub(crate) fn leave(&self, log: u64) {
        self.0.lock().log = Some(log);
    }

    /// How much of the log the crash has left, if it was in a step.
    pub(crate) fn left(&self) -> Option<u64> {
        self.0.lock().log.take()
    }
}
