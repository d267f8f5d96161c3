//! The tokens over the admin API: who has which, without anything that would let somebody in. They are made and revoked
//! on the command line of the server.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use event::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Known, Scope};
use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::Query;
use crate::{Answer, Shared, Tell};

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct TokensQuery {
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false, pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A page of tokens, by name.
#[derive(Debug, Serialize, ToSchema)]
struct TokenPage {
    tokens: Vec<ShownToken>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// What may be known of a token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct ShownToken {
    name: String,
    /// The part of it that is no secret.
    id: String,
    #[schema(inline)]
    scope: Scope,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// Whether its time is over.
    expired: bool,
}

/// Lists the tokens by name
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "access", params(TokensQuery),
    responses((status = 200, description = "A page of them", body = TokenPage)), security(("token" = ["admin"]))
)]
async fn list(
    State(tell): Shared,
    Extension(known): Extension<Arc<Known>>,
    Query(query): Query<TokensQuery>,
) -> Answer<TokenPage> {
    let behind = query.cursor.map(|cursor| place(&cursor)).transpose()?.unwrap_or_default();
    let (now, all) = (tell.now(), known.all());
    let mut entries: Vec<_> = all.iter().filter(|entry| entry.name.as_bytes() > behind.as_slice()).collect();
    entries.sort_unstable_by_key(|entry| &entry.name);
    let more = entries.len() > query.limit.0;
    entries.truncate(query.limit.0);
    let next = entries.last().filter(|_| more).map(|entry| hex::encode(&entry.name));
    let shown = entries.into_iter().map(|entry| ShownToken {
        name: entry.name.clone(),
        id: entry.id.clone(),
        scope: entry.scope,
        created: entry.created,
        expires: entry.expires,
        expired: entry.is_expired(now),
    });
    Ok(Json(TokenPage { tokens: shown.collect(), next }))
}

/// The name at which the page before ended.
fn place(cursor: &str) -> Result<Vec<u8>, Problem> {
    let lower = !cursor.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode(cursor).ok().filter(|name| lower && !name.is_empty()).ok_or_else(page::unusable)
}
