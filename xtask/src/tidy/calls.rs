//! Calls that have no place in some or in all code.

use super::Finding;
use super::source::Source;

/// Crates that compute and do nothing else.
const PURE: [&str; 3] = ["crates/audit/src/", "crates/event/src/", "crates/routing/src/"];

/// What a pure crate does not do, and what it does instead.
const NOT_PURE: [(&str, &str); 8] = [
    ("SystemTime", "take the time as an argument"),
    ("Instant::now", "take the time as an argument"),
    ("std::env", "take the setting as an argument"),
    ("std::fs", "take the text as an argument"),
    ("std::net::Tcp", "leave input and output to the caller"),
    ("std::process", "leave input and output to the caller"),
    ("thread::sleep", "take the time as an argument"),
    ("tokio::", "leave waiting to the caller"),
];

/// What no code does.
const NOWHERE: [(&str, &str); 4] = [
    ("#[ignore", "let the test run, or take it out"),
    ("todo!(", "write it, or leave it out"),
    ("unimplemented!(", "write it, or leave it out"),
    ("dbg!(", "take it out"),
];

pub(super) fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let pure = PURE.iter().any(|folder| source.path.starts_with(folder));
    for (number, line, test) in source.lines() {
        let mut look = |banned: &[(&str, &str)], whose: &str| {
            for (call, cure) in banned.iter().filter(|(call, _)| contains(line, call)) {
                findings.push(Finding::new(source.path, number, format!("`{call}` has no place in {whose}"), *cure));
            }
        };
        look(&NOWHERE, "any code");
        if pure && !test {
            look(&NOT_PURE, "a pure crate");
        }
    }
}

/// Whether the line has this, and not as the end of a longer word.
fn contains(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
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
    fn pure_crates_neither_read_clocks_nor_files() {
        let text = "use std::fs::File;\nfn f() { Instant::now(); }\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let found = findings("crates/event/src/a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/event/src/a.rs:1: `std::fs` has no place in a pure crate"));
        assert_eq!(findings("crates/intake/src/a.rs", text), [""; 0]);
    }

    #[test]
    fn unfinished_code_is_found_in_tests_too() {
        let found = findings(
            "x.rs",
            "fn f() { todo!() }\n#[cfg(test)]\nmod t {\n #[ignore = \"slow\"]\n fn g() { dbg!(1); }\n}",
        );
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn words_that_only_end_alike_are_let_alone() {
        assert_eq!(findings("x.rs", "fn f() { my_todo!(1); \"todo!()\"; } // dbg!(1)"), [""; 0]);
    }
}
