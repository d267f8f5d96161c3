//! `aftercall unmatched`: events that no route led to any destination when they were accepted.
//!
//! A page of the server's is short where little is selected, so these commands ask for the next one until they have what
//! they were asked for, or there is nothing left.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::{ListUnmatchedArgs, UnmatchedCommand, UnmatchedGroupsArgs, WhichUnmatchedArgs};
use crate::dead_letters::{ago, text};
use crate::status::table;
use crate::{output, serve};

/// Groups of a page that is asked for; all are wanted.
const PAGE: usize = 1_000;

/// Runs one of its commands.
pub(crate) fn run(command: &UnmatchedCommand) -> anyhow::Result<ExitCode> {
    match command {
        UnmatchedCommand::Groups(args) => groups(args)?,
        UnmatchedCommand::List(args) => list(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is chosen, as a query of the admin API.
fn chosen(which: &WhichUnmatchedArgs) -> anyhow::Result<Vec<(&'static str, String)>> {
    if let (Some(from), Some(to)) = (which.from, which.to) {
        ensure!(from < to, "--from must be before --to");
    }
    Ok(which.query(serve::now()))
}

/// Asks for page after page until `each` has enough; whether there are more.
fn pages(
    admin: &Admin,
    path: &str,
    query: &[(&'static str, String)],
    limit: usize,
    mut each: impl FnMut(&Value) -> bool,
) -> anyhow::Result<bool> {
    let mut cursor = None;
    loop {
        let here = cursor.map(|cursor| ("cursor", cursor));
        let query: Vec<_> = query.iter().cloned().chain([("limit", limit.to_string())]).chain(here).collect();
        let page = admin.get(path, &query)?;
        let wants_more = each(&page);
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || !wants_more {
            return Ok(cursor.is_some());
        }
    }
}

fn items<'a>(page: &'a Value, name: &str) -> &'a [Value] {
    page[name].as_array().map_or(&[], Vec::as_slice)
}

fn list(args: &ListUnmatchedArgs) -> anyhow::Result<()> {
    let mut query = chosen(&args.which)?;
    let is_selected = !query.is_empty();
    query.extend(args.before.map(|before| ("before", before.to_string())));
    let (wanted, mut events, mut damaged) = (usize::from(args.limit), Vec::new(), Vec::new());
    let more = pages(&Admin::of(&args.server)?, "unmatched", &query, wanted, |page| {
        events.extend_from_slice(items(page, "events"));
        damaged.extend_from_slice(items(page, "damaged"));
        events.len() < wanted
    })?;
    // Of two short pages the second may have more than was wanted.
    let more = more || events.len() > wanted;
    events.truncate(wanted);
    // Whoever goes on by hand goes on before one that is seen, and not at a cursor.
    let next = events.last().filter(|_| more).map_or(Value::Null, |last| last["seq"].clone());
    if args.json {
        return output::print_json(&json!({ "events": events, "damaged": damaged, "next": next }));
    }
    let mut table = table(&["event", "place", "came", "source", "topic", "conversation", "bytes"], 1..2);
    for event in &events {
        table.add_row([
            text(&event["event"]),
            text(&event["seq"]),
            ago(&event["received"]),
            text(&event["source"]),
            text(&event["topic"]),
            text(&event["conversation"]),
            text(&event["body_bytes"]),
        ]);
    }
    let mut shown = match events.first() {
        None => none(is_selected || args.before.is_some()).to_owned(),
        Some(first) => format!("{table}\n\nWhy no route takes it: aftercall trace --event {}\n", text(&first["event"])),
    };
    if !next.is_null() {
        shown.push_str(&format!("There may be more: --before {next}\n"));
    }
    shown.push_str(&in_damage(&damaged));
    output::print(&shown)
}

/// What it means that there is nothing to show.
fn none(is_selected: bool) -> &'static str {
    match is_selected {
        true => "no event without a route is of this choice\n",
        false => {
            "no events without a route: every event that the log has was led to a destination when it was accepted\n"
        }
    }
}

fn in_damage(damaged: &[Value]) -> String {
    match damaged {
        [] => String::new(),
        [first, ..] => format!(
            "{} events without a route cannot be read, the first of them at place {first}: aftercall check\n",
            damaged.len()
        ),
    }
}

/// Groups of all pages, added up.
#[derive(Default)]
struct Tally {
    groups: BTreeMap<(String, String), Group>,
    looked_at: u64,
    damaged: Vec<Value>,
}

struct Group {
    count: u64,
    first: i64,
    last: i64,
    /// Of the first page that has the group, so the newest.
    sample: Value,
}

impl Tally {
    fn add(&mut self, page: &Value) {
        self.looked_at += page["looked_at"].as_u64().unwrap_or_default();
        self.damaged.extend_from_slice(items(page, "damaged"));
        for group in items(page, "groups") {
            let name = |field: &str| group[field].as_str().unwrap_or_default().to_owned();
            let time = |field: &str| group[field].as_i64().unwrap_or_default();
            let (first, last) = (time("first"), time("last"));
            let begun = || Group { count: 0, first, last, sample: group["sample"].clone() };
            let sum = self.groups.entry((name("source"), name("topic"))).or_insert_with(begun);
            sum.count += group["count"].as_u64().unwrap_or_default();
            (sum.first, sum.last) = (sum.first.min(first), sum.last.max(last));
        }
    }

    /// The largest first.
    fn groups(&self) -> Vec<Value> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        let shown = |((source, topic), group): (&(String, String), &Group)| {
            let Group { count, first, last, sample } = group;
            json!({
                "source": source, "topic": topic, "count": count, "first": first, "last": last, "sample": sample,
            })
        };
        groups.into_iter().map(shown).collect()
    }
}

fn groups(args: &UnmatchedGroupsArgs) -> anyhow::Result<()> {
    let query = chosen(&args.which)?;
    let mut tally = Tally::default();
    let more = pages(&Admin::of(&args.server)?, "unmatched-groups", &query, PAGE, |page| {
        tally.add(page);
        tally.looked_at < args.newest
    })?;
    let groups = tally.groups();
    if args.json {
        return output::print_json(&json!({
            "groups": groups, "looked_at": tally.looked_at, "damaged": tally.damaged, "more": more,
        }));
    }
    let mut table = table(&["events", "source", "topic", "first", "last", "newest event"], 0..1);
    for group in &groups {
        table.add_row([
            text(&group["count"]),
            text(&group["source"]),
            text(&group["topic"]),
            ago(&group["first"]),
            ago(&group["last"]),
            text(&group["sample"]),
        ]);
    }
    let mut shown = match groups.first() {
        None => none(!query.is_empty() || more).to_owned(),
        Some(first) => format!(
            "{table}\n\nWhy no route takes it: aftercall trace --event {}\nAll of a group: aftercall unmatched list \
             --source SOURCE --topic TOPIC\n",
            text(&first["sample"]),
        ),
    };
    if more {
        shown.push_str(&format!(
            "Only the newest {} events without a route were looked at; there are more: --newest\n",
            tally.looked_at
        ));
    }
    shown.push_str(&in_damage(&tally.damaged));
    output::print(&shown)
}
