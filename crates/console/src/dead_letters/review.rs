//! How far people are with a group of dead letters.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use queue::{By, DeadLetterGroup, DeadLetterQuery, Fingerprint, NoFingerprint};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::REASON_MAX;
use super::wire::SetReview;
use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{Body, Name, Nothing, Query};
use crate::{Answer, Shared, Tell};

pub(super) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(set))
}

/// Says that a group is acknowledged, resolved, or open again; a letter that dies later opens it by itself
#[utoipa::path(
    put, path = "/api/v1/dead-letter-groups/{group}/review", operation_id = "review_dead_letter_group",
    tag = "dead letters", params(("group" = inline(Fingerprint), Path, description = "Its name")),
    request_body = SetReview,
    responses(
        (status = 200, description = "The group as it is now", body = DeadLetterGroup),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["operate"]))
)]
async fn set(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Name(group): Name,
    Query(Nothing {}): Query<Nothing>,
    Body(SetReview { state, note }): Body<SetReview>,
) -> Answer<DeadLetterGroup> {
    let group: Fingerprint = group.parse().map_err(|error: NoFingerprint| Problem::bad(error))?;
    if note.chars().count() > REASON_MAX {
        return Err(Problem::unusable(format!("`note` must have at most {REASON_MAX} characters")));
    }
    let found = async || {
        let query = DeadLetterQuery { group: Some(group), ..DeadLetterQuery::default() };
        let groups = tell.queue().dead_letter_groups(query).await?;
        let missing = || Problem::not_found(format!("there is no group {group} (any more): it has no dead letters"));
        groups.into_iter().find(|found| found.fingerprint == group).ok_or_else(missing)
    };
    found().await?;
    let by = By::new(Arc::clone(&caller.name), tell.now()).because(note.as_str());
    tell.queue().set_review(group, state, by).await?;
    let (state, by) = (state.as_str(), &*caller.name);
    tracing::info!(%group, state, note, by, "the state of a group of dead letters was set");
    Ok(Json(found().await?))
}
