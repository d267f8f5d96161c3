//! Senders: they publish until they are answered, and some of it again. They do what intake does behind the network:
//! the body becomes events ([`event::Splitter`]), which are published together.

use std::sync::Arc;
use std::time::Duration;

use delivery::Clock as _;
use event::{SourceKind, SplitSettings, Splitter};
use queue::{Failure, FailureClass, Publication, Queue as _, Rejection, Stage};

use crate::body::{Body, body};
use crate::plan::{Form, RequestPlan};
use crate::world::World;

/// How one publication ended for its sender.
enum Heard {
    Answer,
    /// To be sent again.
    Nothing,
}

/// Sends all requests of one sender.
pub(crate) async fn send(world: Arc<World>, sender: usize) {
    let mut dice = world.dice(200 + sender as u64);
    let sources = Sources::new();
    let mut agenda: Vec<(Duration, &RequestPlan, u64)> =
        world.plan.senders[sender].iter().map(|request| (request.at, request, 0)).collect();
    while !agenda.is_empty() {
        let next = (0..agenda.len()).min_by_key(|&at| (agenda[at].0, at)).unwrap_or(0);
        let (at, request, mut sending) = agenda.remove(next);
        let at = if world.is_calm() { Duration::ZERO } else { at.min(world.plan.length) };
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        loop {
            let sent = body(&world.plan, request, sending);
            sending += 1;
            if let Heard::Answer = publish(&world, &sources, request, sent).await {
                break;
            }
            tokio::time::sleep(dice.time(Duration::from_millis(100), Duration::from_secs(30))).await;
        }
        if let Some(again) = request.again.filter(|_| sending < 4) {
            agenda.push((world.clock.elapsed() + again, request, sending));
        }
    }
}

/// The sources, as they are configured.
struct Sources {
    webhook: Splitter,
    eventbridge: Splitter,
}

impl Sources {
    fn new() -> Self {
        let splitter = |kind| Splitter::new(&SplitSettings::new(kind));
        Self { webhook: splitter(SourceKind::Webhook), eventbridge: splitter(SourceKind::EventBridge) }
    }
}

async fn publish(world: &World, sources: &Sources, request: &RequestPlan, sent: Body) -> Heard {
    let (source, splitter) = match request.form {
        Form::Envelopes => ("bus", &sources.eventbridge),
        _ => ("calls", &sources.webhook),
    };
    let received = world.clock.now();
    let events = match splitter.split(&sent.bytes) {
        Ok(events) => events,
        Err(error) => return reject(world, source, sent, error.to_string()).await,
    };
    if events.len() != sent.events.len() || request.form == Form::Unreadable {
        world.oracle.object(format!("{} events became {}", sent.events.len(), events.len()));
        return Heard::Answer;
    }
    let offered: Vec<_> =
        sent.events.into_iter().zip(&events).map(|((number, bytes), event)| (number, bytes, event.clone())).collect();
    world.oracle.offered(&offered);
    let publication = Publication {
        proof: Arc::from("key 1"),
        source: source.into(),
        received,
        events,
        content: queue::Content::Plain(event::content_hash),
    };
    world.steps.note(|| format!("a sender publishes {:?}", request.events));
    let answer = world.ask(async |queue| queue.publish(publication).await).await;
    match answer {
        None => {
            world.oracle.may_be_stored(&offered);
            Heard::Nothing
        }
        Some(Err(error)) => {
            world.oracle.turned_away(&offered);
            world.steps.note(|| format!("a publication is turned away: {error}"));
            Heard::Nothing
        }
        Some(Ok(answers)) => {
            world.oracle.may_be_stored(&offered);
            world.oracle.answered(&offered, received, &answers);
            world.steps.note(|| format!("a sender is answered {answers:?}"));
            Heard::Answer
        }
    }
}

/// As intake does with an authentic body that is no event.
async fn reject(world: &World, source: &str, sent: Body, message: String) -> Heard {
    if !sent.events.is_empty() {
        world.oracle.object(format!("a body of {} events cannot be split: {message}", sent.events.len()));
        return Heard::Answer;
    }
    let (stage, class) = (Stage::Intake, FailureClass::Permanent);
    let failure = Failure::new(stage, class, message);
    let rejection = Rejection {
        proof: Arc::from("key 1"),
        source: source.into(),
        received: world.clock.now(),
        failure,
        body: sent.bytes,
    };
    match world.ask(async |queue| queue.reject(rejection).await).await {
        Some(Ok(id)) => {
            world.oracle.kept_unreadable(id);
            Heard::Answer
        }
        Some(Err(_)) | None => Heard::Nothing,
    }
}
