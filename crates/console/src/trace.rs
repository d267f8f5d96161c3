//! The whole story of a conversation or an event over the admin API.

mod line;

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::{Conversation, Digest, Entry, Subject, What};
use axum::Json;
use axum::extract::State;
use event::EventId;
use queue::DeadLetterQuery;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::line::Line;
use crate::problem::Problem;
use crate::request::{Name, Nothing, Query};
use crate::{Answer, Shared, Tell};

/// Events whose routes are explained, at most; more are only told of.
const EXPLAINED_MAX: usize = 100;
/// How a destination stands that has not been tried.
const WAITS: &str = "waits";
/// How a destination stands for which an event was put aside.
const PUT_ASIDE: &str = "put aside into the archive, to be replayed";

/// Whose story.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TraceQuery {
    /// The id of a conversation
    conversation: String,
}

/// The story of a conversation or of an event.
#[derive(Debug, Serialize, ToSchema)]
struct Trace {
    /// Its events, in the order in which they were received.
    events: Vec<Traced>,
    /// What happened, in order.
    story: Vec<Line>,
}

/// One event.
#[derive(Debug, Serialize, ToSchema)]
struct Traced {
    event: String,
    /// Its place in the log.
    seq: u64,
    source: Arc<str>,
    topic: Arc<str>,
    /// The conversation's id, while the event is retained.
    conversation: Option<Arc<str>>,
    /// Milliseconds of Unix time.
    received: event::Timestamp,
    /// The SHA-256 of its bytes when it was received, in hexadecimal digits.
    sha256: String,
    /// Whether the log still has it, and what it has is what was received.
    body: BodyState,
    /// How each destination stands that its routes led to.
    deliveries: BTreeMap<String, String>,
    /// What each of the present routes says of it, while it is retained. Null of those behind the first 100 events of a
    /// conversation; ask for the event itself.
    routes: Option<Vec<RouteVerdict>>,
}

/// What is left of an event's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BodyState {
    /// They are there, and they are those that were received.
    Retained,
    /// Retention has dropped them.
    Dropped,
    /// They were erased.
    Erased,
    /// What is there is something else.
    Changed,
}

/// What a route says of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RouteVerdict {
    /// The route.
    pub route: String,
    /// Where it leads.
    pub destination: String,
    /// Whether it takes the event.
    pub matches: bool,
    /// Why: the source or the field that decides, what is wanted of it and what was found.
    pub because: String,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(trace)).routes(routes!(trace_event))
}

/// Everything that is known of a conversation
#[utoipa::path(
    get, path = "/api/v1/trace", operation_id = "trace", tag = "audit", params(TraceQuery),
    responses((status = 200, description = "Its story; empty if nothing is known of it", body = Trace)),
    security(("token" = ["read"]))
)]
async fn trace(State(tell): Shared, Query(query): Query<TraceQuery>) -> Answer<Trace> {
    tell_story(&*tell, Subject::Conversation(Conversation::of(&query.conversation))).await
}

/// Everything that is known of an event
#[utoipa::path(
    get, path = "/api/v1/trace/events/{id}", operation_id = "trace_event", tag = "audit",
    params(("id" = String, Path, description = "Its id", format = "uuid")),
    responses(
        (status = 200, description = "Its story", body = Trace),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["read"]))
)]
async fn trace_event(State(tell): Shared, Name(id): Name, Query(Nothing {}): Query<Nothing>) -> Answer<Trace> {
    let id = id.parse().map_err(|error| Problem::not_found(format!("{error}")))?;
    let story = tell_story(&*tell, Subject::Event(id)).await?;
    if story.story.is_empty() {
        return Err(Problem::not_found(format!(
            "nothing is known of an event {id}, as far back as the audit trail goes"
        )));
    }
    Ok(story)
}

async fn tell_story(tell: &dyn Tell, subject: Subject) -> Answer<Trace> {
    let entries = tell.queue().trace(subject).await?;
    let mut events = Vec::new();
    for entry in &entries {
        let What::Received { seq, event, source, topic, body, .. } = &entry.what else { continue };
        let (state, found) = look(tell, *event, body, *seq, &entries).await?;
        events.push(Traced {
            event: event.to_string(),
            seq: *seq,
            source: Arc::clone(source),
            topic: Arc::clone(topic),
            conversation: found.as_ref().and_then(|found| found.conversation.clone()),
            received: entry.at,
            sha256: body.to_string(),
            body: state,
            deliveries: standing(tell, *seq, *event, &entries, found.as_ref()).await?,
            routes: (events.len() < EXPLAINED_MAX).then(|| found.map(|found| tell.explain(&found)).unwrap_or_default()),
        });
    }
    Ok(Json(Trace { events, story: line::lines(&entries) }))
}

/// What the log has of an event now, and the event itself if it is the one that was received.
async fn look(
    tell: &dyn Tell,
    id: EventId,
    received: &Digest,
    seq: u64,
    entries: &[Entry],
) -> Result<(BodyState, Option<event::Event>), Problem> {
    let erased =
        entries.iter().any(|entry| matches!(&entry.what, What::Erased { places, .. } if places.contains(&seq)));
    let stored = match tell.queue().event(id).await {
        Ok(stored) => stored,
        Err(queue::QueueError::Damaged { .. }) => return Ok((BodyState::Changed, None)),
        Err(error) => return Err(error.into()),
    };
    let found = stored.map(|stored| stored.event);
    let state = match &found {
        _ if erased => BodyState::Erased,
        None => BodyState::Dropped,
        Some(event) if Digest::of(&event.body) == *received => BodyState::Retained,
        Some(_) => BodyState::Changed,
    };
    Ok((state, found.filter(|_| state == BodyState::Retained)))
}

/// How each destination stands that an event was for, and what it waits for there.
async fn standing(
    tell: &dyn Tell,
    seq: u64,
    id: EventId,
    entries: &[Entry],
    found: Option<&event::Event>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut all = BTreeMap::new();
    for (destination, standing) in deliveries(seq, id, entries) {
        let conversation = found.and_then(|found| found.conversation.as_deref()).filter(|_| standing == WAITS);
        let letter = match conversation {
            Some(conversation) => behind(tell, &destination, conversation, seq).await?,
            None => None,
        };
        let standing = letter.map_or_else(
            || standing.to_owned(),
            |letter| {
                format!(
                    "waits behind dead letter {letter} of its conversation (behind_dead = \"hold\"): look at it with \
                     aftercall dead-letters show {letter}; it goes on when that is redriven and delivered, or discarded"
                )
            },
        );
        all.insert(destination, standing);
    }
    Ok(all)
}

/// The dead letter that keeps an event of a conversation back, if one does.
async fn behind(tell: &dyn Tell, destination: &str, conversation: &str, seq: u64) -> Result<Option<u64>, Problem> {
    let status = tell.queue().status(tell.now()).await?;
    let held = |consumer: &&queue::ConsumerStatus| consumer.name == destination && consumer.held_conversations > 0;
    if status.consumers.iter().all(|consumer| !held(&consumer)) {
        return Ok(None);
    }
    let query = DeadLetterQuery {
        destination: Some(destination.to_owned()),
        conversation: Some(conversation.to_owned()),
        limit: 1,
        ..DeadLetterQuery::default()
    };
    let letters = tell.queue().dead_letters(query).await?;
    Ok(letters.first().filter(|letter| letter.seq.is_some_and(|dead| dead.0 < seq)).map(|letter| letter.id.0))
}

/// How each destination stands that an event was for.
fn deliveries(seq: u64, id: EventId, entries: &[Entry]) -> BTreeMap<String, &'static str> {
    let mut standing = BTreeMap::new();
    // It may stand in the log several times; each time it is for one destination.
    let mut places = std::collections::HashSet::from([seq]);
    for entry in entries {
        match &entry.what {
            What::Received { seq: place, destinations, .. } if *place == seq => {
                standing.extend(destinations.iter().map(|name| (name.to_string(), WAITS)));
            }
            What::Attempted { seq, destination, outcome } if places.contains(seq) => {
                let now = match outcome {
                    audit::Outcome::Delivered { .. } => "delivered",
                    audit::Outcome::Skipped { .. } => "there was nothing to deliver",
                    audit::Outcome::PutAside { .. } => PUT_ASIDE,
                    audit::Outcome::Failed { .. } => "failed, waits to be tried again",
                };
                standing.insert(destination.to_string(), now);
            }
            What::Died { seq, destination, .. } if places.contains(seq) => {
                standing.insert(destination.to_string(), "dead letter");
            }
            What::Redriven { seq, again, destination, .. } if places.contains(seq) => {
                places.insert(*again);
                standing.insert(destination.to_string(), "redriven, waits");
            }
            What::Replayed { event, again, destination, .. } if *event == id => {
                places.insert(*again);
                standing.insert(destination.to_string(), "replayed, waits");
            }
            What::Discarded { seq: Some(seq), destination: Some(destination), .. } if places.contains(seq) => {
                standing.insert(destination.to_string(), "discarded");
            }
            _ => {}
        }
    }
    standing
}
