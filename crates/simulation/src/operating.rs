//! Somebody who erases conversations, and replays events from the store. One after the other: the program does not let a
//! replay read what is being erased either.

use std::sync::Arc;
use std::time::Duration;

use delivery::Clock as _;
use queue::{By, Erasure, Queue as _, ReplayPiece, Router as _, Seq};

use crate::body::conversation_id;
use crate::world::{ByTopic, World};

/// Events of one piece of a replay: few, so that ends of the process come between pieces.
const PIECE: usize = 20;
/// Bytes of them.
const PIECE_BYTES: usize = 1 << 20;
/// How long to wait after a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

enum Job {
    Erase(u64),
    Replay(usize),
}

/// Does what the plan says.
pub(crate) async fn operate(world: Arc<World>) {
    let erasures = world.plan.erasures.iter().map(|(at, conversation)| (*at, Job::Erase(*conversation)));
    let replays = world.plan.replays.iter().map(|(at, destination)| (*at, Job::Replay(*destination)));
    let mut agenda: Vec<_> = erasures.chain(replays).collect();
    agenda.sort_by_key(|(at, _)| *at);
    for (number, (at, job)) in agenda.into_iter().enumerate() {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        match job {
            Job::Erase(conversation) => erase(&world, conversation).await,
            Job::Replay(destination) => replay(&world, format!("replay-{number}"), destination).await,
        }
    }
}

/// Asks until it is answered.
async fn erase(world: &World, conversation: u64) {
    loop {
        let by = By::new("somebody", world.clock.now());
        let erasure = Erasure { conversation: conversation_id(conversation), dry_run: false, by };
        world.oracle.erasing(conversation);
        let answer = world.ask(async |queue| queue.erase(erasure).await).await;
        world.steps.note(|| format!("conversation {conversation} is erased: {answer:?}"));
        let is_answered = matches!(answer, Some(Ok(_)));
        // Without time in between, so that nothing has been published meanwhile; unless the process has ended.
        let (last, is_answered) =
            match world.ask(async |queue| queue.read_log(Seq(0), usize::MAX, usize::MAX).await).await {
                Some(Ok(page)) => (page.through.0, is_answered),
                _ => (u64::MAX, false),
            };
        world.oracle.erased(conversation, is_answered, last);
        if is_answered {
            return;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Replays all events of a destination, piece by piece; after a failure it asks how far the replay has come.
async fn replay(world: &World, id: String, destination: usize) {
    let (mut from, mut place) = (None, Seq(0));
    loop {
        let Some(erasures) = world.ask(async |queue| queue.erasures()).await else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        let Some(Ok(page)) = world.ask(async |queue| queue.read_log(place, PIECE, PIECE_BYTES).await).await else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        let router = ByTopic(world.plan.clone());
        let is_wanted = |event: &event::Event| {
            !event.is_erased() && router.route(event).iter().any(|target| usize::from(target.consumer) == destination)
        };
        let accepted = page.events.into_iter().filter(|stored| stored.again.is_none()).map(|stored| stored.event);
        let events: Vec<_> = accepted.filter(is_wanted).collect();
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let to = page.through.0.to_string();
        let piece = ReplayPiece {
            put_aside: 0,
            id: id.clone(),
            selection: "everything".to_owned(),
            destination: world.plan.destinations[destination].name.as_str().into(),
            from: from.clone(),
            to: to.clone(),
            done: page.end,
            erasures,
            events,
        };
        world.oracle.replaying(destination, &ids);
        let now = world.clock.now();
        let answer = world.ask(async |queue| queue.replay(piece, now).await).await;
        world.steps.note(|| format!("a replay for destination {destination} up to place {to}: {answer:?}"));
        let is_done = matches!(answer, Some(Ok(_))) || has_come_to(world, &id, &to).await;
        world.oracle.replayed(destination, &ids, is_done);
        if is_done && page.end {
            return;
        }
        if is_done {
            (from, place) = (Some(to), page.through);
        }
    }
}

async fn has_come_to(world: &World, id: &str, to: &str) -> bool {
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        if let Some(Ok(known)) = world.ask(async |queue| queue.replays(Some(id.to_owned())).await).await {
            return known.first().is_some_and(|replay| replay.position == to);
        }
    }
}
