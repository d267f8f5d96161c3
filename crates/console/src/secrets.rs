//! The secrets of sources over the admin API: where they come from and how they are used, never what they are.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use intake::KeyStatus;
use serde::Serialize;

use crate::Tell;

pub(crate) fn routes() -> Router<Arc<dyn Tell>> {
    Router::new().route("/api/v1/secrets", get(status))
}

/// The keys of one source.
#[derive(Debug, Serialize)]
struct Source {
    source: String,
    keys: Vec<KeyStatus>,
}

async fn status(State(tell): State<Arc<dyn Tell>>) -> Response {
    let sources: Vec<_> = tell.intake().keys().into_iter().map(|(source, keys)| Source { source, keys }).collect();
    Json(serde_json::json!({ "sources": sources })).into_response()
}
