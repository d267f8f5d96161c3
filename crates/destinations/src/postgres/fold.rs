//! Which rows go into one statement. PostgreSQL refuses to touch a row twice in one `INSERT … ON CONFLICT`, so of rows
//! with the same key only one is written, and stands for the others.
//!
//! With a version that is the newest, and the first of equal ones, as it would be if they were written one by one. Without
//! a version it is the last. Where versions cannot be compared here, and where a row leaves what it has no value for, the rows
//! are written one after the other.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::row::Row;
use super::table::Table;

/// A row that is written, by its place, and those that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) write: usize,
    pub(super) covers: Vec<usize>,
}

/// What one statement writes, and what has to wait for the next one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) groups: Vec<Group>,
    pub(super) later: Vec<usize>,
}

/// Sorts the rows at these places, which are in the order of their arrival.
pub(super) fn round<'r>(places: &[usize], row: impl Fn(usize) -> &'r Row) -> Round {
    let is = |what: fn(&Table) -> bool| places.first().is_some_and(|place| what(&row(*place).table));
    let (has_version, keep) = (is(|table| table.version.is_some()), is(|table| table.keep));
    let keyed = |place: &usize| (&*row(*place).key, *place);
    let compare = |one, other| if keep { None } else { row(one).compare(row(other)) };
    sorted(places.iter().map(keyed), has_version || keep, compare)
}

fn sorted<'k>(
    places: impl Iterator<Item = (&'k [u8], usize)>,
    has_version: bool,
    compare: impl Fn(usize, usize) -> Option<Ordering>,
) -> Round {
    let mut groups: HashMap<&[u8], Group> = HashMap::new();
    let mut later = Vec::new();
    for (key, place) in places {
        let Some(group) = groups.get_mut(key) else {
            groups.insert(key, Group { write: place, covers: Vec::new() });
            continue;
        };
        let newer = if has_version { compare(place, group.write) } else { Some(Ordering::Greater) };
        match newer {
            Some(Ordering::Greater) => group.covers.push(std::mem::replace(&mut group.write, place)),
            Some(_) => group.covers.push(place),
            None => later.push(place),
        }
    }
    // By key: two writers that lock rows in the same order cannot lock each other out.
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(key, _)| *key);
    Round { groups: groups.into_iter().map(|(_, group)| group).collect(), later }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn fold(rows: &[(u8, Option<i64>)], has_version: bool) -> Round {
        let keys: Vec<[u8; 1]> = rows.iter().map(|(key, _)| [*key]).collect();
        let keyed = keys.iter().enumerate().map(|(place, key)| (&key[..], place));
        sorted(keyed, has_version, |one, other| Some(rows[one].1?.cmp(&rows[other].1?)))
    }

    #[test]
    fn the_newest_stands_for_the_others() {
        let rows = [(1, Some(5)), (2, Some(1)), (1, Some(7)), (1, Some(6)), (1, Some(7))];
        let expected = vec![Group { write: 2, covers: vec![0, 3, 4] }, Group { write: 1, covers: vec![] }];
        assert_eq!(fold(&rows, true), Round { groups: expected, later: vec![] });
        assert_eq!(fold(&rows, false).groups[0], Group { write: 4, covers: vec![0, 2, 3] });
    }

    #[test]
    fn what_cannot_be_compared_waits_for_its_turn() {
        let round = fold(&[(1, None), (1, None), (2, None)], true);
        assert_eq!(round.later, [1]);
        assert_eq!(round.groups.len(), 2);
    }

    proptest! {
        /// Writing what is chosen, round after round, leaves what writing one by one would leave; no round has a key
        /// twice; and each row is written or stood for once.
        #[test]
        fn folding_changes_no_outcome(
            rows in prop::collection::vec((0u8..4, prop::option::of(0i64..6)), 0..30),
            has_version in any::<bool>(),
        ) {
            let write = |table: &mut BTreeMap<u8, usize>, place: usize| {
                let (key, version) = rows[place];
                let newer = |old: &usize| !has_version || version > rows[*old].1;
                if table.get(&key).is_none_or(newer) {
                    table.insert(key, place);
                }
            };
            let mut one_by_one = BTreeMap::new();
            (0..rows.len()).for_each(|place| write(&mut one_by_one, place));

            let mut folded = BTreeMap::new();
            let mut dealt_with = Vec::new();
            let mut pending: Vec<usize> = (0..rows.len()).collect();
            while !pending.is_empty() {
                let part: Vec<_> = pending.iter().map(|place| rows[*place]).collect();
                let round = fold(&part, has_version);
                let mut keys = Vec::new();
                for group in &round.groups {
                    keys.push(part[group.write].0);
                    write(&mut folded, pending[group.write]);
                    dealt_with.push(pending[group.write]);
                    dealt_with.extend(group.covers.iter().map(|place| pending[*place]));
                }
                prop_assert!(keys.is_sorted_by(|one, other| one < other));
                prop_assert!(!round.groups.is_empty());
                pending = round.later.iter().map(|place| pending[*place]).collect();
            }
            let content = |table: &BTreeMap<u8, usize>| table.values().map(|place| rows[*place]).collect::<Vec<_>>();
            prop_assert_eq!(content(&folded), content(&one_by_one));
            dealt_with.sort_unstable();
            prop_assert_eq!(dealt_with, (0..rows.len()).collect::<Vec<_>>());
        }
    }
}
