//! The API behind the token, and the transcripts beside it.

use std::time::Instant;

use http::{Method, Response, header};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::answer::{Asked, Body, api_error, json_answer, set};
use super::books::{Books, Communication, Fault, Presigned};
use super::transcript::{End, TranscriptBody};
use crate::Uuid;

/// Answers a request to the API.
pub(super) fn answer(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    books.report.api_requests += 1;
    let counted = books.api_window.count(now, books.options.window, books.options.api_limit);
    let context = books.correlation_id();
    let mut response = match books.api_failure {
        _ if !counted.within => {
            books.report.api_requests_limited += 1;
            let message = format!("Rate limit exceeded. Retry the request in [{}] seconds", counted.reset);
            let mut response = api_error(429, "too.many.requests", &message, &context);
            set(&mut response, "retry-after", &counted.reset.to_string());
            response
        }
        (status, times) if times > 0 => {
            books.api_failure.1 -= 1;
            api_error(status, "told.to.fail", "It was told to fail.", &context)
        }
        _ => permitted(books, asked, now, &context),
    };
    set(&mut response, "inin-ratelimit-count", &counted.count.to_string());
    set(&mut response, "inin-ratelimit-allowed", &books.options.api_limit.to_string());
    set(&mut response, "inin-ratelimit-reset", &counted.reset.to_string());
    set(&mut response, "inin-correlation-id", &context);
    response
}

fn permitted(books: &mut Books, asked: &Asked, now: Instant, context: &str) -> Response<Body> {
    let valid = match asked.header(&header::AUTHORIZATION) {
        Ok(Some(text)) if text.starts_with("Bearer ") => books.accepts(text, now),
        Ok(Some(_)) => return malformed(books, "api: Authorization is not Bearer", context),
        Ok(None) => return malformed(books, "api: there is no token", context),
        Err(problem) => return malformed(books, &format!("api: {problem}"), context),
    };
    if !valid {
        books.report.unauthorised += 1;
        return api_error(401, "bad.credentials", "The token is not valid.", context);
    }
    if asked.method != Method::GET || !asked.body.is_empty() {
        return malformed(books, &format!("api: {} with {} bytes", asked.method, asked.body.len()), context);
    }
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "v2", "tokens", "me"] => me(books),
        ["api", "v2", "conversations", id] => known(books, id, context, conversation),
        ["api", "v2", "analytics", "conversations", id, "details"] => known(books, id, context, details),
        ["api", "v2", "speechandtextanalytics", "conversations", id] => known(books, id, context, metrics),
        [
            "api",
            "v2",
            "speechandtextanalytics",
            "conversations",
            id,
            "communications",
            leg,
            last @ ("transcripturl" | "transcripturls"),
        ] => transcript_url(books, (*id, *leg), *last == "transcripturls", now, context),
        _ => malformed(books, &format!("api: there is no {}", asked.path), context),
    }
}

fn malformed(books: &mut Books, what: &str, context: &str) -> Response<Body> {
    books.note_malformed(what);
    api_error(400, "bad.request", what, context)
}

fn not_found(context: &str) -> Response<Body> {
    api_error(404, "not.found", "It is not there, or not there yet.", context)
}

fn me(books: &Books) -> Response<Body> {
    let organization = json!({"id": "9d1c5bb0-6a43-4b0e-8a4f-0c7d1e2f3a4b", "name": "Example Organisation"});
    let body = json!({
        "organization": organization,
        "homeOrganization": organization,
        "authorizedScope": books.options.scopes,
        "OAuthClient": {"id": super::CLIENT_ID, "name": "aftercall"},
    });
    json_answer(200, &body)
}

/// What is known of a conversation.
fn known(
    books: &mut Books,
    id: &str,
    context: &str,
    show: impl FnOnce(&str, &[Communication]) -> Value,
) -> Response<Body> {
    if id.parse::<Uuid>().is_err() {
        return malformed(books, &format!("api: `{id}` is no id of a conversation"), context);
    }
    match books.conversations.get(id) {
        Some(conversation) => json_answer(200, &show(id, &conversation.communications)),
        None => not_found(context),
    }
}

fn conversation(id: &str, communications: &[Communication]) -> Value {
    let participant = |communication: &Communication| {
        json!({
            "id": communication.id,
            "purpose": "agent",
            "calls": [{"id": communication.id, "state": "disconnected", "recording": communication.recorded}],
        })
    };
    json!({"id": id, "participants": communications.iter().map(participant).collect::<Vec<_>>()})
}

fn details(id: &str, communications: &[Communication]) -> Value {
    let participant = |communication: &Communication| {
        let session = json!({
            "sessionId": communication.id, "mediaType": "voice", "direction": "inbound",
            "recording": communication.recorded,
        });
        json!({"participantId": communication.id, "purpose": "agent", "sessions": [session]})
    };
    json!({
        "conversationId": id,
        "conversationStart": "2026-03-02T09:00:00.000Z",
        "conversationEnd": "2026-03-02T09:07:30.000Z",
        "participants": communications.iter().map(participant).collect::<Vec<_>>(),
    })
}

fn metrics(id: &str, _: &[Communication]) -> Value {
    json!({
        "conversation": {"id": id, "selfUri": format!("/api/v2/conversations/{id}")},
        "sentimentScore": 0.25,
        "sentimentTrend": -0.5,
        "sentimentTrendClass": "Declining",
        "empathyScores": [{"score": 71.5, "userId": "3a6f4a0e-52f8-4a7b-9a55-6b8d0f1c2e3d"}],
        "participantMetrics": {
            "agentDurationPercentage": 45.5, "customerDurationPercentage": 38.5, "silenceDurationPercentage": 12.0,
            "ivrDurationPercentage": 2.0, "acdDurationPercentage": 1.0, "overtalkDurationPercentage": 1.0,
            "otherDurationPercentage": 0.0, "overtalkCount": 3,
        },
    })
}

/// Where a transcript is, if it is there by now.
fn transcript_url(books: &mut Books, of: (&str, &str), several: bool, now: Instant, context: &str) -> Response<Body> {
    let (conversation, communication) = (of.0.to_owned(), of.1.to_owned());
    let Some(making) = books.transcripts.get_mut(&(conversation.clone(), communication.clone())) else {
        return not_found(context);
    };
    making.asked = making.asked.saturating_add(1);
    let transcript = making.transcript;
    if making.asked <= transcript.after_requests || now.saturating_duration_since(making.begun) < transcript.after {
        return not_found(context);
    }
    let urls: Vec<Value> = (0..transcript.recordings.max(1))
        .map(|number| {
            let recording = if number == 0 { communication.clone() } else { format!("{communication}-{number}") };
            let bytes = transcript.bytes + u64::from(number);
            json!({"recording": {"id": recording}, "url": presigned(books, of, bytes, now)})
        })
        .collect();
    let one = json!({"url": urls[0]["url"]});
    let all = json!({"conversation": {"id": conversation}, "communicationId": communication, "urls": urls});
    json_answer(200, if several { &all } else { &one })
}

/// An address that is good for a time.
fn presigned(books: &mut Books, of: (&str, &str), bytes: u64, now: Instant) -> String {
    let (conversation, communication) = (of.0.to_owned(), of.1.to_owned());
    let signature = books.unguessable();
    let path = format!("/transcripts/{conversation}/{communication}.json");
    let base = books.elsewhere.clone().unwrap_or_else(|| format!("http://{}", books.address));
    let url = format!("{base}{path}?signature={signature}");
    let ends = now + books.options.url_lifetime;
    books.presigned.insert(signature, Presigned { path, ends, conversation, communication, bytes });
    url
}

/// Answers a request for a transcript, which is not the API's business but a store's.
pub(super) fn download(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    if asked.headers.contains_key(header::AUTHORIZATION) {
        books.note_malformed("transcript: a presigned address was used with a token");
        return json_answer(400, &json!({"error": "only one way to authorise is allowed"}));
    }
    let signature = asked.query.strip_prefix("signature=").unwrap_or_default();
    let found = books.presigned.get(signature).filter(|found| found.path == asked.path);
    let Some(found) = found.filter(|_| asked.method == Method::GET) else {
        books.note_malformed("transcript: the address was changed or guessed");
        return json_answer(403, &json!({"error": "the signature does not match"}));
    };
    if now >= found.ends {
        return json_answer(403, &json!({"error": "the address has expired"}));
    }
    let body = TranscriptBody::new(&found.conversation, &found.communication, found.bytes);
    let body = match books.next_fault() {
        None => body,
        Some(Fault::Status(status)) => return json_answer(status, &json!({"error": "told to fail"})),
        Some(Fault::Redirect) => {
            let mut response = json_answer(302, &json!({}));
            set(&mut response, "location", &format!("http://{}/elsewhere", books.address));
            return response;
        }
        Some(Fault::Page) => {
            let mut response = Response::new(Either::Left(Full::from("<html>please sign in</html>")));
            set(&mut response, "content-type", "text/html; charset=utf-8");
            return response;
        }
        Some(Fault::BreaksOff(bytes)) => body.until(bytes, End::Error),
        Some(Fault::Stalls(bytes)) => body.until(bytes, End::Silence),
        Some(Fault::EndsEarly(bytes)) => body.until(bytes, End::AsIfAll),
    };
    books.report.downloads += 1;
    let mut response = Response::new(Either::Right(body));
    set(&mut response, "content-type", "application/json");
    response
}
