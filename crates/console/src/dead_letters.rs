//! Dead letters over the admin API: pages, groups, one with its body, and discarding.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use event::Timestamp;
use queue::{DeadLetter, DeadLetterId, DeadLetterQuery, Failure, Fingerprint, NotRedriven, RedriveOutcome, Stage};
use serde::{Deserialize, Serialize};

use crate::{Tell, problem, unavailable};

/// Dead letters of one page, at most: each may have a message and an excerpt of some hundred bytes.
const PAGE_MAX: usize = 1_000;
/// Dead letters discarded by one request, at most: they are dropped in one commit.
const DISCARD_MAX: usize = 10_000;
/// Bytes of a payload that a dry run shows.
const PAYLOAD_SHOWN: usize = 2_000;
/// Characters of a reason, at most.
const REASON_MAX: usize = 500;

type Shared = State<Arc<dyn Tell>>;

pub(crate) fn routes() -> Router<Arc<dyn Tell>> {
    Router::new()
        .route("/api/v1/dead-letters", get(list))
        .route("/api/v1/dead-letters/{id}", get(show))
        .route("/api/v1/dead-letters/{id}/body", get(body))
        .route("/api/v1/dead-letters/dry-run", post(dry_run))
        .route("/api/v1/dead-letters/redrive", post(redrive))
        .route("/api/v1/dead-letters/discard", post(discard))
        .route("/api/v1/dead-letter-groups", get(groups))
}

/// What selects dead letters; every condition may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Selection {
    destination: Option<String>,
    conversation: Option<String>,
    stage: Option<Stage>,
    group: Option<Fingerprint>,
    /// Milliseconds of Unix time.
    since: Option<i64>,
    /// Milliseconds of Unix time.
    until: Option<i64>,
    after: Option<u64>,
    limit: Option<usize>,
}

impl From<Selection> for DeadLetterQuery {
    fn from(selection: Selection) -> Self {
        Self {
            destination: selection.destination,
            conversation: selection.conversation,
            stage: selection.stage,
            group: selection.group,
            since: selection.since.map(Timestamp::from_millis),
            until: selection.until.map(Timestamp::from_millis),
            after: selection.after.map(DeadLetterId),
            limit: selection.limit.unwrap_or(DeadLetterQuery::DEFAULT_LIMIT).clamp(1, PAGE_MAX),
        }
    }
}

#[derive(Debug, Serialize)]
struct Page {
    dead_letters: Vec<Shown>,
    /// Ask with `after` this for the next page; none on the last one.
    next: Option<DeadLetterId>,
}

/// A dead letter as it goes over the wire. Times are milliseconds of Unix time.
#[derive(Debug, Serialize)]
struct Shown {
    id: DeadLetterId,
    group: Fingerprint,
    died: Timestamp,
    destination: Option<Arc<str>>,
    event: Option<String>,
    seq: Option<u64>,
    source: Arc<str>,
    topic: Arc<str>,
    conversation: Option<Arc<str>>,
    attempts: u32,
    charged: u32,
    first_attempt: Option<Timestamp>,
    last_attempt: Option<Timestamp>,
    failure: Failure,
    /// The event's bytes as text, with a sign in place of what is none; only of a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// How many bytes there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<usize>,
}

impl From<DeadLetter> for Shown {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            group: letter.fingerprint(),
            died: letter.died,
            destination: letter.destination,
            event: letter.event.map(|event| event.to_string()),
            seq: letter.seq.map(|seq| seq.0),
            source: letter.source,
            topic: letter.topic,
            conversation: letter.conversation,
            attempts: letter.attempts.made,
            charged: letter.attempts.charged,
            first_attempt: letter.attempts.first,
            last_attempt: letter.attempts.last,
            failure: letter.failure,
            body_bytes: letter.body.as_ref().map(|body| body.len()),
            body: letter.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
        }
    }
}

async fn list(State(tell): Shared, selection: Result<Query<Selection>, QueryRejection>) -> Response {
    let query: DeadLetterQuery = match selection {
        Ok(Query(selection)) => selection.into(),
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = query.limit;
    match tell.queue().dead_letters(query).await {
        Ok(letters) => {
            let next = letters.last().filter(|_| letters.len() == limit).map(|letter| letter.id);
            Json(Page { dead_letters: letters.into_iter().map(Shown::from).collect(), next }).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn groups(State(tell): Shared, selection: Result<Query<Selection>, QueryRejection>) -> Response {
    let query = match selection {
        Ok(Query(selection)) => selection.into(),
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    match tell.queue().dead_letter_groups(query).await {
        Ok(groups) => Json(serde_json::json!({ "groups": groups })).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn show(State(tell): Shared, Path(id): Path<String>) -> Response {
    find(&*tell, &id).await.map_or_else(|refusal| refusal, |letter| Json(Shown::from(letter)).into_response())
}

/// The event's bytes, exactly as they were accepted.
async fn body(State(tell): Shared, Path(id): Path<String>) -> Response {
    match find(&*tell, &id).await {
        Ok(DeadLetter { body: Some(body), .. }) => body.into_response(),
        Ok(_) => problem(StatusCode::NOT_FOUND, "the bytes of its event are damaged or missing; run `aftercall check`"),
        Err(refusal) => refusal,
    }
}

async fn find(tell: &dyn Tell, id: &str) -> Result<DeadLetter, Response> {
    let Ok(id) = id.parse() else {
        let cure = "a dead letter is named by a number, as `dead-letters list` shows it";
        return Err(problem(StatusCode::BAD_REQUEST, cure));
    };
    match tell.queue().dead_letter(DeadLetterId(id)).await {
        Ok(Some(letter)) => Ok(letter),
        Ok(None) => Err(problem(StatusCode::NOT_FOUND, &format!("there is no dead letter {id}"))),
        Err(error) => Err(unavailable(&error)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<u64>,
}

impl Ids {
    fn of(asked: Result<Json<Self>, JsonRejection>) -> Result<Vec<DeadLetterId>, Box<Response>> {
        let Json(Self { ids }) =
            asked.map_err(|rejection| Box::new(problem(rejection.status(), &rejection.body_text())))?;
        if ids.is_empty() || ids.len() > PAGE_MAX {
            let detail = format!("`ids` must name 1 to {PAGE_MAX} dead letters");
            return Err(Box::new(problem(StatusCode::BAD_REQUEST, &detail)));
        }
        Ok(ids.into_iter().map(DeadLetterId).collect())
    }
}

/// What the present mapping makes of a dead letter.
#[derive(Debug, Serialize)]
struct Tried {
    id: DeadLetterId,
    /// Why it failed when it died.
    before: Option<String>,
    /// The start of what would be sent now.
    payload: Option<String>,
    /// Why nothing would be sent now.
    error: Option<String>,
}

/// A body of JSON is asked for, so that no page of another site can have a browser send it unasked; so it is below.
async fn dry_run(State(tell): Shared, asked: Result<Json<Ids>, JsonRejection>) -> Response {
    let ids = match Ids::of(asked) {
        Ok(ids) => ids,
        Err(refusal) => return *refusal,
    };
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        match tell.queue().dead_letter(id).await {
            Ok(Some(letter)) => {
                let teller = Arc::clone(&tell);
                let tried = tokio::task::spawn_blocking(move || try_one(&*teller, letter)).await;
                results.push(tried.unwrap_or_else(|_| failed(id, None, "the mapping failed by a bug".to_owned())));
            }
            Ok(None) => results.push(failed(id, None, NotRedriven::Missing.to_string())),
            Err(error) => return unavailable(&error),
        }
    }
    let failing = results.iter().filter(|tried| tried.error.is_some()).count();
    let body = serde_json::json!({ "pass": results.len() - failing, "fail": failing, "results": results });
    Json(body).into_response()
}

fn try_one(tell: &dyn Tell, letter: DeadLetter) -> Tried {
    let before = Some(letter.failure.message.clone());
    match tell.try_mapping(&letter) {
        Ok(payload) => {
            let shown = &payload[..payload.len().min(PAYLOAD_SHOWN)];
            let payload = Some(String::from_utf8_lossy(shown).into_owned());
            Tried { id: letter.id, before, payload, error: None }
        }
        Err(error) => failed(letter.id, before, error),
    }
}

fn failed(id: DeadLetterId, before: Option<String>, error: String) -> Tried {
    Tried { id, before, payload: None, error: Some(error) }
}

async fn redrive(State(tell): Shared, asked: Result<Json<Ids>, JsonRejection>) -> Response {
    let ids = match Ids::of(asked) {
        Ok(ids) => ids,
        Err(refusal) => return *refusal,
    };
    match tell.queue().redrive(ids, tell.now()).await {
        Ok(outcomes) => {
            let (mut redriven, mut refused) = (Vec::new(), Vec::new());
            for RedriveOutcome { id, result } in outcomes {
                match result {
                    Ok(seq) => redriven.push(serde_json::json!({ "id": id, "seq": seq })),
                    Err(reason) => refused.push(serde_json::json!({ "id": id, "reason": reason.to_string() })),
                }
            }
            tracing::info!(redriven = redriven.len(), refused = refused.len(), "dead letters were redriven");
            Json(serde_json::json!({ "redriven": redriven, "refused": refused })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discard {
    ids: Vec<u64>,
    reason: String,
}

async fn discard(State(tell): Shared, asked: Result<Json<Discard>, JsonRejection>) -> Response {
    let Json(Discard { ids, reason }) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    if ids.is_empty() || ids.len() > DISCARD_MAX {
        return problem(StatusCode::BAD_REQUEST, &format!("`ids` must name 1 to {DISCARD_MAX} dead letters"));
    }
    if reason.trim().is_empty() || reason.chars().count() > REASON_MAX {
        return problem(StatusCode::BAD_REQUEST, &format!("`reason` must have 1 to {REASON_MAX} characters"));
    }
    match tell.queue().discard(ids.into_iter().map(DeadLetterId).collect()).await {
        Ok(letters) => {
            for letter in &letters {
                let (id, event) = (letter.id.0, letter.event.map(|event| event.to_string()));
                let destination = letter.destination.as_deref();
                tracing::info!(dead_letter = id, event, destination, reason, "a dead letter was discarded");
            }
            let discarded: Vec<_> = letters.into_iter().map(|letter| letter.id).collect();
            Json(serde_json::json!({ "discarded": discarded })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}
