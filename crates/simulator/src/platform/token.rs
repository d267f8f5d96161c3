//! The token endpoint.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Response, header};
use serde_json::json;

use super::answer::{Asked, Body, json_answer, set};
use super::books::Books;

/// Answers a request for a token.
pub(super) fn answer(books: &mut Books, asked: &Asked, now: Instant) -> Response<Body> {
    books.report.token_requests += 1;
    if let Some(status) = books.token_failure {
        return json_answer(status, &json!({"error": "server_error", "description": "told to fail"}));
    }
    let counted = books.token_window.count(now, books.options.window, books.options.token_limit);
    if !counted.within {
        books.report.token_requests_limited += 1;
        // Not 429, and without a time.
        return error(400, "invalid_request", "rate limit exceeded; fewer requests for tokens, please");
    }
    let (id, secret) = match credentials(asked, books.options.form_credentials) {
        Ok(credentials) => credentials,
        Err(problem) => {
            books.note_malformed(format!("token: {problem}"));
            return error(400, "invalid_request", &problem);
        }
    };
    let known = &books.options.credentials;
    if !known.iter().any(|known| (&known.0, &known.1) == (&id, &secret)) {
        books.report.credentials_refused += 1;
        return error(401, "invalid_client", "authentication failed");
    }
    books.report.tokens_issued += 1;
    let (token, lifetime) = (books.unguessable(), books.options.token_lifetime);
    books.tokens.retain(|_, ends| now < *ends);
    books.tokens.insert(token.clone(), now + lifetime);
    // Lifetimes below a second are for tests; the wire has whole seconds if they are whole.
    let seconds = match lifetime.subsec_nanos() {
        0 => json!(lifetime.as_secs()),
        _ => json!(lifetime.as_secs_f64()),
    };
    let body = json!({"access_token": token, "token_type": "bearer", "expires_in": seconds});
    let mut response = json_answer(200, &body);
    set(&mut response, "cache-control", "no-store");
    response
}

fn error(status: u16, code: &str, description: &str) -> Response<Body> {
    json_answer(status, &json!({"error": code, "description": description, "error_description": description}))
}

/// Id and secret of a request that has the form it must have.
pub(crate) fn credentials(asked: &Asked, form_credentials: bool) -> Result<(String, String), String> {
    if asked.method != Method::POST {
        return Err(format!("{} is not POST", asked.method));
    }
    if !asked.query.is_empty() {
        return Err("it has a query".to_owned());
    }
    match asked.header(&header::CONTENT_TYPE)? {
        Some("application/x-www-form-urlencoded") => {}
        other => return Err(format!("the body is {other:?} and no form")),
    }
    let form = form(&asked.body)?;
    let value = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if value("grant_type").as_deref() != Some("client_credentials") {
        return Err("grant_type is not client_credentials".to_owned());
    }
    let in_form = value("client_id").zip(value("client_secret"));
    match (asked.header(&header::AUTHORIZATION)?, in_form) {
        (Some(_), Some(_)) => Err("credentials are in the header and in the form".to_owned()),
        (Some(header), None) => basic(header),
        (None, Some(credentials)) if form_credentials => Ok(credentials),
        (None, _) => Err("there is no Authorization header".to_owned()),
    }
}

fn basic(header: &str) -> Result<(String, String), String> {
    let decoded = header.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let pair = pair.ok_or("the Authorization header is not Basic with id and secret")?;
    Ok((decode(pair.0)?, decode(pair.1)?))
}

/// The pairs of a form; a name must not be there twice.
pub(crate) fn form(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is no text")?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in text.split('&') {
        let (name, value) = part.split_once('=').ok_or("a parameter of the form has no value")?;
        let name = decode(name)?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(format!("the form has `{name}` twice"));
        }
        pairs.push((name, decode(value)?));
    }
    Ok(pairs)
}

/// Undoes the encoding of forms.
pub(crate) fn decode(text: &str) -> Result<String, String> {
    let bad = || "the form is badly encoded".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().ok_or_else(bad)?, rest.next().ok_or_else(bad)?];
                bytes.extend(hex::decode(digits).map_err(|_| bad())?);
            }
            plain if plain.is_ascii_graphic() => bytes.push(plain),
            _ => return Err(bad()),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
