//! Somebody who deals with dead letters.

use std::sync::Arc;

use bytes::Bytes;
use delivery::Clock as _;
use queue::{By, DeadLetter, DeadLetterQuery, Queue as _};

use crate::dice::Dice;
use crate::world::World;

/// Somebody looks at the dead letters from time to time: mends what was wrong and redrives them, or does so without
/// mending, or discards one.
pub(crate) async fn review(world: Arc<World>) {
    let mut dice = world.dice(3);
    let mut edits = world.dice(6);
    let mut at = world.plan.reviews.clone();
    at.sort();
    for at in at {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        let query = DeadLetterQuery { limit: 1_000, ..Default::default() };
        let Some(Ok(letters)) = world.ask(async |queue| queue.dead_letters(query).await).await else { continue };
        let letters: Vec<_> = letters.into_iter().filter(|letter| letter.destination.is_some()).collect();
        look(&world, &mut dice, &mut edits, letters).await;
    }
}

/// Somebody mends all that holds conversations, and redrives it; whether there was anything.
pub(crate) async fn clear_up(world: &World) -> bool {
    let query = DeadLetterQuery { limit: 1_000, ..Default::default() };
    let Some(Ok(letters)) = world.ask(async |queue| queue.dead_letters(query).await).await else { return true };
    let letters: Vec<_> = letters.into_iter().filter(|letter| world.oracle.is_held_behind(letter)).collect();
    if letters.is_empty() {
        return false;
    }
    redrive(world, &letters, true).await;
    true
}

async fn look(world: &World, dice: &mut Dice, edits: &mut Dice, mut letters: Vec<DeadLetter>) {
    let by = By::new("somebody", world.clock.now());
    let choice = dice.roll(4);
    letters.truncate(if choice == 0 { 1 } else { 50 });
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    if choice > 0 && edits.chance(50) {
        edit(world, edits, letters.first()).await;
    }
    world.steps.note(|| format!("somebody deals with dead letters {ids:?}, in way {choice}"));
    if choice == 0 {
        world.oracle.reviews(&letters, true);
        drop(world.ask(async |queue| queue.discard(ids, by).await).await);
        return;
    }
    redrive(world, &letters, choice > 1).await;
}

async fn redrive(world: &World, letters: &[DeadLetter], mends: bool) {
    let by = By::new("somebody", world.clock.now());
    world.oracle.reviews(letters, false);
    if mends {
        let numbers = letters.iter().flat_map(|letter| world.oracle.numbers_in(letter));
        numbers.for_each(|(destination, number)| world.mend(destination, number));
    }
    let ids = letters.iter().map(|letter| letter.id).collect();
    if let Some(Ok(outcomes)) = world.ask(async |queue| queue.redrive(ids, by).await).await {
        world.oracle.redriven(letters, &outcomes);
        world.steps.note(|| format!("redriven: {outcomes:?}"));
    }
}

/// Keeps an edited copy beside a dead letter; now and then another one, or drops it again.
async fn edit(world: &World, dice: &mut Dice, letter: Option<&DeadLetter>) {
    let Some(letter) = letter else { return };
    for times in 0..dice.between(1, 2) {
        let copy = Bytes::from(format!(
            "{{\"edited\": \"{:?}\", \"at\": {times}, \"dice\": {}}}",
            letter.id,
            dice.roll(1_000_000)
        ));
        let by = By::new("somebody", world.clock.now());
        world.oracle.edits(letter, &copy);
        let kept = copy.clone();
        let id = letter.id;
        let answer = world.ask(async |queue| queue.edit(id, Some(kept), by).await).await;
        world.steps.note(|| format!("dead letter {id:?} is edited: {answer:?}"));
        if let Some(Ok(true)) = answer {
            world.oracle.edited(letter, &copy);
        }
    }
}
