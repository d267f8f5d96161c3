//! Replaying over the admin API, a bounded step at a time. What a step has put on its way and how far the replay has come
//! is durable together, so the same request can be repeated after a crash.

use std::sync::Arc;

use archive::{Choice, DryRun, Filter, Stepped};
use axum::extract::State;
use axum::{Extension, Json};
use queue::{Replay, ReplayPiece};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::{Body, Nothing, Number, Query};
use crate::{Answer, Shared, Tell};

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list, replay)).routes(routes!(dry_run)).routes(routes!(write_off))
}

/// Which page of replays.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplaysQuery {
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false, pattern = "^[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A page of replays, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayPage)]
struct Replays {
    replays: Vec<Replay>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// Lists replays that are under way or were done, the newest first
#[utoipa::path(
    get, path = "/api/v1/replays", operation_id = "list_replays", tag = "replays",
    params(ReplaysQuery), responses((status = 200, description = "A page of them", body = Replays)),
    security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(query): Query<ReplaysQuery>) -> Answer<Replays> {
    let skip = query.cursor.map(|cursor| page::number(&cursor)).transpose()?.unwrap_or(0);
    let skip = usize::try_from(skip).map_err(|_| page::unusable())?;
    let all = tell.queue().replays(None).await?;
    let end = skip.saturating_add(query.limit.0);
    let next = (all.len() > end).then(|| page::digits(end as u64));
    Ok(Json(Replays { replays: all.into_iter().skip(skip).take(query.limit.0).collect(), next }))
}

/// One step of a replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayRequest)]
struct ReplayBody {
    choice: Choice,
    /// Events that are put on their way, at most.
    #[serde(default = "limit")]
    #[schema(value_type = usize, minimum = 1, maximum = 1000, default = 500)]
    limit: Number,
    /// Begins the same replay anew if it is done.
    #[serde(default)]
    anew: bool,
}

/// One step of a dry run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayDryRunRequest)]
struct TryBody {
    choice: Choice,
    /// Events that are tried, at most.
    #[serde(default = "limit")]
    #[schema(value_type = usize, minimum = 1, maximum = 1000, default = 500)]
    limit: Number,
    /// Where the step begins: `next` of the step before.
    #[schema(pattern = "^(s[0-9a-f]{16}|a[0-9a-f]{32}[^\n\r]{0,900})$")]
    cursor: Option<String>,
}

const fn limit() -> Number {
    Number(500)
}

/// Refuses what the present configuration does not have.
async fn find(tell: &dyn Tell, destination: &str) -> Result<(), Problem> {
    let status = tell.queue().status(tell.now()).await?;
    let there = status.consumers.iter().any(|consumer| consumer.configured && consumer.name == destination);
    if there { Ok(()) } else { Err(Problem::not_found(ReplayPiece::no_destination(destination))) }
}

fn checked(Number(limit): Number) -> Result<usize, Problem> {
    if let Some(limit) = usize::try_from(limit).ok().filter(|limit| (1..=ReplayPiece::EVENTS_MAX).contains(limit)) {
        return Ok(limit);
    }
    Err(Problem::unusable(format!("`limit` must be within 1 to {}", ReplayPiece::EVENTS_MAX)))
}

/// Delivers more of the chosen events again, to the one destination; ask until the replay is done
#[utoipa::path(
    post, path = "/api/v1/replays", operation_id = "replay", tag = "replays", request_body = ReplayBody,
    responses(
        (status = 200, description = "What was done", body = Stepped),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["operate"]))
)]
async fn replay(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(asked): Body<ReplayBody>,
) -> Answer<Stepped> {
    let limit = checked(asked.limit)?;
    find(&*tell, &asked.choice.destination).await?;
    let filter = Filter::new(asked.choice)?;
    let stepped = archive::step(tell.queue(), tell.archive(), &filter, asked.anew, limit, tell.now()).await?;
    if stepped.queued > 0 {
        let replay = &stepped.replay;
        let (destination, by) = (&replay.destination, &*caller.name);
        tracing::info!(replay = replay.id, destination, events = stepped.queued, by, "events were replayed");
        let detail = format!("{} events, replay {}", stepped.queued, replay.id);
        caller.note(&*tell, "replay", destination, detail).await;
    }
    Ok(Json(stepped))
}

/// Looks at more of the chosen events, and tries the present mapping on them; changes nothing
#[utoipa::path(
    post, path = "/api/v1/replays/dry-run", operation_id = "try_replay", tag = "replays", request_body = TryBody,
    responses(
        (status = 200, description = "What would be sent", body = DryRun),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["read"]))
)]
async fn dry_run(State(tell): Shared, Query(Nothing {}): Query<Nothing>, Body(asked): Body<TryBody>) -> Answer<DryRun> {
    let limit = checked(asked.limit)?;
    let destination = asked.choice.destination.clone();
    find(&*tell, &destination).await?;
    let filter = Filter::new(asked.choice)?;
    let judge = |event: &event::Event| tell.try_event(&destination, event);
    Ok(Json(
        archive::try_out(tell.queue(), tell.archive(), &filter, asked.cursor.as_deref(), limit, tell.now(), judge)
            .await?,
    ))
}

/// What is given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WriteOffRequest)]
struct WriteOffBody {
    /// The destination that it was put aside for.
    destination: String,
}

/// What was given up.
#[derive(Debug, Serialize, ToSchema)]
struct WrittenOff {
    destination: String,
    /// Events that were put aside and are in no part any more: they are counted no longer.
    written_off: u64,
}

/// Gives up what was put aside for a destination and is in no part of the archive any more
#[utoipa::path(
    post, path = "/api/v1/replays/write-off", operation_id = "write_off", tag = "replays", request_body = WriteOffBody,
    responses(
        (status = 200, description = "What was given up", body = WrittenOff),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["operate"]))
)]
async fn write_off(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(WriteOffBody { destination }): Body<WriteOffBody>,
) -> Answer<WrittenOff> {
    find(&*tell, &destination).await?;
    let written_off = archive::write_off(tell.queue(), tell.archive(), &destination, tell.now()).await?;
    if written_off > 0 {
        let by = &*caller.name;
        tracing::warn!(
            destination,
            events = written_off,
            by,
            "events that were put aside and are gone were written off"
        );
        let detail = format!("{written_off} events that were put aside and are in no part of the archive");
        caller.note(&*tell, "write off", &destination, detail).await;
    }
    Ok(Json(WrittenOff { destination, written_off }))
}
