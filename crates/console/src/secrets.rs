//! The secrets of sources over the admin API: where they come from and how they are used, never what they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use intake::KeyStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::request::{Nothing, Query};
use crate::{Answer, Shared, Tell};

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The secrets of all sources. There are as many as the configuration names.
#[derive(Debug, Serialize, ToSchema)]
struct Secrets {
    /// Whether it is known what keys were used for before the server was started. If not, because the quarantine is
    /// closed, a key without a `last_used` may have been used then.
    past_known: bool,
    sources: Vec<SourceKeys>,
}

/// The keys of one source.
#[derive(Debug, Serialize, ToSchema)]
struct SourceKeys {
    source: String,
    keys: Vec<KeyStatus>,
}

/// Which secrets are in use, and when each was last used
#[utoipa::path(
    get, path = "/api/v1/secrets", operation_id = "secrets", tag = "access",
    responses((status = 200, description = "They", body = Secrets)), security(("token" = ["read"]))
)]
async fn status(State(tell): Shared, Query(Nothing {}): Query<Nothing>) -> Answer<Secrets> {
    let past_known = tell.intake().knows_past_key_uses();
    let sources = tell.intake().keys().into_iter().map(|(source, keys)| SourceKeys { source, keys }).collect();
    Ok(Json(Secrets { past_known, sources }))
}
