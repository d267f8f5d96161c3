//! `aftercall status`: how the server and its queue are doing.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use event::Timestamp;
use serde_json::Value;

use crate::admin::Admin;
use crate::cli::StatusArgs;
use crate::output::counted;
use crate::{alarms, dead_letters, output};

/// Asks the running server and shows what it says.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = Admin::of(&args.server)?.get("status", &[])?;
    if args.json {
        output::print_json(&status)?
    } else {
        output::print(&show(&status))?
    }
    Ok(if status["ready"] == true { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn show(status: &Value) -> String {
    let queue = &status["queue"];
    let mut text = String::new();
    match queue["poisoned"].as_str() {
        Some(reason) => text.push_str(&format!("STOPPED: {reason}\n")),
        None if status["ready"] == true => text.push_str("ready\n"),
        None => text.push_str("not ready: the server is stopping, or its queue has stopped; see its log\n"),
    }
    if let Some(problem) = status["config"]["error"].as_str() {
        text.push_str(&format!("CONFIGURATION REFUSED, the one before is in force: {problem}\n"));
    }
    let number = |name: &str| queue[name].as_u64().unwrap_or_default();
    text.push_str(&format!(
        "{} accepted, {} refused, {}, {} matched no route, {}\n{} kept, {} identities known, {} on disk\n\n",
        counted(number("accepted"), "event"),
        counted(number("duplicates"), "duplicate"),
        counted(number("conflicts"), "conflict"),
        number("unmatched"),
        counted(number("dead_letters"), "dead letter"),
        counted(number("retained"), "event"),
        number("identities"),
        bytesize::ByteSize(number("disk_bytes")),
    ));
    match number("replayed") {
        0 => {}
        1 => text.push_str("1 event was replayed\n\n"),
        replayed => text.push_str(&format!("{replayed} events were replayed\n\n")),
    }
    text.push_str(&format!("{}\n\n{}\n{}", destinations(status), sources(status), quarantine(status)));
    text.push_str(&unusable(status));
    text.push_str(&put_aside(status));
    text.push_str(&held(status));
    text.push_str(&kept(status));
    text.push_str(&unrecognised(status));
    text.push_str(&crate::archive::in_status(status));
    text.push_str(&alarms::in_status(status));
    text
}

/// A line for each destination that cannot be used at all.
fn unusable(status: &Value) -> String {
    let destinations = status["destinations"].as_array().into_iter().flatten();
    let line = |destination: &Value| {
        let problem = destination["unusable"]["problem"].as_str()?;
        let (name, problem) = (dead_letters::text(&destination["name"]), dead_letters::text(&problem.into()));
        Some(format!("\n{name} cannot be used, its events wait until it is mended: {problem}\n"))
    };
    destinations.filter_map(line).collect()
}

/// A line for each destination of which deliveries were put aside and not replayed yet, with what brings them back.
fn put_aside(status: &Value) -> String {
    let consumers = status["queue"]["consumers"].as_array().into_iter().flatten();
    let line = |consumer: &Value| match consumer["put_aside"].as_u64().unwrap_or_default() {
        0 => String::new(),
        count => {
            let name = dead_letters::text(&consumer["name"]);
            let what = counted(count, "event");
            format!(
                "\n{name}: {what} put aside in the archive and not replayed; when it is up again: aftercall replay --source \
                 outage --destination {name}\n"
            )
        }
    };
    consumers.map(line).collect()
}

/// A line for each destination at which conversations wait for their dead letters.
fn held(status: &Value) -> String {
    let consumers = status["queue"]["consumers"].as_array().into_iter().flatten();
    let line = |consumer: &Value| match consumer["held_conversations"].as_u64().unwrap_or_default() {
        0 => String::new(),
        conversations => format!(
            "\n{}: {conversations} conversations with {} events wait behind dead letters: aftercall dead-letters list \
             --destination {}\n",
            dead_letters::text(&consumer["name"]),
            consumer["held"],
            dead_letters::text(&consumer["name"]),
        ),
    };
    consumers.map(line).collect()
}

/// A line for each destination that keeps deliveries of its own, and for each that has left some.
fn kept(status: &Value) -> String {
    let mut text = String::new();
    for destination in status["destinations"].as_array().into_iter().flatten() {
        let (name, keeps) = (dead_letters::text(&destination["name"]), &destination["keeps"]);
        if let Some(rows) = keeps["rows"].as_u64().filter(|rows| *rows > 0) {
            text.push_str(&format!("\n{name}: {rows} deliveries are in its journal until their file is written\n"));
        }
        if let Some(problem) = keeps["problem"].as_str() {
            text.push_str(&format!("\n{name}: {problem}\n"));
        }
    }
    for left in status["left"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "\n{}: NOT CONFIGURED, and {} deliveries that it took over are in no file; configure it again until {} is \
             empty\n",
            dead_letters::text(&left["destination"]),
            left["rows"],
            dead_letters::text(&left["journal"]),
        ));
    }
    text
}

/// A line if something is in the quarantine, or something is wrong with it.
fn quarantine(status: &Value) -> String {
    let quarantine = &status["quarantine"];
    if let Some(reason) = quarantine["closed"].as_str() {
        return format!("\nthe quarantine is closed, events are not concerned: {reason}\n");
    }
    let sources = quarantine["sources"].as_array().into_iter().flatten();
    match sources.filter_map(|counts| counts["requests"].as_u64()).sum::<u64>() {
        0 => String::new(),
        count => format!("\n{count} refused requests are in the quarantine: aftercall quarantine list\n"),
    }
}

/// A line for each member of which outcomes could not make anything.
fn unrecognised(status: &Value) -> String {
    let members = status["unrecognised"].as_array().into_iter().flatten();
    let line = |member: &Value| {
        format!(
            "\nnot recognised in outcomes since the start: {} values of {}, last in event {}\n",
            member["values"],
            dead_letters::text(&member["path"]),
            dead_letters::text(&member["last_event"]),
        )
    };
    members.map(line).collect()
}

fn destinations(status: &Value) -> Table {
    let now = Timestamp::from_millis(status["now"].as_i64().unwrap_or_default());
    let header =
        ["destination", "state", "delivered", "waiting", "retrying", "in flight", "dead", "oldest", "last error"];
    let mut table = table(&header, 2..8);
    for consumer in status["queue"]["consumers"].as_array().into_iter().flatten() {
        let services = status["destinations"].as_array();
        let health = services.into_iter().flatten().find(|service| service["name"] == consumer["name"]);
        let paused = health.map_or(&Value::Null, |service| &service["paused"]);
        let unusable = health.map_or(&Value::Null, |service| &service["unusable"]);
        let health = health.map_or(&Value::Null, |service| &service["health"]);
        let state = if consumer["configured"] != true {
            "not configured".to_owned()
        } else if let Some(since) = unusable["since"].as_i64() {
            format!("UNUSABLE for {}", age(Timestamp::from_millis(since).until(now)))
        } else {
            state(&health["gate"], paused, now)
        };
        let state = match consumer["put_aside"].as_u64() {
            Some(aside @ 1..) => format!("{state}; {aside} put aside"),
            _ => state,
        };
        let count = |name: &str| consumer[name].as_u64().unwrap_or_default().to_string();
        let oldest = consumer["oldest_unsettled"].as_i64().map(|at| age(Timestamp::from_millis(at).until(now)));
        let error = health["last_error"]["message"].as_str().unwrap_or("-");
        table.add_row([
            consumer["name"].as_str().unwrap_or_default().to_owned(),
            state,
            count("delivered"),
            count("unsettled"),
            count("retrying"),
            count("leased"),
            count("dead_letters"),
            oldest.unwrap_or_else(|| "-".to_owned()),
            error.chars().take(60).collect(),
        ]);
    }
    table
}

/// Whether deliveries go out, and if not, why and until when.
fn state(gate: &Value, paused: &Value, now: Timestamp) -> String {
    let time = |value: &Value| value.as_i64().map(Timestamp::from_millis);
    let since =
        || time(&gate["breaker"]["since"]).map_or_else(String::new, |at| format!(" for {}", age(at.until(now))));
    if gate["paused"] == true {
        let Some(since) = time(&paused["since"]) else { return "PAUSED".to_owned() };
        return format!("PAUSED by {} since {} ago", dead_letters::text(&paused["by"]), age(since.until(now)));
    }
    match gate["breaker"]["state"].as_str() {
        Some("open") => {
            let probe = time(&gate["breaker"]["next_probe"]).map(|at| now.until(at)).unwrap_or_default();
            format!("DOWN{}, probe in {}", since(), age(probe))
        }
        Some("half-open") => format!("DOWN{}, probing", since()),
        Some("waiting") => "was down; waits for an event to probe with".to_owned(),
        None => "starting".to_owned(),
        Some("ramp") => format!("coming back, {} at a time", gate["limit"].as_u64().unwrap_or_default()),
        _ => match time(&gate["rate_opens"]) {
            Some(at) if at > now => format!("up, rate limit reached for {}", age(now.until(at))),
            _ => "up".to_owned(),
        },
    }
}

fn sources(status: &Value) -> Table {
    let mut table = table(&["source", "requests", "accepted", "duplicates", "unreadable", "refused"], 1..6);
    for source in status["sources"].as_array().into_iter().flatten() {
        let counters = &source["counters"];
        let count = |name: &str| counters[name].as_u64().unwrap_or_default().to_string();
        let refused = counters["refused"].as_array().into_iter().flatten();
        let refused: u64 = refused.filter_map(|reason| reason[1].as_u64()).sum();
        let name = source["name"].as_str().unwrap_or_default();
        table.add_row([
            if name.is_empty() { "(unknown)" } else { name }.to_owned(),
            count("requests"),
            count("accepted"),
            count("duplicates"),
            count("unreadable"),
            refused.to_string(),
        ]);
    }
    table
}

/// A plain table whose columns in `numbers` are aligned to the right.
pub(crate) fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A time span in its two largest units.
pub(crate) fn age(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs()))
        .to_string()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}
