//! The edited copy of a dead letter's body: kept beside the original, and what a redrive delivers in its place.
//!
//! A copy is refused that a redrive could not deliver. One for which only the mapping would fail is kept, since mapping
//! and copy may have to be mended together.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use event::BodyError;
use event::json::{Kind, Lookup, Pointer};
use queue::{By, DeadLetter, DeadLetterId, Edit, NotRedriven};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{EditDone, EditQuery};
use super::{find, opened, reason};
use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{Id, Nothing, Number, Query, Raw};
use crate::{Answer, NotMapped, Shared, Tell};

pub(super) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(read, edit, remove))
}

/// The edited copy's bytes
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{id}/edit", operation_id = "read_dead_letter_edit", tag = "dead letters",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses(
        (status = 200, description = "They", content_type = "application/octet-stream"),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["read"]))
)]
async fn read(State(tell): Shared, Id(id): Id, Query(Nothing {}): Query<Nothing>) -> Result<Response, Problem> {
    let letter = find(&*tell, id).await?;
    let edit = letter.edit.ok_or_else(|| Problem::not_found(format!("dead letter {id} has no edited copy")))?;
    let copy = edit.body.ok_or_else(|| Problem::not_found(NotRedriven::DamagedEdit))?;
    Ok(opened(&*tell, &letter.destination, &letter.source, copy)?.into_response())
}

/// Keeps an edited copy of the body, in place of an earlier one; the original stays
#[utoipa::path(
    put, path = "/api/v1/dead-letters/{id}/edit", operation_id = "edit_dead_letter", tag = "dead letters",
    params(("id" = inline(Number), Path, description = "Its number"), EditQuery),
    request_body(content = Object, description = "The event as it should have been, an object of JSON"),
    responses((status = 200, description = "Done", body = EditDone), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["operate"]))
)]
async fn edit(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Query(query): Query<EditQuery>,
    body: Raw,
) -> Answer<EditDone> {
    reason(&query.reason)?;
    let letter = find(&*tell, id).await?;
    let copy = body.read(tell.intake().body_limit(&letter.source)).await?;
    let by = By::new(Arc::clone(&caller.name), tell.now()).because(query.reason.as_str());
    // The copy of a body that no rule was applied to is like that body.
    let kept = match letter.destination {
        Some(_) => copy.clone(),
        None => tell.intake().sealed(&letter.source, copy.clone()).map_err(Problem::unusable)?,
    };
    let mapping_error = check(&tell, letter, &copy, &by).await?;
    keep(&*tell, id, Some(kept), by).await?;
    let (reason, by) = (query.reason, &*caller.name);
    tracing::info!(dead_letter = id, reason, by, "a dead letter's body was edited");
    Ok(Json(EditDone { id: DeadLetterId(id), mapping_error }))
}

/// Drops the edited copy, so that a redrive delivers the original
#[utoipa::path(
    delete, path = "/api/v1/dead-letters/{id}/edit", operation_id = "drop_dead_letter_edit", tag = "dead letters",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses((status = 200, description = "Done", body = EditDone), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["operate"]))
)]
async fn remove(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Query(Nothing {}): Query<Nothing>,
) -> Answer<EditDone> {
    if find(&*tell, id).await?.edit.is_none() {
        return Err(Problem::not_found(format!("dead letter {id} has no edited copy")));
    }
    keep(&*tell, id, None, By::new(Arc::clone(&caller.name), tell.now())).await?;
    tracing::info!(dead_letter = id, by = &*caller.name, "the edited copy of a dead letter was dropped");
    Ok(Json(EditDone { id: DeadLetterId(id), mapping_error: None }))
}

async fn keep(tell: &dyn Tell, id: u64, copy: Option<Bytes>, by: By) -> Result<(), Problem> {
    match tell.queue().edit(DeadLetterId(id), copy, by).await? {
        true => Ok(()),
        false => Err(Problem::not_found(format!("there is no dead letter {id} any more"))),
    }
}

/// Whether a redrive could deliver the copy; and why its mapping would fail, if so.
async fn check(tell: &Arc<dyn Tell>, letter: DeadLetter, copy: &Bytes, by: &By) -> Result<Option<String>, Problem> {
    if letter.destination.is_none() {
        let tried = tell.intake().publish_mended(&letter.source, copy.clone(), true).await;
        return tried.map(|_| None).map_err(Problem::unusable);
    }
    object(copy).map_err(Problem::unusable)?;
    let edit = Some(Edit { by: by.clone(), body: Some(copy.clone()) });
    let (teller, edited) = (Arc::clone(tell), DeadLetter { edit, ..letter });
    let tried = tokio::task::spawn_blocking(move || teller.try_mapping(&edited).map(drop)).await;
    match tried {
        Ok(Ok(())) => Ok(None),
        Ok(Err(NotMapped::Fails(error))) => Ok(Some(error)),
        Ok(Err(error @ NotMapped::Never(_))) => Err(Problem::unusable(error)),
        Err(_) => Ok(Some("the mapping failed by a bug".to_owned())),
    }
}

/// An event is an object of JSON.
fn object(copy: &Bytes) -> Result<(), BodyError> {
    let whole = [Pointer::default()];
    let found = Lookup::new(&whole).find(copy)?;
    match found.get(0).map(|value| value.kind()) {
        Some(Kind::Object) | None => Ok(()),
        Some(found) => Err(BodyError::NotAnEvent { found }),
    }
}
