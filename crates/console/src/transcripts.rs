//! Transcripts over the admin API: what is stored of a conversation, what is waited for and why, and the text.

mod standing;

use std::sync::Arc;

use ::transcripts::{Erased, Found, ShelfError, Transcripts};
use audit::{Conversation, Subject};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::standing::{Dead, Waiting, standing};
use crate::problem::Problem;
use crate::request::Query;
use crate::{Answer, Shared, Tell};

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(transcripts)).routes(routes!(transcript_text))
}

/// Whose transcripts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OfConversation {
    /// The id of a conversation
    conversation: String,
}

/// Which transcript.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OfOne {
    /// The id of a conversation
    conversation: String,
    /// The communication, if there are several
    #[param(nullable = false)]
    communication: Option<String>,
    /// The recording, if the communication has several
    #[param(nullable = false)]
    recording: Option<String>,
}

/// How the transcripts of a conversation stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcripts)]
struct All {
    /// Those that are stored.
    stored: Vec<Stored>,
    /// Events that ask for some and still wait.
    waiting: Vec<Waiting>,
    /// Events that asked for some in vain.
    dead: Vec<Dead>,
}

/// A transcript that is stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptStored)]
struct Stored {
    /// The destination that fetched it.
    destination: String,
    #[serde(flatten)]
    found: Found,
}

/// The transcripts of a conversation: stored, waited for, never come
#[utoipa::path(
    get, path = "/api/v1/transcripts", operation_id = "transcripts", tag = "transcripts", params(OfConversation),
    responses(
        (status = 200, description = "How they stand; empty if nothing is known", body = All),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["read"]))
)]
async fn transcripts(
    State(tell): Shared,
    Query(OfConversation { conversation }): Query<OfConversation>,
) -> Answer<All> {
    let fetching = of(&*tell)?;
    let mut stored = Vec::new();
    for (destination, transcripts) in &fetching {
        let found = transcripts.found(&conversation).await.map_err(problem)?;
        stored.extend(found.into_iter().map(|found| Stored { destination: destination.clone(), found }));
    }
    let story = tell.queue().trace(Subject::Conversation(Conversation::of(&conversation))).await?;
    let names: Vec<&str> = fetching.iter().map(|(name, _)| name.as_str()).collect();
    let (waiting, dead) = standing(&story, &names);
    Ok(Json(All { stored, waiting, dead }))
}

/// The text of a transcript, as it was stored
#[utoipa::path(
    get, path = "/api/v1/transcripts/text", operation_id = "transcript_text", tag = "transcripts", params(OfOne),
    responses(
        (status = 200, content_type = "application/json", description = "It; a stream that ends early is not whole"),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["read"]))
)]
async fn transcript_text(State(tell): Shared, Query(one): Query<OfOne>) -> Result<Response, Problem> {
    let OfOne { conversation, communication, recording } = one;
    let mut none = None;
    for (_, transcripts) in of(&*tell)? {
        match transcripts.text(&conversation, communication.as_deref(), recording.as_deref()).await {
            Ok(text) => {
                let kind = text.record.content_type.and_then(|kind| HeaderValue::try_from(kind).ok());
                let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
                let length = HeaderValue::from(text.record.bytes);
                let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length)];
                return Ok((headers, Body::from_stream(text.stream)).into_response());
            }
            Err(error @ ShelfError::NotFound) => none = Some(error),
            Err(error) => return Err(problem(error)),
        }
    }
    Err(problem(none.unwrap_or(ShelfError::NotFound)))
}

/// Removes what is stored of a conversation, or only counts it. None without a destination that fetches transcripts.
pub(crate) async fn erase(tell: &dyn Tell, conversation: &str, dry_run: bool) -> Result<Option<Erased>, ShelfError> {
    let mut all: Option<Erased> = None;
    for (_, transcripts) in tell.transcripts() {
        let erased = transcripts.erase(conversation, dry_run).await?;
        let all = all.get_or_insert_default();
        all.transcripts += erased.transcripts;
        all.bytes += erased.bytes;
    }
    Ok(all)
}

fn of(tell: &dyn Tell) -> Result<Vec<(String, Transcripts)>, Problem> {
    let fetching = tell.transcripts();
    if fetching.is_empty() {
        return Err(Problem::not_found(
            "no destination of kind \"transcripts\" is configured; see docs/transcripts.md",
        ));
    }
    Ok(fetching)
}

fn problem(error: ShelfError) -> Problem {
    match error {
        ShelfError::NotFound => Problem::not_found(error),
        ShelfError::Several(_) => Problem::new(StatusCode::CONFLICT, "several-transcripts", error),
        ShelfError::Id(_) => Problem::bad(error),
        ShelfError::Store(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", error).with(header::RETRY_AFTER, 10)
        }
    }
}
