//! The quarantine over the admin API: pages, one with its body, releasing and dropping.

mod wire;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use intake::options::RELEASE_MAX;
use intake::{Quarantine, QuarantineError, QuarantineQuery, QuarantineSelection, QuarantineStatus, Quarantined};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::wire::{Dropped, Outcome, Page, RequestsQuery, Shown, ToDrop, ToRelease, ToTry};
use crate::access::Caller;
use crate::page::{self, PAGE_MAX};
use crate::problem::Problem;
use crate::request::{self, Body, Id, Nothing, Number, Query};
use crate::{Answer, Shared, Tell};

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(body))
        .routes(routes!(dry_run))
        .routes(routes!(release))
        .routes(routes!(remove))
        .routes(routes!(status))
}

/// Lists refused requests, the oldest first
#[utoipa::path(
    get, path = "/api/v1/quarantine", operation_id = "list_quarantine", tag = "quarantine",
    params(RequestsQuery), responses((status = 200, description = "A page of them", body = Page)),
    security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(query): Query<RequestsQuery>) -> Answer<Page> {
    let limit = query.limit.0;
    let after = page::after(query.after, query.cursor.as_deref())?;
    let asked = QuarantineQuery { source: query.source, after, limit: limit + 1 };
    let mut requests = of(&*tell)?.list(asked).await?;
    let more = requests.len() > limit;
    requests.truncate(limit);
    let next = requests.last().filter(|_| more).map(|entry| page::digits(entry.id));
    Ok(Json(Page { requests, next }))
}

/// Shows a refused request with the start of its body
#[utoipa::path(
    get, path = "/api/v1/quarantine/{id}", operation_id = "show_quarantine", tag = "quarantine",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses((status = 200, description = "It", body = Shown), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["read"]))
)]
async fn show(State(tell): Shared, Id(id): Id, Query(Nothing {}): Query<Nothing>) -> Answer<Shown> {
    let request = find(&*tell, id).await?;
    let opened = tell.intake().opened(&request.source, request.body);
    let body = opened.unwrap_or_else(|error| Bytes::from(format!("(the body is sealed: it {error})")));
    Ok(Json(Shown::new(id, Quarantined { body, ..request })))
}

/// The body's bytes, exactly as they came
#[utoipa::path(
    get, path = "/api/v1/quarantine/{id}/body", operation_id = "read_quarantine_body", tag = "quarantine",
    params(("id" = inline(Number), Path, description = "Its number")),
    responses(
        (status = 200, description = "They", content_type = "application/octet-stream"),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["read"]))
)]
async fn body(State(tell): Shared, Id(id): Id, Query(Nothing {}): Query<Nothing>) -> Result<Response, Problem> {
    let request = find(&*tell, id).await?;
    let opened = tell.intake().opened(&request.source, request.body);
    Ok(opened.map_err(|error| Problem::unusable(format!("the body {error}")))?.into_response())
}

async fn find(tell: &dyn Tell, id: u64) -> Result<Quarantined, Problem> {
    let found = of(tell)?.read(id).await?;
    found.ok_or_else(|| Problem::not_found(format!("there is no request {id} in the quarantine (any more)")))
}

/// Verifies refused requests again, and publishes those that are genuine
#[utoipa::path(
    post, path = "/api/v1/quarantine/release", operation_id = "release_quarantine", tag = "quarantine",
    request_body = ToRelease, responses((status = 200, description = "What became of them", body = Outcome)),
    security(("token" = ["operate"]))
)]
async fn release(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(ToRelease { ids, dry_run }): Body<ToRelease>,
) -> Answer<Outcome> {
    let ids = request::ids(ids, RELEASE_MAX, "requests")?;
    let mut done = Outcome::default();
    tell.intake().release(&ids, dry_run).await?.into_iter().for_each(|release| done.add(release));
    if !dry_run {
        let (released, failing, by) = (done.released.len(), done.failing.len(), &*caller.name);
        tracing::info!(released, failing, by, "refused requests were verified again");
        caller.note(&*tell, "release", "quarantine", format!("{released} released, {failing} failing")).await;
    }
    Ok(Json(done))
}

/// Verifies refused requests again, and changes nothing
#[utoipa::path(
    post, path = "/api/v1/quarantine/dry-run", operation_id = "try_quarantine", tag = "quarantine",
    request_body = ToTry, responses((status = 200, description = "What would become of them", body = Outcome)),
    security(("token" = ["read"]))
)]
async fn dry_run(
    State(tell): Shared,
    Query(Nothing {}): Query<Nothing>,
    Body(ToTry { ids }): Body<ToTry>,
) -> Answer<Outcome> {
    let ids = request::ids(ids, RELEASE_MAX, "requests")?;
    let mut done = Outcome::default();
    tell.intake().release(&ids, true).await?.into_iter().for_each(|release| done.add(release));
    Ok(Json(done))
}

/// Drops refused requests for good
#[utoipa::path(
    post, path = "/api/v1/quarantine/drop", operation_id = "drop_quarantine", tag = "quarantine",
    request_body = ToDrop, responses((status = 200, description = "How many were dropped", body = Dropped)),
    security(("token" = ["operate"]))
)]
async fn remove(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(asked): Body<ToDrop>,
) -> Answer<Dropped> {
    let which = match asked {
        ToDrop::Ids(ids) => QuarantineSelection::Ids(request::ids(ids, PAGE_MAX, "requests")?),
        ToDrop::Source(source) => QuarantineSelection::Source(source),
        ToDrop::All => QuarantineSelection::All,
    };
    let dropped = of(&*tell)?.remove(which).await?;
    tracing::info!(dropped, by = &*caller.name, "refused requests were dropped from the quarantine");
    caller.note(&*tell, "drop", "quarantine", format!("{dropped} dropped")).await;
    Ok(Json(Dropped { dropped }))
}

/// How many refused requests there are, and how many were left out
#[utoipa::path(
    get, path = "/api/v1/quarantine-status", operation_id = "quarantine_status", tag = "quarantine",
    responses((status = 200, description = "By source", body = QuarantineStatus)), security(("token" = ["read"]))
)]
async fn status(State(tell): Shared, Query(Nothing {}): Query<Nothing>) -> Answer<QuarantineStatus> {
    Ok(Json(of(&*tell)?.status()))
}

pub(crate) fn of(tell: &dyn Tell) -> Result<&Arc<dyn Quarantine>, QuarantineError> {
    tell.intake().quarantine().ok_or_else(|| QuarantineError::Closed("this server has none".to_owned()))
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "quarantine-unavailable", error).with(header::RETRY_AFTER, 1)
    }
}
