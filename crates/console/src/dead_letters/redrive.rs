//! Redriving dead letters, and trying what would be sent.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use queue::{By, DeadLetter, DeadLetterId, NotRedriven, RedriveOutcome};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::checked;
use super::wire::{DryRun, Ids, Published, Redrive, Redriven, Refused, Tried};
use crate::access::Caller;
use crate::page::PAGE_MAX;
use crate::problem::Problem;
use crate::request::{Body, Nothing, Query};
use crate::{Answer, Shared, Tell};

/// Bytes of a payload that a dry run shows.
const PAYLOAD_SHOWN: usize = 2_000;

pub(super) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(dry_run)).routes(routes!(redrive))
}

/// Tries the present mapping on dead letters; changes nothing
#[utoipa::path(
    post, path = "/api/v1/dead-letters/dry-run", operation_id = "try_dead_letters", tag = "dead letters",
    request_body = Ids, responses((status = 200, description = "What would be sent", body = DryRun)),
    security(("token" = ["read"]))
)]
async fn dry_run(State(tell): Shared, Query(Nothing {}): Query<Nothing>, Body(asked): Body<Ids>) -> Answer<DryRun> {
    let ids = checked(asked.ids, PAGE_MAX)?;
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        match tell.queue().dead_letter(id).await? {
            Some(letter) if letter.destination.is_none() => results.push(try_intake(&*tell, letter).await),
            Some(letter) => {
                let teller = Arc::clone(&tell);
                let tried = tokio::task::spawn_blocking(move || try_one(&*teller, letter)).await;
                results.push(tried.unwrap_or_else(|_| failed(id, None, "the mapping failed by a bug".to_owned())));
            }
            None => results.push(failed(id, None, NotRedriven::Missing.to_string())),
        }
    }
    let fail = results.iter().filter(|tried| tried.error.is_some()).count();
    Ok(Json(DryRun { pass: results.len() - fail, fail, results }))
}

fn try_one(tell: &dyn Tell, letter: DeadLetter) -> Tried {
    let before = Some(letter.failure.message.clone());
    match tell.try_mapping(&letter) {
        Ok(payload) => {
            let shown = &payload[..payload.len().min(PAYLOAD_SHOWN)];
            let payload = Some(String::from_utf8_lossy(shown).into_owned());
            Tried { id: letter.id, before, payload, error: None }
        }
        Err(error) => failed(letter.id, before, error.to_string()),
    }
}

fn failed(id: DeadLetterId, before: Option<String>, error: String) -> Tried {
    Tried { id, before, payload: None, error: Some(error) }
}

/// A body that intake could not read: its edited copy would be published.
async fn try_intake(tell: &dyn Tell, letter: DeadLetter) -> Tried {
    let (id, source) = (letter.id, letter.source);
    let before = Some(letter.failure.message);
    let Some(copy) = letter.edit.and_then(|edit| edit.body) else {
        return failed(id, before, NotRedriven::NoEvent.to_string());
    };
    let copy = match tell.intake().opened(&source, copy) {
        Ok(copy) => copy,
        Err(error) => return failed(id, before, format!("its edited copy {error}")),
    };
    match tell.intake().publish_mended(&source, copy, true).await {
        Ok(_) => Tried { id, before, payload: Some("(its edited copy would be published)".to_owned()), error: None },
        Err(error) => failed(id, before, error.to_string()),
    }
}

/// Publishes the edited copy of a body that intake could not read, as if it had come so, and drops the dead letter. What a
/// crash in between leaves is published again, which gives duplicates.
async fn publish(tell: &dyn Tell, id: DeadLetterId, by: &By, done: &mut Redrive) -> Result<(), Problem> {
    let letter = tell.queue().dead_letter(id).await?;
    let of_intake = letter.as_ref().is_some_and(|letter| letter.destination.is_none());
    let copy = letter.and_then(|letter| Some((letter.source, letter.edit?.body?))).filter(|_| of_intake);
    let Some((source, copy)) = copy else {
        done.refused.push(Refused { id, reason: NotRedriven::NoEvent.to_string() });
        return Ok(());
    };
    let copy = match tell.intake().opened(&source, copy) {
        Ok(copy) => copy,
        Err(error) => {
            done.refused.push(Refused { id, reason: format!("its edited copy {error}") });
            return Ok(());
        }
    };
    match tell.intake().publish_mended(&source, copy, false).await {
        Ok(released) => {
            tell.queue().discard(vec![id], by.clone().because("its edited copy was published")).await?;
            done.published.push(Published::new(id, released));
        }
        Err(reason) => done.refused.push(Refused { id, reason: reason.to_string() }),
    }
    Ok(())
}

/// Delivers the events of dead letters again; of an edited one its copy
#[utoipa::path(
    post, path = "/api/v1/dead-letters/redrive", operation_id = "redrive_dead_letters", tag = "dead letters",
    request_body = Ids, responses((status = 200, description = "What was done", body = Redrive)),
    security(("token" = ["operate"]))
)]
async fn redrive(
    State(tell): Shared,
    Extension(caller): Extension<Caller>,
    Query(Nothing {}): Query<Nothing>,
    Body(asked): Body<Ids>,
) -> Answer<Redrive> {
    let ids = checked(asked.ids, PAGE_MAX)?;
    let by = By::new(Arc::clone(&caller.name), tell.now());
    let mut done = Redrive::default();
    for RedriveOutcome { id, result } in tell.queue().redrive(ids, by.clone()).await? {
        match result {
            Ok(seq) => done.redriven.push(Redriven { id, seq }),
            Err(NotRedriven::NoEvent) => publish(&*tell, id, &by, &mut done).await?,
            Err(reason) => done.refused.push(Refused { id, reason: reason.to_string() }),
        }
    }
    let (redriven, published) = (done.redriven.len(), done.published.len());
    let (refused, by) = (done.refused.len(), &*caller.name);
    tracing::info!(redriven, published, refused, by, "dead letters were redriven");
    Ok(Json(done))
}
