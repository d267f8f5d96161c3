//! Events that matched no route over the admin API: pages of them, and how many there are by source and topic.
//!
//! A page is bounded in what it looks at, so one that selects little may be short, or empty, and still have a next one.
//! Why a route does not take an event is told by its [trace](crate::trace).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use event::Timestamp;
use queue::{Seq, Unmatched, UnmatchedGroup, UnmatchedQuery};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::{NUMBER_MAX, Number, Query};
use crate::{Answer, Shared, Tell};

/// Bytes of a value in a refusal of it.
const VALUE_SHOWN: usize = 40;

pub(crate) fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(groups))
}

/// Which events without a route, and which page of them; every condition may be missing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct UnmatchedParams {
    /// Only of this source.
    #[param(nullable = false)]
    source: Option<String>,
    /// Only of this topic; an empty one is that of events which name none.
    #[param(nullable = false)]
    topic: Option<String>,
    /// Only of this conversation.
    #[param(nullable = false)]
    conversation: Option<String>,
    /// Only what was received then or later; milliseconds of Unix time.
    #[param(value_type = Option<i64>, nullable = false)]
    from: Option<Millis>,
    /// Only what was received before; milliseconds of Unix time.
    #[param(value_type = Option<i64>, nullable = false)]
    to: Option<Millis>,
    /// Only what stands before this place in the log.
    #[param(nullable = false, inline)]
    before: Option<Number>,
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false, pattern = "^00[01][0-9a-f]{13}$")]
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A time in a query.
#[derive(Debug, Clone, Copy)]
struct Millis(Timestamp);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let millis = text.parse().map_err(|_| {
            let text = event::shortened(&text, VALUE_SHOWN);
            D::Error::custom(format_args!(
                "`{text}` is no time; write milliseconds of Unix time, such as 1773957888000"
            ))
        });
        millis.map(|millis| Self(Timestamp::from_millis(millis)))
    }
}

impl UnmatchedParams {
    fn query(self) -> Result<UnmatchedQuery, Problem> {
        let cursor = self.cursor.as_deref().map(page::number).transpose()?;
        if cursor.is_some_and(|place| place > NUMBER_MAX) {
            return Err(page::unusable());
        }
        let before = self.before.map(|before| before.0).into_iter().chain(cursor).min();
        Ok(UnmatchedQuery {
            source: self.source,
            topic: self.topic,
            conversation: self.conversation,
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
            before: before.map(Seq),
            limit: self.limit.0,
        })
    }
}

/// A page of events that matched no route, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnmatchedPage)]
struct Page {
    /// They were led nowhere when they were accepted. Fewer than asked for, or none, do not mean that these are all.
    events: Vec<Unmatched>,
    /// Places of events that are damaged, so that nobody can say whether they are selected.
    damaged: Vec<Seq>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// Groups of events that matched no route, the largest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnmatchedGroupPage)]
struct Groups {
    /// They count what this page has looked at. A group may have more on the next page: add them up.
    groups: Vec<UnmatchedGroup>,
    /// How many events the page has looked at, the newest first; up to 20,000.
    looked_at: u64,
    /// Places of events that are damaged, so that nobody can say of which group they are.
    damaged: Vec<Seq>,
    /// Ask with `cursor` this for the next page; none on the last one.
    next: Option<String>,
}

/// Lists events that no route led to any destination, the newest first
#[utoipa::path(
    get, path = "/api/v1/unmatched", operation_id = "list_unmatched", tag = "unmatched",
    params(UnmatchedParams), responses((status = 200, description = "A page of them", body = Page)),
    security(("token" = ["read"]))
)]
async fn list(State(tell): Shared, Query(params): Query<UnmatchedParams>) -> Answer<Page> {
    let page = tell.queue().unmatched(params.query()?).await?;
    Ok(Json(Page { events: page.events, damaged: page.damaged, next: page.next.map(cursor) }))
}

/// Counts them by source and topic, the largest group first
#[utoipa::path(
    get, path = "/api/v1/unmatched-groups", operation_id = "list_unmatched_groups", tag = "unmatched",
    params(UnmatchedParams), responses((status = 200, description = "A page of groups", body = Groups)),
    security(("token" = ["read"]))
)]
async fn groups(State(tell): Shared, Query(params): Query<UnmatchedParams>) -> Answer<Groups> {
    let page = tell.queue().unmatched_groups(params.query()?).await?;
    let (groups, looked_at, damaged) = (page.groups, page.looked_at, page.damaged);
    Ok(Json(Groups { groups, looked_at, damaged, next: page.next.map(cursor) }))
}

/// The cursor of what stands before a place.
fn cursor(place: Seq) -> String {
    page::digits(place.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(place: Option<u64>, cursor: Option<&str>) -> Result<Option<u64>, Problem> {
        let params = UnmatchedParams {
            before: place.map(Number),
            cursor: cursor.map(str::to_owned),
            ..UnmatchedParams::default()
        };
        params.query().map(|query| query.before.map(|place| place.0))
    }

    #[test]
    fn a_page_begins_at_the_cursor_or_at_a_place_whichever_comes_later_in_the_list() {
        assert_eq!(before(None, None).unwrap(), None);
        assert_eq!(before(Some(9), None).unwrap(), Some(9));
        assert_eq!(before(Some(9), Some(&cursor(Seq(7)))).unwrap(), Some(7));
        assert_eq!(before(Some(5), Some(&cursor(Seq(7)))).unwrap(), Some(5));
        for wrong in ["", "7", "000000000000000G", &page::digits(u64::MAX), "é"] {
            assert!(before(None, Some(wrong)).is_err(), "{wrong}");
        }
    }
}
