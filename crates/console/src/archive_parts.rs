//! The archive over the admin API: its parts, their check, and an export at once.

use std::sync::Arc;

use archive::{Archive, Listed, Verified};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::{Body, Nothing, Query};
use crate::{Answer, Shared, Tell};

/// Parts that one request checks: each is read as a whole.
const VERIFY_MAX: usize = 10;
/// Parts that one request exports.
const EXPORT_MAX: usize = 4;

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify)).routes(routes!(run))
}

pub(crate) fn of(tell: &dyn Tell) -> Result<&Archive, Problem> {
    tell.archive().ok_or_else(|| Problem::from(archive::Error::NotConfigured))
}

impl From<archive::Error> for Problem {
    fn from(error: archive::Error) -> Self {
        use archive::Error;
        match error {
            Error::Queue(queue::QueueError::Invalid(detail)) | Error::Invalid(detail) => {
                Self::new(StatusCode::CONFLICT, "unusable-choice", detail)
            }
            Error::Queue(error) => error.into(),
            Error::NotConfigured => Self::not_found(error),
            Error::Damaged { .. } => Self::new(StatusCode::CONFLICT, "archive-damaged", error),
            Error::OtherQueue(_) => Self::new(StatusCode::CONFLICT, "archive-of-another-queue", error),
            Error::Unreachable(_) | Error::Erased => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "archive-unavailable", error)
            }
        }
    }
}

/// Which page of parts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PartsQuery {
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false, max_length = 1024)]
    cursor: Option<String>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A page of parts, in the order of their names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArchivePartPage)]
struct Parts {
    parts: Vec<Listed>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// Lists the parts of the archive
#[utoipa::path(
    get, path = "/api/v1/archive/parts", operation_id = "list_archive_parts", tag = "archive",
    params(PartsQuery),
    responses(
        (status = 200, description = "A page of them", body = Parts),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(query): Query<PartsQuery>) -> Answer<Parts> {
    let limit = query.limit.0;
    let mut parts = of(&*tell)?.list(page::part(query.cursor.as_deref())?, limit + 1).await?;
    let more = parts.len() > limit;
    parts.truncate(limit);
    let next = parts.last().filter(|_| more).map(|part| part.manifest.clone());
    Ok(Json(Parts { parts, next }))
}

/// Which parts are checked.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// Where to begin: `next` of the answer before.
    #[param(nullable = false, max_length = 1024)]
    cursor: Option<String>,
}

/// What became of the check of some parts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArchiveVerification)]
struct Verification {
    parts: Vec<Verified>,
    /// Ask with `cursor` this for the next parts; none after the last.
    next: Option<String>,
}

/// Checks some parts of the archive against their checksums, line by line
#[utoipa::path(
    get, path = "/api/v1/archive/verify", operation_id = "verify_archive", tag = "archive",
    params(VerifyQuery),
    responses(
        (status = 200, description = "What was found", body = Verification),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["read"]))
)]
async fn verify(State(tell): Shared, Query(query): Query<VerifyQuery>) -> Answer<Verification> {
    let archive = of(&*tell)?;
    let mut page = archive.verify(page::part(query.cursor.as_deref())?, VERIFY_MAX).await?;
    if page.next.is_none() {
        page.parts.extend(archive.verify_aside(tell.queue(), tell.now()).await?);
    }
    Ok(Json(Verification { parts: page.parts, next: page.next }))
}

/// What is exported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ArchiveRun)]
struct Asked {
    /// Also what was received in the hour that is not over; what comes later in it will be in a further part.
    #[serde(default)]
    open_hour: bool,
}

/// What was exported.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ArchiveExported)]
struct Exported {
    parts: u64,
    events: u64,
    /// There is more to export; ask again.
    more: bool,
    /// Parts that were missing and are written again.
    mended: u64,
}

/// Exports closed hours now
#[utoipa::path(
    post, path = "/api/v1/archive/run", operation_id = "run_archive", tag = "archive", request_body = Asked,
    responses(
        (status = 200, description = "What was exported", body = Exported),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["operate"]))
)]
async fn run(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(asked): Body<Asked>,
) -> Answer<Exported> {
    let archive = of(&*tell)?;
    let mut done = Exported::default();
    for _ in 0..EXPORT_MAX {
        let exported = archive.export_part(tell.queue(), tell.now(), asked.open_hour).await;
        match exported.inspect_err(|error| archive.failed(error, tell.now()))? {
            Some(part) => {
                done.parts += 1;
                done.events += part.count;
            }
            None => {
                done.mended =
                    archive.mend(tell.queue()).await.inspect_err(|error| archive.failed(error, tell.now()))?;
                archive.worked();
                tracing::info!(events = done.events, by = &*caller.name, "the archive was asked to export");
                return Ok(Json(done));
            }
        }
    }
    done.more = true;
    Ok(Json(done))
}
