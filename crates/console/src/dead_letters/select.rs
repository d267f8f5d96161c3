//! What selects dead letters in a request's query, and which page of them is asked for.

use event::Timestamp;
use queue::{DeadLetterGroup, DeadLetterId, DeadLetterQuery, Fingerprint, Stage};
use serde::Deserialize;

use crate::page::{self, Limit};
use crate::problem::Problem;
use crate::request::Number;

/// A query that selects dead letters, with what it has besides.
macro_rules! selecting {
    ($(#[$meta:meta])* $name:ident { $($(#[$more:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
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
            $($(#[$more])* $field: $type,)*
        }

        impl $name {
            /// What it selects, without a page.
            pub(super) fn selection(&self) -> DeadLetterQuery {
                DeadLetterQuery {
                    destination: self.destination.clone(),
                    conversation: self.conversation.clone(),
                    stage: self.stage,
                    group: self.group,
                    since: self.since.map(Timestamp::from_millis),
                    until: self.until.map(Timestamp::from_millis),
                    ..DeadLetterQuery::default()
                }
            }
        }
    };
}

selecting! {
    /// Which dead letters are listed; every condition may be missing.
    LettersQuery {
        /// Only those with a greater id.
        #[param(nullable = false, inline)]
        after: Option<Number>,
        /// Where the page begins: `next` of the page before.
        #[param(nullable = false, pattern = "^00[01][0-9a-f]{13}$")]
        cursor: Option<String>,
        /// How many at most.
        #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
        limit: Limit,
    }
}

selecting! {
    /// Which dead letters are put into groups, and which page of groups; every condition may be missing.
    GroupsQuery {
        /// Where the page begins: `next` of the page before.
        #[param(nullable = false, pattern = "^[0-9a-f]{32}$")]
        cursor: Option<String>,
        /// How many groups at most.
        #[param(value_type = u32, required = false, minimum = 1, maximum = 1000, default = 100)]
        limit: Limit,
    }
}

selecting! {
    /// Which dead letters are exported; every condition may be missing.
    ExportQuery {
        /// Only those with a greater id.
        #[param(nullable = false, inline)]
        after: Option<Number>,
    }
}

impl LettersQuery {
    /// The query, and how many letters the page has. It asks for one more, which tells whether there is a next page.
    pub(super) fn page(self) -> Result<(DeadLetterQuery, usize), Problem> {
        let after = page::after(self.after, self.cursor.as_deref())?;
        let query = DeadLetterQuery { after: after.map(DeadLetterId), limit: self.limit.0 + 1, ..self.selection() };
        Ok((query, self.limit.0))
    }
}

impl ExportQuery {
    /// The query for the next letters behind `after`.
    pub(super) fn behind(&self, after: Option<DeadLetterId>, limit: usize) -> DeadLetterQuery {
        let after = after.or(self.after.map(|after| DeadLetterId(after.0)));
        DeadLetterQuery { after, limit, ..self.selection() }
    }
}

/// The cursor behind a letter.
pub(super) fn after_letter(id: DeadLetterId) -> String {
    page::digits(id.0)
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
        let behind = self.cursor.as_deref().map(|cursor| {
            let (count, name) = cursor.split_at_checked(16).ok_or_else(page::unusable)?;
            Ok::<_, Problem>((page::number(count)?, Fingerprint(page::number(name)?)))
        });
        Ok((self.selection(), GroupsPage { behind: behind.transpose()?, limit: self.limit.0 }))
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
        let next = last.map(|group| page::digits(group.count) + &page::digits(group.fingerprint.0));
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: u64, name: u64) -> DeadLetterGroup {
        let time = Timestamp::from_millis(1);
        DeadLetterGroup {
            fingerprint: Fingerprint(name),
            destination: None,
            stage: Stage::Map,
            class: queue::FailureClass::Permanent,
            status: None,
            message: String::new(),
            count,
            first: time,
            last: time,
            sample: DeadLetterId(1),
            path: None,
            mapping: None,
            newest: DeadLetterId(1),
            review: queue::GroupReview::default(),
        }
    }

    #[test]
    fn pages_of_groups_leave_none_out_and_repeat_none() {
        // As they come: the largest first, those of a size by name.
        let all: Vec<_> = [(9, 4), (7, 1), (7, 2), (7, 3), (1, 5)].map(|(count, name)| group(count, name)).into();
        for limit in 1..7 {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let query = GroupsQuery { cursor, limit: Limit(limit), ..GroupsQuery::default() };
                let (page, next) = query.page().unwrap().1.of(all.clone());
                assert!(page.len() <= limit);
                seen.extend(page);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "{limit}");
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for cursor in ["", "17", "fffffffffffffffff", &page::digits(u64::MAX), &"ä".repeat(16)] {
            let cursor = Some(cursor.to_owned());
            assert!(LettersQuery { cursor: cursor.clone(), ..LettersQuery::default() }.page().is_err(), "{cursor:?}");
            assert!(GroupsQuery { cursor: cursor.clone(), ..GroupsQuery::default() }.page().is_err(), "{cursor:?}");
        }
    }
}
