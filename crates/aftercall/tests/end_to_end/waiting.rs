//! Waiting for a state of another process, with a deadline.

use std::time::{Duration, Instant};

/// No state takes longer to come about, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often another process is looked at; it has no way to tell.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks until there is an answer. `what` says what did not happen if the deadline passes.
#[track_caller]
pub(crate) fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within_patience(ask).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Asks until there is an answer, or the deadline passes.
pub(crate) fn within_patience<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begin.elapsed() > PATIENCE {
            return answer;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Asks until it is so.
#[track_caller]
pub(crate) fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
