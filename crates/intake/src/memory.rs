//! The memory that bodies may take, over all requests.
//!
//! Bytes are reserved as they arrive, not as they are announced, so that an announcement takes nothing from others.
//! Small bodies have a share of their own: a few senders of large bodies cannot keep single events out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::options::SMALL_BODY_BYTES;

/// The bytes that are still free.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    small: AtomicUsize,
    large: AtomicUsize,
}

impl BodyMemory {
    /// Halves `bytes` between small and large bodies.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { small: AtomicUsize::new(bytes / 2), large: AtomicUsize::new(bytes - bytes / 2) })
    }
}

/// The bytes of one request's body; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

/// There is not enough memory now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Reserved {
    pub(crate) fn nothing(memory: &Arc<BodyMemory>) -> Self {
        Self { memory: Arc::clone(memory), bytes: 0 }
    }

    /// Makes it `total` bytes. A body that grows beyond the size of small ones moves to the other share.
    pub(crate) fn grow_to(&mut self, total: usize) -> Result<(), Exhausted> {
        if total <= self.bytes {
            return Ok(());
        }
        let moves = self.bytes <= SMALL_BODY_BYTES && total > SMALL_BODY_BYTES;
        let more = if moves { total } else { total - self.bytes };
        let share = self.memory.share(total);
        share
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(more))
            .map_err(|_| Exhausted)?;
        if moves {
            self.release();
        }
        self.bytes = total;
        Ok(())
    }

    fn release(&mut self) {
        self.memory.share(self.bytes).fetch_add(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl BodyMemory {
    fn share(&self, bytes: usize) -> &AtomicUsize {
        if bytes <= SMALL_BODY_BYTES { &self.small } else { &self.large }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let memory = BodyMemory::new(8 * SMALL_BODY_BYTES);
        let mut large = Reserved::nothing(&memory);
        large.grow_to(1).unwrap();
        large.grow_to(4 * SMALL_BODY_BYTES).unwrap();
        let mut other = Reserved::nothing(&memory);
        other.grow_to(SMALL_BODY_BYTES).unwrap();
        assert_eq!(other.grow_to(SMALL_BODY_BYTES + 1), Err(Exhausted));
        let mut small: Vec<_> = (0..3).map(|_| Reserved::nothing(&memory)).collect();
        assert!(small.iter_mut().all(|one| one.grow_to(SMALL_BODY_BYTES).is_ok()));
        assert_eq!(Reserved::nothing(&memory).grow_to(1), Err(Exhausted));
        drop((large, other, small));
        assert_eq!(memory.small.load(Ordering::Relaxed), 4 * SMALL_BODY_BYTES);
        assert_eq!(memory.large.load(Ordering::Relaxed), 4 * SMALL_BODY_BYTES);
    }
}
