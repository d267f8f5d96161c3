//! Dead letters over the admin API: pages, groups, one with its body, and discarding.
//!
//! | module | requests |
//! |---|---|
//! | [`edit`] | the edited copy of a body |
//! | [`export`] | all that are selected, with their bodies, as a stream |
//! | [`redrive`] | redriving, and trying what would be sent |
//! | [`review`] | how far people are with a group |

mod edit;
mod export;
mod redrive;
mod review;
mod select;
mod wire;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use queue::{By, DeadLetter, DeadLetterId, Edit};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::select::{GroupsQuery, LettersQuery};
use self::wire::{Discard, Discarded, Groups, Page, Shown};
use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{self, Body, Id, Nothing, Number, Query};
use crate::{Answer, Shared, Tell};

/// Dead letters discarded by one request, at most: they are dropped in one commit.
const DISCARD_MAX: usize = 10_000;
/// Characters of a reason, at most.
const REASON_MAX: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(body))
        .routes(routes!(discard))
        .routes(routes!(groups))
        .merge(redrive::routes())
        .merge(edit::routes())
        .merge(export::routes())
        .merge(review::routes())
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
    let letter = readable(&*tell, find(&*tell, id).await?);
    let mapping_now = tell.mapping_version(&letter);
    // Of an event that was edited before, the original is in the log for as long as retention keeps it.
    let event = letter.event.filter(|_| letter.altered);
    let first = match event {
        Some(event) => tell.queue().event(event).await?.filter(|stored| stored.again.is_none()),
        None => None,
    };
    let original = first.map(|stored| String::from_utf8_lossy(&stored.event.body).into_owned());
    let mut shown = Shown::from(letter);
    (shown.mapping_now, shown.original) = (mapping_now, original);
    Ok(Json(shown))
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
    let letter = find(&*tell, id).await?;
    let body = letter.body.ok_or_else(missing)?;
    Ok(opened(&*tell, &letter.destination, &letter.source, body)?.into_response())
}

/// A body of a dead letter as it came: what became no event may be sealed.
fn opened(tell: &dyn Tell, destination: &Option<Arc<str>>, source: &str, body: Bytes) -> Result<Bytes, Problem> {
    match destination {
        Some(_) => Ok(body),
        None => tell.intake().opened(source, body).map_err(|error| Problem::unusable(format!("the body {error}"))),
    }
}

/// The dead letter with its body and edited copy opened; or, of what cannot be, with the reason in its place.
fn readable(tell: &dyn Tell, letter: DeadLetter) -> DeadLetter {
    if letter.destination.is_some() {
        return letter;
    }
    let source = Arc::clone(&letter.source);
    let open = |body| {
        let opened = tell.intake().opened(&source, body);
        opened.unwrap_or_else(|error| Bytes::from(format!("(this is sealed: it {error})")))
    };
    let edit = letter.edit.map(|edit| Edit { body: edit.body.map(open), ..edit });
    DeadLetter { body: letter.body.map(open), edit, ..letter }
}

async fn find(tell: &dyn Tell, id: u64) -> Result<DeadLetter, Problem> {
    let found = tell.queue().dead_letter(DeadLetterId(id)).await?;
    found.ok_or_else(|| Problem::not_found(format!("there is no dead letter {id}")))
}

fn checked(ids: Vec<Number>, most: usize) -> Result<Vec<DeadLetterId>, Problem> {
    Ok(request::ids(ids, most, "dead letters")?.into_iter().map(DeadLetterId).collect())
}

/// Why something is done, in the words of whoever does it.
pub(crate) fn reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() || reason.chars().count() > REASON_MAX {
        return Err(Problem::unusable(format!("`reason` must have 1 to {REASON_MAX} characters")));
    }
    Ok(())
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
    self::reason(&reason)?;
    let by = By::new(Arc::clone(&caller.name), tell.now()).because(reason.as_str());
    let letters = tell.queue().discard(ids, by).await?;
    for letter in &letters {
        let (id, event) = (letter.id.0, letter.event.map(|event| event.to_string()));
        let (destination, by) = (letter.destination.as_deref(), &*caller.name);
        tracing::info!(dead_letter = id, event, destination, reason, by, "a dead letter was discarded");
    }
    Ok(Json(Discarded { discarded: letters.into_iter().map(|letter| letter.id).collect() }))
}
