//! Names of one machine in files that go to all: absolute paths, and hosts that packages were fetched from.

use super::{File, Finding};

/// Beginnings of paths that exist on one machine only. Written in two parts so that they are not found here.
const PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("C:\\", "Us"),
];
/// Hosts that packages come from; which one is used is a setting of the machine.
const HOSTS: [&str; 6] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];
/// Where Cargo.lock may say that crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    for File { path, text } in files {
        // What comes from outside is what it is.
        if path.contains("/fixtures/") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(found) = PATHS.iter().find(|beginning| has_path(line, beginning)) {
                let what = format!("a path under `{found}` exists on one machine only");
                findings.push(Finding::new(path, number, what, "write it relative to the project"));
            }
            if let Some(host) = HOSTS.iter().find(|host| line.contains(**host)) {
                let what = format!("`{host}` is a setting of the machine");
                findings.push(Finding::new(path, number, what, "take it out"));
            }
            if path.ends_with("Cargo.lock")
                && let Some(source) = line.strip_prefix("source = \"")
                && source.trim_end_matches('"') != REGISTRY
            {
                let what = format!("a crate comes from {source}");
                findings.push(Finding::new(path, number, what, "take it from crates.io"));
            }
        }
    }
}

/// Whether a path begins so, and is not the end of a longer one or of an address.
fn has_path(line: &str, beginning: &str) -> bool {
    line.match_indices(beginning).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '$' | '~'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check(&[File { path: path.to_owned(), text: text.to_owned() }], &mut findings);
        findings.len()
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let own = concat!("/ho", "me/");
        assert_eq!(findings("a.md", &format!("see {own}anna/x")), 1);
        assert_eq!(findings("a.md", &format!("see https://example.com{own}x")), 0);
        assert_eq!(findings("a/tests/fixtures/b.json", &format!("{own}anna")), 0);
        assert_eq!(findings("a.md", "/etc/aftercall/tls.crt /run/secrets/x"), 0);
    }

    #[test]
    fn crates_come_from_the_registry() {
        let own = format!("source = \"{REGISTRY}\"\n");
        assert_eq!(findings("Cargo.lock", &own), 0);
        assert_eq!(findings("Cargo.lock", "source = \"git+https://example.com/x\"\n"), 1);
        assert_eq!(findings("x.toml", concat!("replace = \"https://index.crates", ".io/\"")), 1);
    }
}
