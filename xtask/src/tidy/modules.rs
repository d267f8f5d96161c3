//! Files of Rust: their names, and that each begins with what it is for.

use std::path::Path;

use super::Finding;
use super::source::Source;

/// Names that say nothing about what is inside.
const SAY_NOTHING: [&str; 11] =
    ["utils", "util", "common", "helpers", "helper", "types", "manager", "managers", "misc", "shared_utils", "stuff"];

pub(super) fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let path = Path::new(source.path);
    let parts = path.with_extension("");
    for part in parts.components().filter_map(|part| part.as_os_str().to_str()) {
        if let Some(what) = bad_name(part) {
            findings.push(Finding::new(source.path, 0, what, "name it after what it holds"));
        }
    }
    for (number, line, _) in source.lines() {
        let words: Vec<&str> = line.trim_end_matches([' ', '{', ';', '}']).split_whitespace().collect();
        if let [.., "mod", name] = words[..]
            && let Some(what) = bad_name(name)
        {
            findings.push(Finding::new(source.path, number, what, "name it after what it holds"));
        }
    }
    if needs_header(source.path) && !begins_with_header(source.text) {
        let what = "it does not begin with `//!`";
        findings.push(Finding::new(source.path, 1, what, "say what the module is for, in one or two sentences"));
    }
}

fn bad_name(name: &str) -> Option<String> {
    let versioned = name.rsplit_once("_v").is_some_and(|(_, digits)| digits.parse::<u32>().is_ok());
    if SAY_NOTHING.contains(&name) {
        Some(format!("the name `{name}` says nothing"))
    } else if versioned {
        Some(format!("the name `{name}` tells of the past"))
    } else {
        None
    }
}

/// A file of tests is named after what it tests; that is header enough.
fn needs_header(path: &str) -> bool {
    !(path.ends_with("/tests.rs") || path.contains("/src/") && path.contains("/tests/"))
}

fn begins_with_header(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    first.is_some_and(|line| line.starts_with("//!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn names_must_say_something() {
        assert!(findings("crates/a/src/utils.rs", "//! A.\n")[0].contains("`utils` says nothing"));
        assert!(findings("crates/a/src/common/b.rs", "//! A.\n")[0].contains("`common`"));
        assert!(findings("crates/a/src/queue_v2.rs", "//! A.\n")[0].contains("tells of the past"));
        assert!(
            findings("crates/a/src/b.rs", "//! A.\npub(crate) mod helpers {}\n")[0].starts_with("crates/a/src/b.rs:2")
        );
        assert_eq!(findings("crates/a/src/queue.rs", "//! A.\nmod lease;\n"), [""; 0]);
    }

    #[test]
    fn a_module_begins_with_what_it_is_for() {
        assert!(findings("crates/a/src/b.rs", "use x;\n//! A.\n")[0].contains("begin with"));
        assert!(findings("crates/a/src/b.rs", "")[0].contains("begin with"));
        assert_eq!(findings("crates/a/src/b.rs", "#![no_std]\n\n//! A.\n"), [""; 0]);
        assert_eq!(findings("crates/a/src/b/tests.rs", "use x;\n"), [""; 0]);
    }
}
