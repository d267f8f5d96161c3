//! Erasing what was said in a conversation, over the admin API: from the queue and the quarantine at once, and from the
//! archive a few parts at a time.

use std::sync::Arc;

use archive::ErasedParts;
use audit::Conversation;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use intake::SpoolError;
use queue::{By, DeadLetterQuery, Erased, Erasure, Mention, Stage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::problem::Problem;
use crate::request::{Body, Nothing, Query};
use crate::{Answer, Shared, Tell, archive_parts, dead_letters, quarantine, transcripts};

/// Parts of the archive that one request goes through: each is read as a whole.
const PARTS_MAX: usize = 4;
/// Dead letters that are looked up at a time, without their bodies.
const LETTERS: usize = 200;
/// Bytes of the name of a conversation, at most.
const NAME_MAX: usize = 1_024;

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(erase_archived)).routes(routes!(erase_delivered))
}

/// What is erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ToErase {
    /// The conversation's id.
    #[schema(min_length = 1, max_length = 1024)]
    conversation: String,
    /// Why; stays in the audit trail, so it must not name anybody.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// What is erased from the archive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ToEraseArchived)]
struct ToEraseArchived {
    /// The conversation's id.
    #[schema(min_length = 1, max_length = 1024)]
    conversation: String,
    /// Why; stays in the audit trail, so it must not name anybody.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
    /// Where to begin: `next` of the answer before.
    #[serde(default)]
    #[schema(max_length = 1024)]
    cursor: Option<String>,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasedHere)]
struct Done {
    /// From the queue.
    queue: Erased,
    /// Large bodies in the spool that could not be read and name the conversation.
    spooled: u64,
    /// Refused requests that name the conversation; none if the quarantine is out of order.
    quarantined: Option<u64>,
    /// Why the quarantine could not be asked.
    quarantine_error: Option<String>,
    /// Transcripts; none if no destination fetches any, or their store cannot be asked.
    transcripts: Option<::transcripts::Erased>,
    /// Why transcripts could not be erased.
    transcripts_error: Option<String>,
    /// Whether there is an archive, from which it has to be erased too.
    archive: bool,
    /// The destinations from which it has to be erased too.
    destinations: Vec<String>,
}

/// What is erased from a destination.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ToEraseDelivered)]
struct ToEraseDelivered {
    /// The conversation's id.
    #[schema(min_length = 1, max_length = 1024)]
    conversation: String,
    /// Why; stays in the audit trail, so it must not name anybody.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
    /// The destination: one of `destinations` of the answer to `erase`.
    #[schema(max_length = 1024)]
    destination: String,
    /// Where to begin: `next` of the answer before.
    #[serde(default)]
    #[schema(max_length = 1024)]
    cursor: Option<String>,
}

/// A part of what is erased from a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseAt {
    /// The destination.
    pub destination: String,
    /// The conversation's id.
    pub conversation: String,
    /// Only count.
    pub dry_run: bool,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// What was erased from a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasedAt {
    /// Deliveries that it had taken over and not written yet.
    pub waiting: u64,
    /// Rows of files, or objects.
    pub rows: u64,
    /// Files that were made anew without them, or objects that were deleted.
    pub files: u64,
    /// Bytes, as far as they are known: of what was waiting, and of objects.
    pub bytes: u64,
    /// Files or objects that were looked at.
    pub looked: u64,
    /// What holds something of it still.
    pub kept: Vec<KeptAt>,
    /// Where to go on; none if this was the end.
    pub next: Option<String>,
}

/// What could not be erased from a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeptAt {
    /// The file or object, from the root of the destination.
    pub name: String,
    /// How many rows it has of the conversation, if that is known.
    pub rows: Option<u64>,
    /// Why, and what to do.
    pub why: String,
}

fn check(conversation: &str, reason: &str) -> Result<(), Problem> {
    if conversation.is_empty() || conversation.len() > NAME_MAX {
        return Err(Problem::unusable(format!("`conversation` must have 1 to {NAME_MAX} bytes")));
    }
    dead_letters::reason(reason)
}

/// Erases the bodies of a conversation from the queue, its dead letters and the quarantine
#[utoipa::path(
    post, path = "/api/v1/erase", operation_id = "erase", tag = "erasing", request_body = ToErase,
    responses(
        (status = 200, description = "What was erased", body = Done),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["admin"]))
)]
async fn erase(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(ToErase { conversation, reason, dry_run }): Body<ToErase>,
) -> Answer<Done> {
    check(&conversation, &reason)?;
    let spooled = tell.intake().erase_spooled(&conversation, dry_run).await.map_err(spool_problem)?;
    let by = By::new(Arc::clone(&caller.name), tell.now()).because(reason.as_str());
    let refused = match quarantine::of(&*tell) {
        Ok(_) => tell.intake().erase_refused(&conversation, dry_run).await,
        Err(_) => Ok(0),
    };
    let (quarantined, quarantine_error) = match refused {
        Ok(count) => (Some(count), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let hash = Conversation::of(&conversation);
    if spooled > 0 && !dry_run {
        let detail = format!("{spooled} large bodies that name conversation {hash}: {reason}");
        caller.note(&*tell, "erase", "spool", detail).await;
    }
    if let Some(count @ 1..) = quarantined.filter(|_| !dry_run) {
        let detail = format!("{count} requests that name conversation {hash}: {reason}");
        caller.note(&*tell, "erase", "quarantine", detail).await;
    }
    // After the queue nothing more asks for them; what is being fetched now may still arrive.
    let sealed = erase_sealed(&*tell, &conversation, dry_run, &by).await?;
    let erasure = Erasure { conversation: conversation.clone(), dry_run, by };
    let mut queue = tell.queue().erase(erasure).await?;
    queue.dead_letters += sealed;
    let (transcripts, transcripts_error) = match transcripts::erase(&*tell, &conversation, dry_run).await {
        Ok(erased) => (erased, None),
        Err(error) => (None, Some(error.to_string())),
    };
    if let Some(erased) = transcripts.filter(|erased| erased.transcripts > 0 && !dry_run) {
        let detail = format!("{} transcripts of conversation {hash}: {reason}", erased.transcripts);
        caller.note(&*tell, "erase", "transcripts", detail).await;
    }
    let (archive, destinations) = (tell.archive().is_some(), tell.erasing());
    let done =
        Done { queue, spooled, quarantined, quarantine_error, transcripts, transcripts_error, archive, destinations };
    Ok(Json(done))
}

fn spool_problem(error: SpoolError) -> Problem {
    match error {
        SpoolError::Pending => Problem::new(StatusCode::CONFLICT, "batch-pending", error),
        SpoolError::Failed(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error),
    }
}

/// Drops the dead letters whose sealed bodies, once opened, name the conversation; or only counts them. The queue cannot
/// see what is in them. Their bytes may stay on the disk for a while, as unreadable as before.
async fn erase_sealed(tell: &dyn Tell, conversation: &str, dry_run: bool, by: &By) -> Result<u64, Problem> {
    if tell.intake().redaction_keys().is_none() {
        return Ok(0);
    }
    let mention = Mention::of(conversation);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let query = DeadLetterQuery { stage: Some(Stage::Intake), after, limit: LETTERS, ..DeadLetterQuery::default() };
        let page = tell.queue().dead_letters(query).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for listed in page {
            let Some(letter) = tell.queue().dead_letter(listed.id).await? else { continue };
            let edit = letter.edit.and_then(|edit| edit.body);
            let mut bodies = letter.body.into_iter().chain(edit);
            if bodies.any(|body| tell.intake().sealed_mentions(&letter.source, body, &mention)) {
                found.push(listed.id);
            }
        }
    }
    if !dry_run {
        for some in found.chunks(LETTERS) {
            tell.queue().discard(some.to_vec(), by.clone()).await?;
        }
    }
    Ok(found.len() as u64)
}

/// Erases the bodies of a conversation from some parts of the archive
#[utoipa::path(
    post, path = "/api/v1/erase/archive", operation_id = "erase_archived", tag = "erasing",
    request_body = ToEraseArchived,
    responses(
        (status = 200, description = "What was erased; ask again while there is a `next`", body = ErasedParts),
        (status = 404, response = crate::openapi::NotFound),
        (status = 409, response = crate::openapi::Conflict)
    ),
    security(("token" = ["admin"]))
)]
async fn erase_archived(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(ToEraseArchived { conversation, reason, dry_run, cursor }): Body<ToEraseArchived>,
) -> Answer<ErasedParts> {
    check(&conversation, &reason)?;
    let archive = archive_parts::of(&*tell)?;
    let erased = archive.erase(&conversation, dry_run, crate::page::part(cursor.as_deref())?, PARTS_MAX).await?;
    if erased.events > 0 && !dry_run {
        let hash = Conversation::of(&conversation);
        let detail = format!("{} events of conversation {hash} in {} parts: {reason}", erased.events, erased.parts);
        caller.note(&*tell, "erase", "archive", detail).await;
    }
    Ok(Json(erased))
}

/// Erases a conversation from some of what a destination has written
///
/// Destinations that others keep have what they were given; here are those whose files and objects are this server's own.
#[utoipa::path(
    post, path = "/api/v1/erase/delivered", operation_id = "erase_delivered", tag = "erasing",
    request_body = ToEraseDelivered,
    responses(
        (status = 200, description = "What was erased; ask again while there is a `next`", body = ErasedAt),
        (status = 404, response = crate::openapi::NotFound)
    ),
    security(("token" = ["admin"]))
)]
async fn erase_delivered(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(ToEraseDelivered { conversation, reason, dry_run, destination, cursor }): Body<ToEraseDelivered>,
) -> Answer<ErasedAt> {
    check(&conversation, &reason)?;
    let hash = Conversation::of(&conversation);
    let asked = EraseAt { destination: destination.clone(), conversation, dry_run, cursor };
    let Some(erased) = tell.erase_at(asked).await else {
        let problem = format!("there is no destination `{destination}` that a conversation can be erased from");
        return Err(Problem::not_found(problem));
    };
    let unavailable = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "destination-unavailable", error);
    let erased = erased.map_err(unavailable)?;
    if erased.rows + erased.waiting > 0 && !dry_run {
        let (rows, waiting) = (erased.rows, erased.waiting);
        let detail = format!("{rows} rows and {waiting} waiting of conversation {hash}: {reason}");
        caller.note(&*tell, "erase", &destination, detail).await;
    }
    Ok(Json(erased))
}
