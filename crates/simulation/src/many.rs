//! Many seeds, on all processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::run::{Found, Summary, simulate};

/// Runs so many seeds from one on, and tells of each that fails as soon as it does; the sum of the others, and how many
/// have failed.
pub fn many(from: u64, seeds: u64, failed: impl Fn(&Found) + Sync) -> (Summary, u64) {
    let next = AtomicU64::new(0);
    let sum = Mutex::new((Summary::default(), 0));
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        return;
                    }
                    match simulate(from + number) {
                        Ok(summary) => sum.lock().0 += summary,
                        Err(found) => {
                            sum.lock().1 += 1;
                            failed(&found);
                        }
                    }
                }
            });
        }
    });
    sum.into_inner()
}
