//! Which crate may know which: an arrow may only point down the list.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{File, Finding};

/// The layers, lowest first. A crate may depend on crates of lower layers only.
const LAYERS: [&[&str]; 13] = [
    &["event"],
    &["audit", "redaction", "routing", "spans"],
    &["queue"],
    &["queue-sqlite", "queue-aws"],
    &["outbound", "storage", "cloudformation"],
    &["oauth"],
    &["destinations", "genesys"],
    &["intake", "delivery", "operate", "reconcile", "transcripts"],
    &["quarantine-sqlite"],
    &["archive"],
    &["console", "simulator"],
    &["aftercall", "aftercall-lambda"],
    &["bench", "fuzz", "simulation"],
];
/// Know none of the others: what is quick to build, what is loaded into other programs, and what starts one for tests.
const ALONE: [&str; 3] = ["xtask", "faultfs", "local-postgres"];
/// Judges the others from outside, so it must not share their mistakes. In its tests it may compare itself with them.
const OUTSIDE: &str = "simulator";
/// Backends, and who wires them; all others know the port only.
const BACKENDS: [&str; 3] = ["queue-sqlite", "queue-aws", "quarantine-sqlite"];
const WIRES_BACKENDS: [&str; 4] = ["aftercall", "aftercall-lambda", "bench", "simulation"];
/// Pure crates, and what would make them otherwise.
const PURE: [&str; 4] = ["audit", "event", "redaction", "routing"];
const NOT_PURE: [&str; 8] = ["tokio", "hyper", "axum", "reqwest", "rusqlite", "rand", "tracing", "mio"];
/// Who may know the SDK of AWS, and in which of them only on request.
const KNOWS_AWS: [&str; 2] = ["queue-aws", "aftercall-lambda"];
const KNOWS_AWS_ON_REQUEST: [&str; 3] = ["destinations", "intake", "outbound"];

/// A member of the workspace.
struct Member {
    path: String,
    name: String,
    arrows: Vec<Arrow>,
}

/// One line of a manifest's dependencies.
struct Arrow {
    to: String,
    line: usize,
    kind: Kind,
    optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Dev,
}

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    let mut members = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        match member(file) {
            Ok(Some(member)) => members.push(member),
            Ok(None) => {}
            Err(what) => findings.push(Finding::new(&file.path, 0, what, "mend the manifest")),
        }
    }
    let layers: BTreeMap<&str, usize> =
        (0..).zip(LAYERS).flat_map(|(layer, names)| names.iter().map(move |name| (*name, layer))).collect();
    for member in &members {
        if !ALONE.contains(&member.name.as_str()) && !layers.contains_key(member.name.as_str()) {
            let what = format!("crate `{}` has no layer", member.name);
            findings.push(Finding::new(&member.path, 0, what, "give it a place in xtask/src/tidy/layers.rs"));
        }
        for arrow in &member.arrows {
            if let Some((what, cure)) = judge(member, arrow, &layers) {
                findings.push(Finding::new(&member.path, arrow.line, what, cure));
            }
        }
    }
}

/// What is wrong with an arrow, and the cure.
fn judge(from: &Member, arrow: &Arrow, layers: &BTreeMap<&str, usize>) -> Option<(String, &'static str)> {
    let (name, to) = (from.name.as_str(), arrow.to.as_str());
    let dev = arrow.kind == Kind::Dev;
    if PURE.contains(&name) && !dev && NOT_PURE.contains(&to) {
        return Some((format!("`{name}` is pure and cannot use `{to}`"), "leave that to the caller"));
    }
    if (to.starts_with("aws-sdk-") || to == "aws-config")
        && !KNOWS_AWS.contains(&name)
        && !(KNOWS_AWS_ON_REQUEST.contains(&name) && arrow.optional)
    {
        return Some((
            format!("`{name}` would build `{to}` by default"),
            "put it behind `queue-aws` or make it optional",
        ));
    }
    let target = layers.get(to)?;
    if ALONE.contains(&name) {
        return Some((format!("`{name}` stands alone and cannot use `{to}`"), "put what needs it into another crate"));
    }
    if to == name || dev && (to == OUTSIDE || name == OUTSIDE) {
        return None;
    }
    if name == OUTSIDE {
        return Some((format!("`{OUTSIDE}` judges from outside and cannot use `{to}`"), "write it independently"));
    }
    if BACKENDS.contains(&to) && !dev && !WIRES_BACKENDS.contains(&name) {
        return Some((
            format!("`{name}` names the backend `{to}`"),
            "use the port; backends are named where they are wired",
        ));
    }
    if layers.get(name).is_some_and(|own| target >= own) {
        return Some((
            format!("the arrow from `{name}` to `{to}` does not point down"),
            "turn it around, or move what both need below them",
        ));
    }
    None
}

/// A package's manifest; `None` when it has no package.
fn member(file: &File) -> Result<Option<Member>, String> {
    let table: Table = file.text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Some(name) = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str) else {
        return Ok(None);
    };
    let mut arrows = Vec::new();
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for section in targets.filter_map(Value::as_table).chain([&table]) {
        for (key, kind) in
            [("dependencies", Kind::Normal), ("build-dependencies", Kind::Normal), ("dev-dependencies", Kind::Dev)]
        {
            for (key, value) in section.get(key).and_then(Value::as_table).into_iter().flatten() {
                let to = value.get("package").and_then(Value::as_str).unwrap_or(key);
                let optional = value.get("optional").and_then(Value::as_bool) == Some(true);
                arrows.push(Arrow { to: to.to_owned(), line: line_of(&file.text, key), kind, optional });
            }
        }
    }
    Ok(Some(Member { path: file.path.clone(), name: name.to_owned(), arrows }))
}

fn line_of(text: &str, key: &str) -> usize {
    let begins = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    text.lines().position(begins).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        let mut findings = Vec::new();
        check(&[File { path: format!("crates/{name}/Cargo.toml"), text }], &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(findings("routing", "[dependencies]\nevent.workspace = true\n"), [""; 0]);
        let up = findings("event", "[dependencies]\nserde = \"1\"\nrouting.workspace = true\n");
        assert!(up[0].starts_with("crates/event/Cargo.toml:5: the arrow from `event` to `routing`"), "{up:?}");
        assert!(findings("intake", "[dependencies]\ndelivery = { path = \"x\" }\n")[0].contains("does not point down"));
        assert!(findings("intake", "[target.'cfg(unix)'.dependencies]\nconsole.workspace = true\n").len() == 1);
        assert!(findings("intake", "[dependencies]\nother = { package = \"console\" }\n").len() == 1);
    }

    #[test]
    fn tests_may_use_the_simulator() {
        assert_eq!(findings("intake", "[dev-dependencies]\nsimulator.workspace = true\n"), [""; 0]);
        assert_eq!(findings("simulator", "[dev-dependencies]\nevent.workspace = true\n"), [""; 0]);
        assert!(findings("intake", "[dependencies]\nsimulator.workspace = true\n").len() == 1);
        assert!(findings("simulator", "[dependencies]\nevent.workspace = true\n")[0].contains("from outside"));
    }

    #[test]
    fn backends_are_named_where_they_are_wired() {
        assert!(findings("intake", "[dependencies]\nqueue-sqlite.workspace = true\n")[0].contains("names the backend"));
        assert_eq!(findings("intake", "[dev-dependencies]\nqueue-sqlite.workspace = true\n"), [""; 0]);
        assert_eq!(findings("aftercall", "[dependencies]\nqueue-sqlite.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn pure_crates_stay_pure_and_aws_stays_apart() {
        assert!(findings("event", "[dependencies]\ntokio = \"1\"\n")[0].contains("is pure"));
        assert!(findings("intake", "[dependencies]\naws-sdk-sqs = \"1\"\n")[0].contains("by default"));
        assert!(findings("destinations", "[dependencies]\naws-sdk-sqs = \"1\"\n").len() == 1);
        assert_eq!(
            findings("destinations", "[dependencies]\naws-sdk-sqs = { version = \"1\", optional = true }\n"),
            [""; 0]
        );
    }

    #[test]
    fn every_crate_has_a_layer_and_xtask_stays_alone() {
        assert!(findings("surprise", "")[0].contains("has no layer"));
        assert_eq!(findings("xtask", "[dependencies]\nanyhow = \"1\"\n"), [""; 0]);
        assert!(findings("xtask", "[dependencies]\nevent.workspace = true\n")[0].contains("stands alone"));
        assert!(findings("event", "[dependencies\n").len() == 1);
    }
}
