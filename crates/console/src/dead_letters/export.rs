//! All dead letters that are selected, with their bodies, one a line. They are read while they are sent: whatever their
//! number, a few are in memory. One that is redriven or discarded meanwhile is left out.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::try_unfold;
use queue::{DeadLetter, DeadLetterId, QueueError};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::readable;
use super::select::ExportQuery;
use super::wire::Shown;
use crate::problem::Problem;
use crate::request::Query;
use crate::{Shared, Tell};

/// Dead letters that are looked up at a time, without their bodies.
const STEP: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Streams dead letters with their bodies, the oldest first, a line of JSON each
#[utoipa::path(
    get, path = "/api/v1/dead-letters/export", operation_id = "export_dead_letters", tag = "dead letters",
    params(ExportQuery),
    responses((
        status = 200, content_type = "application/x-ndjson",
        description = "Lines as `show_dead_letter` answers them; a body that is no text is in `body_base64`. A stream \
                       that ends early is not whole."
    )),
    security(("token" = ["read"]))
)]
async fn export(State(tell): Shared, Query(query): Query<ExportQuery>) -> Result<Response, Problem> {
    let mut walk = Walk { tell, query, page: VecDeque::new(), after: None, ended: false };
    // What fails at once is answered as a problem.
    walk.fill().await?;
    let lines = try_unfold(walk, async |mut walk| Ok::<_, QueueError>(walk.next().await?.map(|line| (line, walk))));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// A place in the list.
struct Walk {
    tell: Arc<dyn Tell>,
    query: ExportQuery,
    page: VecDeque<DeadLetterId>,
    after: Option<DeadLetterId>,
    ended: bool,
}

impl Walk {
    async fn fill(&mut self) -> Result<(), QueueError> {
        let page = self.tell.queue().dead_letters(self.query.behind(self.after, STEP)).await?;
        self.ended = page.len() < STEP;
        self.after = page.last().map(|letter| letter.id).or(self.after);
        self.page.extend(page.iter().map(|letter| letter.id));
        Ok(())
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, QueueError> {
        loop {
            while let Some(id) = self.page.pop_front() {
                if let Some(letter) = self.tell.queue().dead_letter(id).await? {
                    return Ok(Some(line(readable(&*self.tell, letter))));
                }
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }
}

/// A dead letter with its exact body.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    letter: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

fn line(letter: DeadLetter) -> Bytes {
    let no_text = letter.body.as_ref().filter(|body| std::str::from_utf8(body).is_err());
    let body_base64 = no_text.map(|body| STANDARD.encode(body));
    let mut line = serde_json::to_vec(&Line { letter: Shown::from(letter), body_base64 }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
