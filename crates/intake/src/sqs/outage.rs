//! Whether a queue can be read, said once when it begins and once when it is over. Pure but for the log.

use std::time::Duration;

use outbound::aws::Trouble;
use parking_lot::Mutex;

use super::options::{PAUSE_MAX, PAUSE_MIN};

/// Of one source, over all its polls.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// What was said.
    said: Option<String>,
}

impl Outage {
    /// A poll failed. How long to wait before another.
    pub(super) fn failed(&self, source: &str, trouble: &Trouble) -> Duration {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.said.as_ref() != Some(&trouble.text) {
            tracing::warn!(source, "the queue cannot be read: {}; it is tried again until it can", trouble.text);
            state.said = Some(trouble.text.clone());
        }
        pause(state.failures)
    }

    /// A poll was answered.
    pub(super) fn over(&self, source: &str) {
        let mut state = self.0.lock();
        if state.said.take().is_some() {
            tracing::info!(source, failures = state.failures, "the queue can be read again");
        }
        state.failures = 0;
    }
}

fn pause(failures: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_an_outage_that_is_over_begins_anew() {
        let (outage, down) =
            (Outage::default(), Trouble { about: outbound::aws::About::Passing, text: "down".to_owned() });
        let pauses: Vec<_> = (0..100).map(|_| outage.failed("s", &down)).collect();
        assert_eq!(pauses[..3], [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pauses[99], PAUSE_MAX);
        outage.over("s");
        assert_eq!(outage.failed("s", &down), PAUSE_MIN);
    }
}
