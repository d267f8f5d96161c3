//! `GET /metrics`: the state of the server for Prometheus, in the text format of OpenMetrics 1.0.
//!
//! It is what [`Status`] says, at the moment somebody asks; nothing is counted for it. Labels are names that the
//! configuration gives, codes and classes: never what a sender wrote.

mod families;

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::request::{Nothing, Query};
use crate::{Shared, Status, Tell};

/// <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#protocol-negotiation>
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The state of the server for Prometheus
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "status",
    responses((status = 200, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text")),
    security(("token" = ["read"]))
)]
async fn metrics(State(tell): Shared, Query(Nothing {}): Query<Nothing>) -> Result<Response, Problem> {
    let status = tell.status().await?;
    let failed = |fmt::Error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics cannot be written; /api/v1/status can")
    };
    let text = exposition(status).map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// A status as OpenMetrics.
fn exposition(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(status)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Status);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::write(&self.0, encoder)
    }
}
