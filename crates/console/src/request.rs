//! Reading requests strictly: what is not known is refused with its name, and what cannot be used with its place.

use std::fmt;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::{self, DeserializeOwned, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::problem::Problem;

/// Bytes of a request's body, at most: ten thousand ids take a fifth of it.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// The largest number that every JSON reader keeps exactly, and with it the largest id.
pub(crate) const NUMBER_MAX: u64 = (1 << 53) - 1;

/// The query of a request.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// For requests that take no query, or an object without anything in it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad(rejection.body_text())),
        }
    }
}

/// An id in a query or a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(pub(crate) u64);

impl utoipa::PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0u64)).maximum(Some(NUMBER_MAX)).into()
    }
}

impl utoipa::ToSchema for Number {}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number, 0 to {NUMBER_MAX}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
        let unexpected = || E::invalid_value(Unexpected::Unsigned(number), &self);
        if number <= NUMBER_MAX { Ok(Number(number)) } else { Err(unexpected()) }
    }

    /// JSON knows no whole numbers, so some writers make `7.0` of 7.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Number, E> {
        let whole = number.fract() == 0.0 && (0.0..=NUMBER_MAX as f64).contains(&number);
        if whole { Ok(Number(number as u64)) } else { Err(E::invalid_value(Unexpected::Float(number), &self)) }
    }
}

/// The ids of a body, of which there must be some, and not too many.
pub(crate) fn ids(ids: Vec<Number>, most: usize, of: &str) -> Result<Vec<u64>, Problem> {
    if (1..=most).contains(&ids.len()) {
        return Ok(ids.into_iter().map(|id| id.0).collect());
    }
    Err(Problem::unusable(format!("`ids` must name 1 to {most} {of}")))
}

/// A number in the path.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = || Problem::bad(format!("an id is a whole number, 0 to {NUMBER_MAX}, as the lists show it"));
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| wrong())?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let id = text.parse().ok().filter(|id| digits && *id <= NUMBER_MAX);
        id.map(Self).ok_or_else(wrong)
    }
}

/// A name in the path.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        named.map(|Path(name)| Self(name)).map_err(|_| Problem::bad("the name in the path is no text in UTF-8"))
    }
}

/// The body of a request, an object of JSON. It must say that it is JSON, so that no page of another site can have a
/// browser send it unasked.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = Raw::of(request)?.read(BODY_BYTES_MAX).await?;
        parse(&body).map(Self)
    }
}

/// The body of a request that is read when it is known how long it may be. It must say that it is JSON, too.
#[derive(Debug)]
pub(crate) struct Raw(axum::body::Body);

impl<S: Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::of(request)
    }
}

impl Raw {
    fn of(request: Request) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "the body must be JSON, with `content-type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", detail));
        }
        Ok(Self(request.into_body()))
    }

    /// Reads it.
    pub(crate) async fn read(self, max_bytes: usize) -> Result<Bytes, Problem> {
        axum::body::to_bytes(self.0, max_bytes).await.map_err(|_| {
            let detail = format!("the body is longer than {max_bytes} bytes, or did not come whole");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // What is derived reads an array as an object without names, too.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{')
        && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
    {
        return Err(Problem::unusable("the body must be an object: {…}"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { String::new() } else { format!("{place}: ") };
        let error = error.into_inner();
        let detail = format!("{place}{error}");
        if error.is_data() { Problem::unusable(detail) } else { Problem::bad(detail) }
    })?;
    reader.end().map_err(Problem::bad)?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ids {
        ids: Vec<Number>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        assert_eq!(parse::<Ids>(br#" {"ids":[1,2.0]} "#).unwrap().ids, [Number(1), Number(2)]);
        let cases = [
            ("", 400, "EOF"),
            ("{", 400, "EOF"),
            ("{\"ids\":[1]} 2", 400, "trailing"),
            ("[[1]]", 422, "object"),
            ("7", 422, "object"),
            ("null", 422, "object"),
            ("{}", 422, "missing field `ids`"),
            ("{\"ids\":[1],\"rate\":1}", 422, "unknown field `rate`"),
            ("{\"ids\":[1],\"ids\":[2]}", 422, "duplicate field `ids`"),
            ("{\"ids\":[1,-2]}", 422, "ids[1]: invalid type: integer `-2`"),
            ("{\"ids\":[1.5]}", 422, "ids[0]: invalid value: floating point `1.5`, expected a whole number"),
            ("{\"ids\":[9007199254740992]}", 422, "0 to 9007199254740991"),
            ("{\"ids\":[1e300]}", 422, "ids[0]"),
            ("{\"ids\":\"1\"}", 422, "ids: invalid type: string"),
        ];
        for (body, status, expected) in cases {
            let problem = serde_json::to_value(parse::<Ids>(body.as_bytes()).unwrap_err()).unwrap();
            let detail = problem["detail"].as_str().unwrap();
            assert_eq!(problem["status"], status, "{body}: {problem}");
            assert!(detail.contains(expected), "{body}: {problem}");
        }
    }
}
