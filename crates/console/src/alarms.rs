//! Alarms over the admin API, and the hand on a destination that they ask for: pause and resume.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use operate::alarms::Alarm;
use operate::notifier::NotifierStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{Body, Name, Nothing, Query};
use crate::{Answer, Shared, Tell};

/// What is wrong, and who is told of it. Both are bounded, so they need no pages.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Alarms {
    /// The open alarms, the worst first.
    pub open: Vec<Alarm>,
    /// How each notifier is doing.
    pub notifiers: Vec<NotifierStatus>,
}

/// A destination that was paused or resumed.
#[derive(Debug, Serialize, ToSchema)]
struct Switched {
    destination: String,
    paused: bool,
    /// Whether that was otherwise before.
    changed: bool,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pause)).routes(routes!(resume))
}

/// What is wrong now, and how the notifiers are doing
#[utoipa::path(
    get, path = "/api/v1/alarms", operation_id = "alarms", tag = "alarms",
    responses((status = 200, description = "They", body = Alarms)), security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(Nothing {}): Query<Nothing>) -> Answer<Alarms> {
    Ok(Json(tell.alarms()))
}

/// Lets nothing more go out to a destination; what is accepted for it waits
#[utoipa::path(
    post, path = "/api/v1/destinations/{name}/pause", operation_id = "pause_destination", tag = "alarms",
    params(("name" = String, Path, description = "The destination's name")), request_body = Nothing,
    responses((status = 200, description = "Done", body = Switched), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["operate"]))
)]
async fn pause(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    Query(Nothing {}): Query<Nothing>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Switched> {
    set_paused(&*tell, &caller, name, true).await
}

/// Lets deliveries go out to a destination again
#[utoipa::path(
    post, path = "/api/v1/destinations/{name}/resume", operation_id = "resume_destination", tag = "alarms",
    params(("name" = String, Path, description = "The destination's name")), request_body = Nothing,
    responses((status = 200, description = "Done", body = Switched), (status = 404, response = crate::openapi::NotFound)),
    security(("token" = ["operate"]))
)]
async fn resume(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    Query(Nothing {}): Query<Nothing>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Switched> {
    set_paused(&*tell, &caller, name, false).await
}

async fn set_paused(tell: &dyn Tell, caller: &Caller, destination: String, paused: bool) -> Answer<Switched> {
    let Some(changed) = tell.set_paused(&destination, paused, &caller.name) else {
        return Err(Problem::not_found(format!(
            "there is no destination `{destination}`; `aftercall status` lists them"
        )));
    };
    if changed {
        tracing::info!(destination, paused, by = &*caller.name, "a destination was paused or resumed by hand");
    }
    caller.note(tell, if paused { "pause" } else { "resume" }, &destination, "").await;
    Ok(Json(Switched { destination, paused, changed }))
}
