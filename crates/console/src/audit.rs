//! The audit trail over the admin API, block by block, so that whoever reads it can check it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::page::{self, Limit};
use crate::request::Query;
use crate::{Answer, Shared, Tell};

/// Blocks of one page, at most: each has up to 16 KiB.
const BLOCKS_MAX: usize = 200;

/// Which page of the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BlocksQuery {
    /// How many blocks at most; a page never has more than 200
    #[serde(default)]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// `next` of the page before
    #[param(pattern = "^[0-9a-f]{16}$")]
    cursor: Option<String>,
}

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct Blocks {
    /// The place before the first block that is kept.
    begins: Place,
    blocks: Vec<Block>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// A place in the chain.
#[derive(Debug, Serialize, ToSchema)]
struct Place {
    /// The number of a block; 0 before the first one.
    block: u64,
    /// Its hash, in hexadecimal digits.
    hash: String,
}

/// Some entries, chained.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditBlock)]
struct Block {
    /// Counts up without gaps.
    block: u64,
    /// SHA-256 over `aftercall audit 2` and a line feed, the number (8 bytes, the lowest first), the hash of the block
    /// before (32 bytes), how many entries it has (4 bytes), how many texts (8 bytes), the SHA-256 of each text, and the
    /// packed entries.
    hash: String,
    /// The packed entries, in base64.
    packed: String,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The audit trail, the oldest block first
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "audit", tag = "audit", params(BlocksQuery),
    responses((status = 200, description = "A page of it", body = Blocks)), security(("token" = ["admin"]))
)]
async fn list(State(tell): Shared, Query(query): Query<BlocksQuery>) -> Answer<Blocks> {
    let after = query.cursor.as_deref().map(page::number).transpose()?.unwrap_or(0);
    let max = query.limit.0.min(BLOCKS_MAX);
    let read = tell.queue().audit(after, max).await?;
    let next = (read.blocks.len() == max).then(|| read.blocks.last().map(|last| page::digits(last.number))).flatten();
    let block = |block: audit::Block| Block {
        block: block.number,
        hash: block.hash.to_string(),
        packed: STANDARD.encode(block.packed),
    };
    let begins = Place { block: read.begins.number, hash: read.begins.hash.to_string() };
    Ok(Json(Blocks { begins, blocks: read.blocks.into_iter().map(block).collect(), next }))
}
