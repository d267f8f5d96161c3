//! The configuration over the admin API: reading it anew, and what `status` tells of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{Body, Nothing, Query};
use crate::{Answer, Shared, Tell};

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigStatus {
    /// Milliseconds of Unix time at which it was read.
    pub loaded_at: i64,
    /// Tells texts of the file apart; none if there is no file.
    pub hash: Option<String>,
    /// Why the file as it was read last is not in force; none if it is.
    pub error: Option<String>,
}

/// The configuration that was read anew, and is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Milliseconds of Unix time at which it was read.
    pub loaded_at: i64,
    /// Tells texts of the file apart.
    pub hash: Option<String>,
    /// What differs from the one before; nothing if it is the same.
    pub changes: Vec<ConfigChange>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigChange {
    /// Its key, such as `destinations.crm` or `routes`.
    pub key: String,
    /// What became of it.
    pub change: ConfigChanged,
}

/// What became of something in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConfigChanged {
    /// It was not there before.
    Added,
    /// It is another one.
    Changed,
    /// It is no more.
    Removed,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(reload))
}

/// Reads the configuration anew and takes it over, as a whole or not at all
#[utoipa::path(
    post, path = "/api/v1/reload", operation_id = "reload", tag = "status", request_body = Nothing,
    responses(
        (status = 200, description = "It is in force", body = Reloaded),
        (
            status = 409, description = "It cannot be used, and the one before stays in force; the detail says why",
            body = Problem, content_type = "application/problem+json"
        )
    ),
    security(("token" = ["admin"]))
)]
async fn reload(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Reloaded> {
    tracing::info!(by = &*caller.name, "the configuration is to be read anew");
    let reloaded = tell.reload().await;
    caller.note(&*tell, "reload", "configuration", reloaded.as_ref().err().map_or("", |problem| problem)).await;
    reloaded.map(Json).map_err(|problem| Problem::new(StatusCode::CONFLICT, "config-refused", problem))
}
