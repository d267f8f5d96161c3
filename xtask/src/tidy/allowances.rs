//! Sizes and counts that may be exceeded in listed places only, by as much as is listed, and never by more.
//!
//! A number in the list must be the one that is true today, so that every improvement is written down and can't be
//! lost again.

use std::collections::BTreeMap;

use toml::Table;

use super::source::Source;
use super::{File, Finding};

/// The list.
const LIST: &str = "xtask/allowances.toml";
/// Lines of a file besides tests: what can be read in one go.
const LINES_MAX: usize = 400;

/// What is counted in a file, and how many of it need no entry in the list.
struct Rule {
    section: &'static str,
    free: usize,
    what: &'static str,
    cure: &'static str,
    /// The lines on which it is found.
    places: fn(&Source<'_>) -> Vec<usize>,
}

const RULES: [Rule; 4] = [
    Rule {
        section: "lines",
        free: LINES_MAX,
        what: "lines besides tests",
        cure: "give a part of it a file of its own",
        places: |source| source.code_lines(),
    },
    Rule {
        section: "allow_attributes",
        free: 0,
        what: "attributes that silence a lint",
        cure: "mend what the lint finds, or use `#[expect(…, reason = \"…\")]`",
        places: |source| source.allow_attributes(),
    },
    Rule {
        section: "clock_reads",
        free: 0,
        what: "readings of the system's clock outside of a clock",
        cure: "let the caller bring the time, or move it to `clock.rs`",
        places: clock_reads,
    },
    Rule {
        section: "test_sleeps",
        free: 0,
        what: "sleeps in tests",
        cure: "wait for a state with a deadline, or use tokio's paused time",
        places: test_sleeps,
    },
];

/// Crates that play the outside world or drive it: they have the real time.
const OUTSIDE: [&str; 3] = ["crates/simulator/", "bench/", "xtask/"];

fn clock_reads(source: &Source<'_>) -> Vec<usize> {
    let is_clock = source.path.ends_with("/clock.rs") || OUTSIDE.iter().any(|outside| source.path.starts_with(outside));
    if is_clock { Vec::new() } else { lines_with(source, false, &["SystemTime::now"]) }
}

/// A pause in time that tokio has paused costs nothing and hides nothing, so files that use it are free of this rule;
/// so is the simulator, whose faults are pauses.
fn test_sleeps(source: &Source<'_>) -> Vec<usize> {
    if source.path.starts_with("crates/simulator/") {
        return Vec::new();
    }
    let virtual_time = source.text.contains("start_paused") || source.text.contains("time::pause(");
    let sleeps: &[&str] = if virtual_time { &["thread::sleep("] } else { &["thread::sleep(", "time::sleep("] };
    lines_with(source, true, sleeps)
}

/// The lines of tests, or those besides tests, that have one of these words.
fn lines_with(source: &Source<'_>, tests: bool, words: &[&str]) -> Vec<usize> {
    let has = |line: &str| words.iter().any(|word| line.contains(word));
    source.lines().filter(|(_, line, test)| *test == tests && has(line)).map(|(number, ..)| number).collect()
}

/// What is listed: section, path, number.
#[derive(Debug, Default)]
pub(super) struct Allowances(BTreeMap<String, BTreeMap<String, usize>>);

impl Allowances {
    pub(super) fn of(files: &[File], findings: &mut Vec<Finding>) -> Self {
        let Some(file) = files.iter().find(|file| file.path == LIST) else {
            return Self::default();
        };
        Self::parse(&file.text).unwrap_or_else(|what| {
            findings.push(Finding::new(LIST, 0, what, "write `[section]` and lines of `\"path\" = number`"));
            Self::default()
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut sections = BTreeMap::new();
        for (name, section) in &table {
            if !RULES.iter().any(|rule| rule.section == name) {
                return Err(format!("there is no rule `{name}`"));
            }
            let entries = section.as_table().ok_or_else(|| format!("`{name}` is no section"))?;
            let mut numbers = BTreeMap::new();
            for (path, number) in entries {
                let number = number.as_integer().and_then(|number| usize::try_from(number).ok());
                numbers.insert(path.clone(), number.ok_or_else(|| format!("`{path}` has no number"))?);
            }
            sections.insert(name.clone(), numbers);
        }
        Ok(Self(sections))
    }

    pub(super) fn check(&self, sources: &[Source<'_>], findings: &mut Vec<Finding>) {
        for rule in &RULES {
            let mut listed = self.0.get(rule.section).cloned().unwrap_or_default();
            for source in sources {
                let places = (rule.places)(source);
                let allowed = listed.remove(source.path);
                findings.extend(judge(rule, source.path, &places, allowed));
            }
            for path in listed.keys() {
                let what = format!("`{}` lists {path}, which is not there", rule.section);
                findings.push(Finding::new(LIST, 0, what, "take the line out"));
            }
        }
    }
}

fn judge(rule: &Rule, path: &str, places: &[usize], allowed: Option<usize>) -> Option<Finding> {
    let Rule { section, free, what, cure, .. } = rule;
    let count = places.len();
    if let Some(allowed) = allowed
        && count < allowed
    {
        let cure = if count <= *free { "take the line out".to_owned() } else { format!("lower it to {count}") };
        return Some(Finding::new(LIST, 0, format!("`{section}` allows {path} {allowed}, but it has {count}"), cure));
    }
    let most = allowed.unwrap_or(*free);
    // The first one too many.
    let line = places.get(most)?;
    Some(Finding::new(path, *line, format!("{count} {what}, and no more than {most} are allowed"), *cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(list: &str, sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(path, text)| Source::new(path, text)).collect();
        let mut findings = Vec::new();
        Allowances::parse(list).unwrap().check(&sources, &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn long_files_need_an_entry_that_only_shrinks() {
        let text = "fn f() {}\n".repeat(410);
        let with = |list: &str| findings(list, &[("a.rs", &text)]);
        assert!(with("")[0].starts_with("a.rs:401: 410 lines besides tests, and no more than 400"));
        assert_eq!(with("[lines]\n\"a.rs\" = 410"), [""; 0]);
        assert!(with("[lines]\n\"a.rs\" = 409")[0].contains("no more than 409"));
        assert!(with("[lines]\n\"a.rs\" = 420")[0].contains("lower it to 410"));
        let short = findings("[lines]\n\"a.rs\" = 420\n\"gone.rs\" = 500", &[("a.rs", "")]);
        assert!(short[0].contains("but it has 0; take") && short[1].contains("is not there"), "{short:?}");
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(900));
        assert_eq!(findings("", &[("a.rs", &text)]), [""; 0]);
    }

    #[test]
    fn silenced_lints_are_counted() {
        let found = findings("", &[("a.rs", "#[allow(dead_code)]\nfn f() {}\n// #[allow(x)]\n")]);
        assert!(found.len() == 1 && found[0].contains("1 attributes"), "{found:?}");
    }

    #[test]
    fn clocks_alone_read_the_time() {
        let text = "fn f() { SystemTime::now(); }\n";
        let places =
            [("crates/a/src/b.rs", text), ("crates/a/src/clock.rs", text), ("crates/simulator/src/c.rs", text)];
        let found = findings("", &places);
        assert!(found.len() == 1 && found[0].starts_with("crates/a/src/b.rs"), "{found:?}");
    }

    #[test]
    fn tests_do_not_sleep_unless_time_is_paused() {
        let sleep = "#[cfg(test)]\nmod tests {\n    fn f() { tokio::time::sleep(x); }\n}\n";
        let paused = format!("{sleep}// start_paused\n");
        let found = findings("", &[("a.rs", sleep), ("b.rs", &paused), ("c.rs", "fn f() { thread::sleep(x) }")]);
        assert!(found.len() == 1 && found[0].starts_with("a.rs:3: 1 sleeps"), "{found:?}");
    }

    #[test]
    fn a_list_that_is_wrong_is_refused() {
        for (list, reason) in [("[nonsense]", "no rule"), ("lines = 3", "no section"), ("[lines]\na = -1", "no number")]
        {
            assert!(Allowances::parse(list).unwrap_err().contains(reason), "{list}");
        }
    }
}
