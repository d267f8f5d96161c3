//! Alarms over the admin API, and the hand on a destination that they ask for: pause and resume.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use operate::alarms::Alarm;
use operate::notifier::NotifierStatus;
use serde::{Deserialize, Serialize};

use crate::{Tell, problem};

/// What is wrong, and who is told of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Alarms {
    /// The open alarms, the worst first.
    pub open: Vec<Alarm>,
    /// How each notifier is doing.
    pub notifiers: Vec<NotifierStatus>,
}

type Shared = State<Arc<dyn Tell>>;

pub(crate) fn routes() -> Router<Arc<dyn Tell>> {
    Router::new()
        .route("/api/v1/alarms", get(list))
        .route("/api/v1/destinations/{name}/pause", post(pause))
        .route("/api/v1/destinations/{name}/resume", post(resume))
}

async fn list(State(tell): Shared) -> Response {
    Json(tell.alarms()).into_response()
}

/// A body of JSON is asked for, so that no page of another site can have a browser send it unasked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn pause(tell: Shared, name: Path<String>, asked: Result<Json<Nothing>, JsonRejection>) -> Response {
    set_paused(tell, name, asked, true)
}

async fn resume(tell: Shared, name: Path<String>, asked: Result<Json<Nothing>, JsonRejection>) -> Response {
    set_paused(tell, name, asked, false)
}

fn set_paused(
    State(tell): Shared,
    Path(name): Path<String>,
    asked: Result<Json<Nothing>, JsonRejection>,
    paused: bool,
) -> Response {
    if let Err(rejection) = asked {
        return problem(rejection.status(), &rejection.body_text());
    }
    if !tell.set_paused(&name, paused) {
        return problem(StatusCode::NOT_FOUND, &format!("there is no destination `{name}`"));
    }
    tracing::info!(destination = name, paused, "a destination was paused or resumed by hand");
    Json(serde_json::json!({ "destination": name, "paused": paused })).into_response()
}
