//! Reading what stands aside of the lanes: redriven events, and those of conversations that were held.

use std::sync::Arc;

use event::Timestamp;

use super::{read as read_places, report};
use crate::consumer::{Consumer, Reading};
use crate::failure::Failed;
use crate::options::READ_AHEAD_EVENTS;
use crate::shared::Shared;

/// Reads some of what is wanted, and puts it where it can be leased.
pub(super) fn read(shared: &Shared, consumer: &Consumer, wanted: Reading, now: Timestamp) -> Result<(), Failed> {
    let (places, placed) = {
        let mut state = consumer.state.lock();
        let Some(placed) = state.placed.clone() else {
            return Ok(());
        };
        let places: Vec<u64> = match wanted {
            Reading::Overflow => state.window.next_overflow(READ_AHEAD_EVENTS),
            _ => state.redriven.iter().take(READ_AHEAD_EVENTS).collect(),
        };
        (places, placed)
    };
    let (events, mut damages) = read_places(shared, &places)?;
    let events: Vec<_> =
        events.into_iter().map(|stored| (placed.route(consumer.id, &stored), Arc::new(stored))).collect();
    let mut state = consumer.state.lock();
    if !state.placed.as_ref().is_some_and(|now| now.is_same(&placed)) {
        // Configured anew meanwhile, so the routes are void; whoever waits reads again.
        return Ok(());
    }
    for (route, stored) in &events {
        match wanted {
            Reading::Overflow => state.place_again(stored, *route),
            _ => state.place_redriven(stored, *route),
        }
    }
    // What retention is dropping is settled by it; every other damaged place becomes a dead letter.
    for damage in &damages {
        state.forget_place(damage.seq);
        if wanted == Reading::Overflow {
            state.window.pass_over(damage.seq);
        }
    }
    damages.retain(|damage| !state.is_dropped(damage.seq));
    drop(state);
    report(shared, consumer, damages, now);
    Ok(())
}
