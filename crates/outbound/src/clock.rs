//! The one place here that reads the machine's clock.

use std::time::SystemTime;

/// The time now. For what comes with a date: a `Retry-After`, and what was kept by another process.
pub fn now() -> SystemTime {
    SystemTime::now()
}
