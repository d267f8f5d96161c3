//! The quarantine over the admin API: pages, one with its body, releasing and dropping.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use intake::options::RELEASE_MAX;
use intake::{
    Quarantine, QuarantineEntry, QuarantineError, QuarantineQuery, QuarantineSelection, Quarantined, Release, Released,
};
use serde::{Deserialize, Serialize};

use crate::{Tell, problem};

/// Requests of one page, at most.
const PAGE_MAX: usize = 1_000;
/// Requests of one page, without a setting.
const PAGE: usize = 100;
/// Bytes of a body that are shown as text; all of it can be asked for as it is.
const EXCERPT_BYTES: usize = 4_000;

type Shared = State<Arc<dyn Tell>>;

pub(crate) fn routes() -> Router<Arc<dyn Tell>> {
    Router::new()
        .route("/api/v1/quarantine", get(list))
        .route("/api/v1/quarantine/{id}", get(show))
        .route("/api/v1/quarantine/{id}/body", get(body))
        .route("/api/v1/quarantine/release", post(release))
        .route("/api/v1/quarantine/drop", post(remove))
        .route("/api/v1/quarantine-status", get(status))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Selection {
    source: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Page {
    requests: Vec<QuarantineEntry>,
    /// Ask with `after` this for the next page; none on the last one.
    next: Option<u64>,
}

/// A request as it goes over the wire. Times are milliseconds of Unix time.
#[derive(Debug, Serialize)]
struct Shown {
    id: u64,
    source: Arc<str>,
    received: event::Timestamp,
    sender: std::net::IpAddr,
    reason: &'static str,
    /// What was kept of the headers, with a sign in place of what is no text.
    headers: Vec<(String, String)>,
    /// Where a credential was given, of which only a salted digest was kept.
    credential: Option<String>,
    /// The start of the body as text.
    body: String,
    body_bytes: usize,
}

impl Shown {
    fn new(id: u64, request: Quarantined) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.to_string(), text(value.as_bytes()))
        };
        Self {
            id,
            source: request.source,
            received: request.received,
            sender: request.sender,
            reason: request.reason.code(),
            headers: request.headers.iter().map(header).collect(),
            credential: request.credential.map(|credential| credential.place),
            body: text(&request.body[..request.body.len().min(EXCERPT_BYTES)]),
            body_bytes: request.body.len(),
        }
    }
}

async fn list(State(tell): Shared, selection: Result<Query<Selection>, QueryRejection>) -> Response {
    let Selection { source, after, limit } = match selection {
        Ok(Query(selection)) => selection,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let listed = match of(&*tell) {
        Ok(quarantine) => quarantine.list(QuarantineQuery { source, after, limit }).await,
        Err(error) => Err(error),
    };
    match listed {
        Ok(requests) => {
            let next = requests.last().filter(|_| requests.len() == limit).map(|entry| entry.id);
            Json(Page { requests, next }).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn show(State(tell): Shared, Path(id): Path<String>) -> Response {
    let found = find(&*tell, &id).await;
    found.map_or_else(|refusal| *refusal, |(id, request)| Json(Shown::new(id, request)).into_response())
}

/// The body's bytes, exactly as they came.
async fn body(State(tell): Shared, Path(id): Path<String>) -> Response {
    find(&*tell, &id).await.map_or_else(|refusal| *refusal, |(_, request)| request.body.into_response())
}

async fn find(tell: &dyn Tell, id: &str) -> Result<(u64, Quarantined), Box<Response>> {
    let Ok(id) = id.parse() else {
        let cure = "a request is named by a number, as `quarantine list` shows it";
        return Err(Box::new(problem(StatusCode::BAD_REQUEST, cure)));
    };
    let read = match of(tell) {
        Ok(quarantine) => quarantine.read(id).await,
        Err(error) => Err(error),
    };
    match read {
        Ok(Some(request)) => Ok((id, request)),
        Ok(None) => {
            let detail = format!("there is no request {id} in the quarantine (any more)");
            Err(Box::new(problem(StatusCode::NOT_FOUND, &detail)))
        }
        Err(error) => Err(Box::new(unavailable(&error))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToRelease {
    ids: Vec<u64>,
    #[serde(default)]
    dry_run: bool,
}

/// A body of JSON is asked for, so that no page of another site can have a browser send it unasked; so it is below.
async fn release(State(tell): Shared, asked: Result<Json<ToRelease>, JsonRejection>) -> Response {
    let Json(ToRelease { ids, dry_run }) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    if ids.is_empty() || ids.len() > RELEASE_MAX {
        return problem(StatusCode::BAD_REQUEST, &format!("`ids` must name 1 to {RELEASE_MAX} requests"));
    }
    let releases = match tell.intake().release(&ids, dry_run).await {
        Ok(releases) => releases,
        Err(error) => return unavailable(&error),
    };
    let (mut released, mut failing) = (Vec::new(), Vec::new());
    for Release { id, result } in releases {
        match result {
            Ok(Released::Would) => released.push(serde_json::json!({ "id": id })),
            Ok(Released::Published { accepted, duplicates, events }) => {
                let events: Vec<_> = events.iter().map(ToString::to_string).collect();
                released.push(serde_json::json!({
                    "id": id, "accepted": accepted, "duplicates": duplicates, "events": events,
                }));
            }
            Ok(Released::DeadLetter { id: letter, error }) => {
                released.push(serde_json::json!({ "id": id, "dead_letter": letter, "detail": error }));
            }
            Err(reason) => failing.push(serde_json::json!({ "id": id, "reason": reason.to_string() })),
        }
    }
    if !dry_run {
        tracing::info!(released = released.len(), failing = failing.len(), "refused requests were verified again");
    }
    Json(serde_json::json!({ "released": released, "failing": failing })).into_response()
}

/// Exactly one of the three.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ToDrop {
    ids: Option<Vec<u64>>,
    source: Option<String>,
    all: bool,
}

async fn remove(State(tell): Shared, asked: Result<Json<ToDrop>, JsonRejection>) -> Response {
    let which = match asked {
        Ok(Json(ToDrop { ids: Some(ids), source: None, all: false })) if (1..=PAGE_MAX).contains(&ids.len()) => {
            QuarantineSelection::Ids(ids)
        }
        Ok(Json(ToDrop { ids: None, source: Some(source), all: false })) => QuarantineSelection::Source(source),
        Ok(Json(ToDrop { ids: None, source: None, all: true })) => QuarantineSelection::All,
        Ok(_) => {
            let cure = format!("say exactly one of `ids` (1 to {PAGE_MAX}), `source` and `all`");
            return problem(StatusCode::BAD_REQUEST, &cure);
        }
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let removed = match of(&*tell) {
        Ok(quarantine) => quarantine.remove(which).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(dropped) => {
            tracing::info!(dropped, "refused requests were dropped from the quarantine");
            Json(serde_json::json!({ "dropped": dropped })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn status(State(tell): Shared) -> Response {
    match of(&*tell) {
        Ok(quarantine) => Json(quarantine.status()).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn of(tell: &dyn Tell) -> Result<&Arc<dyn Quarantine>, QuarantineError> {
    tell.intake().quarantine().ok_or_else(|| QuarantineError::Closed("this server has none".to_owned()))
}

fn unavailable(error: &QuarantineError) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}
