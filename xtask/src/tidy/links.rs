//! Links in Markdown that lead nowhere: to a file that is not there, to a heading that it does not have, or to a function
//! of a Rust file that it does not have (so that a promise can link the test that proves it).

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

pub(super) fn check(paths: &BTreeSet<String>, files: &[File], findings: &mut Vec<Finding>) {
    let pages: BTreeMap<&str, Page<'_>> = files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .map(|file| (file.path.as_str(), Page::new(&file.text)))
        .collect();
    let code = files.iter().filter(|file| file.path.ends_with(".rs"));
    let code: BTreeMap<&str, &str> = code.map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let tree = Tree { paths, pages: &pages, code: &code };
    for (path, page) in &pages {
        for (line, target) in page.links() {
            if let Some(what) = tree.dead(path, &target) {
                findings.push(Finding::new(path, line, what, "correct the link, or take it out"));
            }
        }
    }
}

/// What links can lead to.
struct Tree<'a> {
    paths: &'a BTreeSet<String>,
    pages: &'a BTreeMap<&'a str, Page<'a>>,
    code: &'a BTreeMap<&'a str, &'a str>,
}

impl Tree<'_> {
    /// Why a link is dead.
    fn dead(&self, from: &str, target: &str) -> Option<String> {
        let has_scheme =
            target.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphabetic()));
        if has_scheme {
            return None;
        }
        let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
        let Some(path) = (if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) }) else {
            return Some(format!("the link to `{target}` leaves the project"));
        };
        let folder = format!("{path}/");
        let exists =
            path.is_empty() || self.paths.contains(&path) || self.paths.iter().any(|other| other.starts_with(&folder));
        if !exists {
            return Some(format!("the link to `{target}` leads nowhere"));
        }
        let anchor = anchor?;
        if let Some(page) = self.pages.get(path.as_str()) {
            let is_dead = !page.anchors().contains(anchor);
            return is_dead.then(|| format!("the link to `{target}` names a heading that is not there"));
        }
        let code = self.code.get(path.as_str())?;
        let is_dead = !has_function(code, anchor);
        is_dead.then(|| format!("the link to `{target}` names a function that is not there"))
    }
}

/// Whether the code has a function of this name, or so many lines when it is a line that is meant.
fn has_function(code: &str, anchor: &str) -> bool {
    if let Some(line) = anchor.strip_prefix('L').and_then(|line| line.parse::<usize>().ok()) {
        return line <= code.lines().count();
    }
    let after = |rest: &str| rest.starts_with(['(', '<']);
    code.split("fn ").skip(1).any(|rest| rest.strip_prefix(anchor).is_some_and(after))
}

/// The path that a link means, seen from the file that it stands in; `None` when it leads out of the project.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = if link.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A page of Markdown: its lines outside of code.
struct Page<'a>(Vec<(usize, &'a str)>);

impl<'a> Page<'a> {
    fn new(text: &'a str) -> Self {
        let mut fence: Option<&str> = None;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let start = line.trim_start();
            let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
            match (fence, mark) {
                (None, Some(_)) => fence = mark,
                (Some(open), Some(mark)) if open == mark => fence = None,
                (None, None) => lines.push((number, line)),
                _ => {}
            }
        }
        Self(lines)
    }

    /// Where links lead to, with their lines.
    fn links(&self) -> impl Iterator<Item = (usize, String)> {
        self.0.iter().flat_map(|(number, line)| {
            let line = without_code(line);
            let inline = line.match_indices("](").filter_map(|(at, _)| inline_target(&line[at + 2..]));
            let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
            let targets: Vec<_> =
                inline.chain(reference).map(|target| target.split_whitespace().next().unwrap_or_default()).collect();
            targets.into_iter().map(|target| (*number, target.trim_matches(['<', '>']).to_owned())).collect::<Vec<_>>()
        })
    }

    /// The anchors of the headings, as they are made on the web: lower case, spaces as hyphens, marks left out.
    fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for (_, line) in &self.0 {
            let heading = line.trim_start_matches('#');
            if heading.len() == line.len() || !heading.starts_with(' ') {
                continue;
            }
            let anchor = slug(heading.trim());
            let again = (1..).map(|count| format!("{anchor}-{count}"));
            if let Some(free) = std::iter::once(anchor.clone()).chain(again).find(|name| !anchors.contains(name)) {
                anchors.insert(free);
            }
        }
        anchors
    }
}

fn slug(heading: &str) -> String {
    // Of a link in a heading only the text counts.
    let mut text = heading.to_owned();
    while let Some((open, close)) = text.find("](").and_then(|at| Some((at, at + text[at..].find(')')?))) {
        text.replace_range(open..=close, "");
    }
    text.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn inline_target(rest: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(&rest[..at]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The line with what is between backticks blanked out.
fn without_code(line: &str) -> String {
    let mut parts = line.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        text.push('`');
        text.push_str(if at % 2 == 0 { "" } else { part });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        let files: Vec<_> =
            files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        let mut findings = Vec::new();
        check(&paths, &files, &mut findings);
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn links_to_files_and_folders_are_followed() {
        let text = "[a](docs/b.md) [b](./docs/) [c](https://example.com/x) [d](mailto:a@example.com)\n\n\
                    [e](docs/none.md) `[f](none)`\n```\n[g](none)\n```\n[h]: docs/gone.md\n[i](../out.md)\n";
        let found = findings(&[("README.md", text), ("docs/b.md", "[back](../README.md) [root](/README.md)")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("README.md:3: the link to `docs/none.md` leads nowhere"));
        assert!(found[1].starts_with("README.md:7: "));
        assert!(found[2].contains("leaves the project"));
    }

    #[test]
    fn a_promise_links_a_test_that_is_there() {
        let text = "[a](t.rs#is_kept) [b](t.rs#is_broken) [c](t.rs#L2) [d](t.rs#L20) [e](t.rs#is)\n";
        let found = findings(&[("x.md", text), ("t.rs", "#[test]\nfn is_kept() {}\n")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|found| found.contains("`t.rs#is_broken` names a function that is not there")));
    }

    #[test]
    fn anchors_are_those_of_the_headings() {
        let page = "# The queue, and `what` it [holds](x.md)\n## Two words\n## Two words\n```\n# no heading\n```\n";
        let text =
            "[a](x.md#the-queue-and-what-it-holds) [b](x.md#two-words-1) [c](x.md#no-heading) [d](#here)\n# Here\n";
        let found = findings(&[("y.md", text), ("x.md", page)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`x.md#no-heading`"));
    }
}
