//! What selects dead letters in a request's query, and which page of them is asked for.

use event::Timestamp;
use queue::{DeadLetterGroup, DeadLetterId, DeadLetterQuery, Fingerprint, Stage};
use serde::Deserialize;

use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::Number;

/// The names of the lists, for their cursors.
const LETTERS: &str = "dead-letters";
const GROUPS: &str = "dead-letter-groups";

/// Which dead letters are listed; every condition may be missing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct LettersQuery {
    /// Only of this destination.
    #[param(nullable = false)]
    destination: Option<String>,
    /// Only of this conversation.
    #[param(nullable = false)]
    conversation: Option<String>,
    /// Only of this stage.
    #[param(nullable = false, inline)]
    stage: Option<Stage>,
    /// Only of this group.
    #[param(nullable = false, inline)]
    group: Option<Fingerprint>,
    /// Only those that died then or later; milliseconds of Unix time.
    #[param(nullable = false)]
    since: Option<i64>,
    /// Only those that died before; milliseconds of Unix time.
    #[param(nullable = false)]
    until: Option<i64>,
    /// Only those with a greater id.
    #[param(nullable = false, inline)]
    after: Option<Number>,
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// Which dead letters are put into groups, and which page of groups; every condition may be missing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct GroupsQuery {
    /// Only of this destination.
    #[param(nullable = false)]
    destination: Option<String>,
    /// Only of this conversation.
    #[param(nullable = false)]
    conversation: Option<String>,
    /// Only of this stage.
    #[param(nullable = false, inline)]
    stage: Option<Stage>,
    /// Only of this group.
    #[param(nullable = false, inline)]
    group: Option<Fingerprint>,
    /// Only those that died then or later; milliseconds of Unix time.
    #[param(nullable = false)]
    since: Option<i64>,
    /// Only those that died before; milliseconds of Unix time.
    #[param(nullable = false)]
    until: Option<i64>,
    /// Where the page begins: `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many groups at most.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

impl LettersQuery {
    /// The query, and how many letters the page has. It asks for one more, which tells whether there is a next page.
    pub(super) fn page(self) -> Result<(DeadLetterQuery, usize), Problem> {
        let cursor = self.cursor.map(|cursor| page::place(LETTERS, &cursor)).transpose()?;
        let cursor = cursor.map(|place| place.parse().map_err(|_| page::unusable())).transpose()?;
        let query = DeadLetterQuery {
            destination: self.destination,
            conversation: self.conversation,
            stage: self.stage,
            group: self.group,
            since: self.since.map(Timestamp::from_millis),
            until: self.until.map(Timestamp::from_millis),
            after: self.after.map(|after| after.0).max(cursor).map(DeadLetterId),
            limit: self.limit.0 + 1,
        };
        Ok((query, self.limit.0))
    }
}

/// The cursor behind a letter.
pub(super) fn after_letter(id: DeadLetterId) -> String {
    page::cursor(LETTERS, &id.0.to_string())
}

/// A page of groups. They stand in the order of size, so one that grows meanwhile may be seen twice or missed.
#[derive(Debug)]
pub(super) struct GroupsPage {
    /// The last group of the page before: how many letters it had, and its name.
    behind: Option<(u64, Fingerprint)>,
    limit: usize,
}

impl GroupsQuery {
    pub(super) fn page(self) -> Result<(DeadLetterQuery, GroupsPage), Problem> {
        let behind = self.cursor.map(|cursor| {
            let place = page::place(GROUPS, &cursor)?;
            let (count, name) = place.split_once(' ').ok_or_else(page::unusable)?;
            count.parse().ok().zip(name.parse().ok()).ok_or_else(page::unusable)
        });
        let query = DeadLetterQuery {
            destination: self.destination,
            conversation: self.conversation,
            stage: self.stage,
            group: self.group,
            since: self.since.map(Timestamp::from_millis),
            until: self.until.map(Timestamp::from_millis),
            ..DeadLetterQuery::default()
        };
        Ok((query, GroupsPage { behind: behind.transpose()?, limit: self.limit.0 }))
    }
}

impl GroupsPage {
    /// Cuts the page out of all groups, the largest first; and where the next one begins.
    pub(super) fn of(&self, groups: Vec<DeadLetterGroup>) -> (Vec<DeadLetterGroup>, Option<String>) {
        let is_behind = |group: &DeadLetterGroup| {
            self.behind
                .is_none_or(|(count, name)| group.count < count || group.count == count && group.fingerprint > name)
        };
        let mut page: Vec<_> = groups.into_iter().filter(is_behind).take(self.limit + 1).collect();
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let last = page.last().filter(|_| more);
        let next = last.map(|group| page::cursor(GROUPS, &format!("{} {}", group.count, group.fingerprint)));
        (page, next)
    }
}
