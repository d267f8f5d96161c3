//! Somebody who deals with dead letters.

use std::sync::Arc;

use delivery::Clock as _;
use queue::{By, DeadLetter, DeadLetterQuery, Queue as _};

use crate::dice::Dice;
use crate::world::World;

/// Somebody looks at the dead letters from time to time: mends what was wrong and redrives them, or does so without
/// mending, or discards one.
pub(crate) async fn review(world: Arc<World>) {
    let mut dice = world.dice(3);
    let mut at = world.plan.reviews.clone();
    at.sort();
    for at in at {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        let query = DeadLetterQuery { limit: 1_000, ..Default::default() };
        let Some(Ok(letters)) = world.ask(async |queue| queue.dead_letters(query).await).await else { continue };
        let letters: Vec<_> = letters.into_iter().filter(|letter| letter.destination.is_some()).collect();
        look(&world, &mut dice, letters).await;
    }
}

async fn look(world: &World, dice: &mut Dice, mut letters: Vec<DeadLetter>) {
    let by = By::new("somebody", world.clock.now());
    let choice = dice.roll(4);
    letters.truncate(if choice == 0 { 1 } else { 50 });
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    world.steps.note(|| format!("somebody deals with dead letters {ids:?}, in way {choice}"));
    world.oracle.reviews(&letters, choice == 0);
    if choice == 0 {
        drop(world.ask(async |queue| queue.discard(ids, by).await).await);
        return;
    }
    if choice > 1 {
        let numbers = letters.iter().flat_map(|letter| world.oracle.numbers_in(letter));
        numbers.for_each(|(destination, number)| world.mend(destination, number));
    }
    if let Some(Ok(outcomes)) = world.ask(async |queue| queue.redrive(ids, by).await).await {
        world.oracle.redriven(&letters, &outcomes);
        world.steps.note(|| format!("redriven: {outcomes:?}"));
    }
}
