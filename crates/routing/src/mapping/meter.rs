//! What a running mapping has left: steps, and stack.
//!
//! The interpreter has no way to be stopped, but it asks for its program at every term and works on our values only.
//! Both places come here. When nothing is left the stack is unwound up to [`super::Mapping::apply`], which no `try`
//! inside the mapping can catch. The meter is the thread's own, as a mapping runs on one thread from start to end.

use std::cell::Cell;
use std::panic::resume_unwind;

use super::error::MappingLimit;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(0) };
    static STACK_BASE: Cell<usize> = const { Cell::new(0) };
    static STACK_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// What the stack is unwound with when a limit is reached.
pub(super) struct Exhausted(pub(super) MappingLimit);

/// Metering is on as long as this lives.
pub(super) struct Meter;

impl Meter {
    pub(super) fn start(steps: u64, stack_bytes: usize) -> Self {
        STEPS_LEFT.set(steps);
        STACK_BYTES.set(stack_bytes);
        STACK_BASE.set(stack_pointer());
        Self
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        STEPS_LEFT.set(0);
    }
}

/// Takes one step, and looks how deep the stack is.
#[inline]
pub(super) fn step() {
    charge(1);
    if STACK_BASE.get().abs_diff(stack_pointer()) > STACK_BYTES.get() {
        exhaust(MappingLimit::Recursion);
    }
}

/// Takes some steps at once.
#[inline]
pub(super) fn charge(steps: u64) {
    match STEPS_LEFT.get().checked_sub(steps) {
        Some(left) => STEPS_LEFT.set(left),
        None => exhaust(MappingLimit::Steps),
    }
}

/// Takes the steps for work on this many bytes.
#[inline]
pub(super) fn charge_bytes(bytes: u64) {
    charge(1 + bytes / 64);
}

/// Stops the mapping.
#[cold]
pub(super) fn exhaust(limit: MappingLimit) -> ! {
    resume_unwind(Box::new(Exhausted(limit)))
}

/// About where the stack stands.
#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}
