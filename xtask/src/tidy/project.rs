//! Files that a project has: a licence, and a record of changes that says what comes next.

use super::{File, Finding};

/// A file that must be there, what must be in it, and the cure.
const REQUIRED: [(&str, &str, &str); 2] = [
    ("LICENSE", "Apache License", "put the text of the Apache License 2.0 there"),
    ("CHANGELOG.md", "## Unreleased", "write under `## Unreleased` what has changed for users"),
];

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    for (path, content, cure) in REQUIRED {
        let text = files.iter().find(|file| file.path == path).map(|file| file.text.replace(['[', ']'], ""));
        match text {
            None => findings.push(Finding::new(path, 0, "it is missing", cure)),
            Some(text) if !text.contains(content) => {
                findings.push(Finding::new(path, 0, format!("it has no `{content}`"), cure));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> usize {
        let files: Vec<_> =
            files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        let mut findings = Vec::new();
        check(&files, &mut findings);
        findings.len()
    }

    #[test]
    fn licence_and_changelog_are_required() {
        assert_eq!(findings(&[]), 2);
        assert_eq!(findings(&[("LICENSE", "Apache License\n"), ("CHANGELOG.md", "# Changes\n\n## [Unreleased]\n")]), 0);
        assert_eq!(findings(&[("LICENSE", "MIT"), ("CHANGELOG.md", "## 0.1.0\n")]), 2);
    }
}
