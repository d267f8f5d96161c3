//! Dead letters over the admin API: pages, groups, one with its body, redriving and discarding.

mod select;
mod wire;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use queue::{DeadLetter, DeadLetterId, NotRedriven, RedriveOutcome};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::select::{GroupsQuery, LettersQuery};
use self::wire::{Discard, Discarded, DryRun, Groups, Ids, Page, Redrive, Redriven, Refused, Shown, Tried};
use crate::access::Caller;
use crate::page::PAGE_MAX;
use crate::problem::Problem;
use crate::request::{Body, Id, Nothing, Number, Query};
use crate::{Answer, Shared, Tell};

/// Dead letters discarded by one request, at most: they are dropped in one commit.
const DISCARD_MAX: usize = 10_000;
/// Bytes of a payload that a dry run shows.
const PAYLOAD_SHOWN: usize = 2_000;
/// Characters of a reason, at most.
const REASON_MAX: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(body))
        .routes(routes!(dry_run))
        .routes(routes!(redrive))
        .routes(routes!(discard))
        .routes(routes!(groups))
}

/// Lists dead letters, the oldest first
#[utoipa::path(
    get, path = "/api/v1/dead-letters", operation_id = "list_dead_letters", tag = "dead letters",
    params(LettersQuery), responses((status = 200, description = "A page of them", body = Page)),
    security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(query): Query<LettersQuery>) -> Answer<Page> {
    let (query, limit) = query.page()?;
    let mut letters = tell.queue().dead_letters(query).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| select::after_letter(letter.id));
    Ok(Json(Page { dead_letters: letters.into_iter().map(Shown::from).collect(), next }))
}

/// Puts those that failed alike together, the largest group first
#[utoipa::path(
    get, path = "/api/v1/dead-letter-groups", operation_id = "list_dead_letter_groups", tag = "dead letters",
    params(GroupsQuery), responses((status = 200, description = "A page of groups", body = Groups)),
    security(("token" = ["read"]))
)]
async fn groups(State(tell): Shared, Query(query): Query<GroupsQuery>) -> Answer<Groups> {
    let (query, page) = query.page()?;
    let (groups, next) = page.of(tell.queue().dead_letter_groups(query).await?);
    Ok(Json(Groups { groups, next }))
}

/// Shows a dead letter with its body as text
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}", operation_id = "show_dead_letter", tag = "dead letters",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses((status = 200, description = "It", body = Shown), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["read"]))
)]
async fn show(State(tell): Shared, Id(id): Id, Query(Nothing {}): Query<Nothing>) -> Answer<Shown> {
    Ok(Json(Shown::from(find(&*tell, id).await?)))
}

/// The event's bytes, exactly as they were accepted
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}/body", operation_id = "read_dead_letter_body", tag = "dead letters",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses(
        (status = 200, description = "They", content_type = "application/octet-stream"),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["read"]))
)]
async fn body(State(tell): Shared, Id(id): Id, Query(Nothing {}): Query<Nothing>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("the bytes of its event are damaged or missing; run `aftercall check`");
    find(&*tell, id).await?.body.map(axum::response::IntoResponse::into_response).ok_or_else(missing)
}

async fn find(tell: &dyn Tell, id: u64) -> Result<DeadLetter, Problem> {
    let found = tell.queue().dead_letter(DeadLetterId(id)).await?;
    found.ok_or_else(|| Problem::not_found(format!("there is no dead letter {id}")))
}

fn checked(ids: Vec<Number>, most: usize) -> Result<Vec<DeadLetterId>, Problem> {
    if (1..=most).contains(&ids.len()) {
        return Ok(ids.into_iter().map(|id| DeadLetterId(id.0)).collect());
    }
    Err(Problem::unusable(format!("`ids` must name 1 to {most} dead letters")))
}

/// Tries the present mapping on dead letters; changes nothing
#[utoipa::path(
    post, path = "/api/v1/dead-letters/dry-run", operation_id = "try_dead_letters", tag = "dead letters",
    request_body = Ids, responses((status = 200, description = "What would be sent", body = DryRun)),
    security(("token" = ["read"]))
)]
async fn dry_run(State(tell): Shared, Query(Nothing {}): Query<Nothing>, Body(asked): Body<Ids>) -> Answer<DryRun> {
    let ids = checked(asked.ids, PAGE_MAX)?;
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        match tell.queue().dead_letter(id).await? {
            Some(letter) => {
                let teller = Arc::clone(&tell);
                let tried = tokio::task::spawn_blocking(move || try_one(&*teller, letter)).await;
                results.push(tried.unwrap_or_else(|_| failed(id, None, "the mapping failed by a bug".to_owned())));
            }
            None => results.push(failed(id, None, NotRedriven::Missing.to_string())),
        }
    }
    let fail = results.iter().filter(|tried| tried.error.is_some()).count();
    Ok(Json(DryRun { pass: results.len() - fail, fail, results }))
}

fn try_one(tell: &dyn Tell, letter: DeadLetter) -> Tried {
    let before = Some(letter.failure.message.clone());
    match tell.try_mapping(&letter) {
        Ok(payload) => {
            let shown = &payload[..payload.len().min(PAYLOAD_SHOWN)];
            let payload = Some(String::from_utf8_lossy(shown).into_owned());
            Tried { id: letter.id, before, payload, error: None }
        }
        Err(error) => failed(letter.id, before, error),
    }
}

fn failed(id: DeadLetterId, before: Option<String>, error: String) -> Tried {
    Tried { id, before, payload: None, error: Some(error) }
}

/// Delivers the events of dead letters again
#[utoipa::path(
    post, path = "/api/v1/dead-letters/redrive", operation_id = "redrive_dead_letters", tag = "dead letters",
    request_body = Ids, responses((status = 200, description = "What was done", body = Redrive)),
    security(("token" = ["operate"]))
)]
async fn redrive(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(asked): Body<Ids>,
) -> Answer<Redrive> {
    let ids = checked(asked.ids, PAGE_MAX)?;
    let mut done = Redrive::default();
    for RedriveOutcome { id, result } in tell.queue().redrive(ids, tell.now()).await? {
        match result {
            Ok(seq) => done.redriven.push(Redriven { id, seq }),
            Err(reason) => done.refused.push(Refused { id, reason: reason.to_string() }),
        }
    }
    let (redriven, refused, by) = (done.redriven.len(), done.refused.len(), &*caller.name);
    tracing::info!(redriven, refused, by, "dead letters were redriven");
    Ok(Json(done))
}

/// Drops dead letters for good
#[utoipa::path(
    post, path = "/api/v1/dead-letters/discard", operation_id = "discard_dead_letters", tag = "dead letters",
    request_body = Discard, responses((status = 200, description = "What was dropped", body = Discarded)),
    security(("token" = ["operate"]))
)]
async fn discard(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(Discard { ids, reason }): Body<Discard>,
) -> Answer<Discarded> {
    let ids = checked(ids, DISCARD_MAX)?;
    if reason.trim().is_empty() || reason.chars().count() > REASON_MAX {
        return Err(Problem::unusable(format!("`reason` must have 1 to {REASON_MAX} characters")));
    }
    let letters = tell.queue().discard(ids).await?;
    for letter in &letters {
        let (id, event) = (letter.id.0, letter.event.map(|event| event.to_string()));
        let (destination, by) = (letter.destination.as_deref(), &*caller.name);
        tracing::info!(dead_letter = id, event, destination, reason, by, "a dead letter was discarded");
    }
    Ok(Json(Discarded { discarded: letters.into_iter().map(|letter| letter.id).collect() }))
}
