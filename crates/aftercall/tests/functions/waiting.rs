//! Waiting for a state of another process, with a deadline.

use std::time::{Duration, Instant};

/// No state takes longer to come about, however busy the machine is; what a killed function owned is free within it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// How often another process is looked at; it has no way to tell.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Asks until there is an answer. `what` says what did not happen if the deadline passes.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Asks until it is so.
#[track_caller]
pub(crate) fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
