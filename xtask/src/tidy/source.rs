//! A Rust file, understood as far as the checks need it: what is code and what is a comment or a text in quotes, and
//! which lines are tests.

use std::collections::BTreeSet;
use std::path::Path;

/// A Rust file.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    /// The text with every comment and everything in quotes blanked out; lines and columns stay.
    code: String,
    /// For each line, whether only tests are compiled from it.
    test: Vec<bool>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let code = blank(text);
        let test = test_lines(&code);
        Self { path, text, code, test }
    }

    /// Marks the whole file as a test if it is one.
    pub(crate) fn settle(&mut self, tests: &TestFiles) {
        if tests.contain(self.path) {
            self.test.fill(true);
        }
    }

    /// The lines of code with their numbers, and whether they are tests.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.code.lines().zip(&self.test).zip(1..).map(|((line, test), number)| (number, line, *test))
    }

    /// The lines besides tests.
    pub(crate) fn code_lines(&self) -> Vec<usize> {
        self.lines().filter(|(.., test)| !test).map(|(number, ..)| number).collect()
    }

    /// Where attributes silence a lint without saying why.
    pub(crate) fn allow_attributes(&self) -> Vec<usize> {
        let silences = |line: &str| ["#[allow(", "#![allow("].iter().any(|attribute| line.contains(attribute));
        self.lines().filter(|(_, line, _)| silences(line)).map(|(number, ..)| number).collect()
    }
}

/// Files that are tests as a whole.
#[derive(Default)]
pub(crate) struct TestFiles(BTreeSet<String>);

impl TestFiles {
    /// Those that other files declare under `#[cfg(test)]`.
    pub(crate) fn of(sources: &[Source<'_>]) -> Self {
        let mut files = BTreeSet::new();
        for source in sources {
            for (_, line, test) in source.lines() {
                let declared = line.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
                if let (true, Some(name)) = (test, declared.and_then(|rest| rest.strip_suffix(';'))) {
                    let folder = children(source.path);
                    files.insert(format!("{folder}{name}.rs"));
                    files.insert(format!("{folder}{name}/"));
                }
            }
        }
        Self(files)
    }

    fn contain(&self, path: &str) -> bool {
        let is_test_folder = |part: &str| matches!(part, "tests" | "benches" | "examples");
        let mut parts = path.split('/').rev();
        parts.next() == Some("tests.rs")
            || parts.any(is_test_folder)
            || self.0.iter().any(|own| path == own || own.ends_with('/') && path.starts_with(own))
    }
}

/// Where the modules that a file declares have their files.
fn children(path: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    match Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default() {
        "lib" | "main" | "mod" => format!("{folder}/"),
        stem => format!("{folder}/{stem}/"),
    }
}

/// Blanks out comments and everything in quotes.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| quoted(rest, out.chars().next_back()));
        let (part, hidden) = match length {
            Some(length) => (&rest[..length], true),
            None => (&rest[..first.len_utf8()], false),
        };
        if hidden {
            out.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(part);
        }
        rest = &rest[part.len()..];
    }
    out
}

/// The length of the comment at the beginning of the text.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}

/// The length of the text or character in quotes at the beginning.
fn quoted(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let opening = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - opening.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = opening.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inside = raw[hashes..].strip_prefix('"')?;
        let closing = format!("\"{}", "#".repeat(hashes));
        let end = inside.find(&closing).map_or(inside.len(), |end| end + closing.len());
        return Some(prefix + 1 + hashes + 1 + end);
    }
    if let Some(inside) = opening.strip_prefix('"') {
        return Some(prefix + 1 + until_quote(inside, b'"'));
    }
    let inside = opening.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let is_character = first == '\\' || inside[first.len_utf8()..].starts_with('\'');
    // Otherwise it is a lifetime.
    is_character.then(|| prefix + 1 + until_quote(inside, b'\''))
}

fn until_quote(inside: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

/// Which lines belong to items under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    for (at, attribute) in code.match_indices("#[cfg(") {
        let Some(end) = closing(code, at + attribute.len() - 1) else { continue };
        let condition = &code[at + attribute.len()..end];
        if !condition.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "test")
            || condition.contains("not(")
        {
            continue;
        }
        let item = item_end(code, end);
        let line_of = |at: usize| code[..at].matches('\n').count();
        for line in &mut lines[line_of(at)..=line_of(item)] {
            *line = true;
        }
    }
    lines
}

/// The last byte of the item that follows an attribute.
fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b';' => return at,
            b'{' => return closing(code, at).unwrap_or(code.len() - 1),
            b'(' | b'[' => at = closing(code, at).unwrap_or(code.len() - 1),
            _ => {}
        }
        at += 1;
    }
    code.len() - 1
}

/// Where the bracket that opens here is closed.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_not_code() {
        let text = concat!(
            "let a = \"// no \\\" todo!\"; // todo!\n",
            "let b = r#\"x\" todo!\"#; /* a /* b */\n todo! */ real!();\n",
            "let c = ('\"', '\\'', b'x', b\"todo!\"); fn f<'a>(x: &'a str) {}\n",
            "let for\"\";\n",
        );
        let code = blank(text);
        assert!(!code.contains("todo!"), "{code}");
        assert!(code.contains("real!();") && code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn items_under_cfg_test_are_tests() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { let x = \"}\"; }\n}\nfn c() {}\n\
                    #[cfg(all(test, unix))]\nmod d;\n#[cfg(not(test))]\nfn e() {}\n#[cfg(feature = \"test\")]\nfn f() {}\n";
        let source = Source::new("src/lib.rs", text);
        let tests: Vec<usize> = source.lines().filter(|(.., test)| *test).map(|(number, ..)| number).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
        assert_eq!(source.code_lines(), [1, 6, 9, 10, 11, 12]);
    }

    #[test]
    fn a_module_declared_for_tests_is_a_test_file() {
        let lib = "#[cfg(test)]\nmod stub;\n#[cfg(test)]\npub(crate) mod rig;\nmod real;\n";
        let paths = [
            ("a/src/lib.rs", false),
            ("a/src/stub.rs", true),
            ("a/src/rig/part.rs", true),
            ("a/src/real.rs", false),
            ("a/src/real/tests.rs", true),
            ("a/tests/end.rs", true),
            ("a/src/x/stub.rs", false),
        ];
        let sources: Vec<_> =
            paths.iter().map(|(path, _)| Source::new(path, if *path == "a/src/lib.rs" { lib } else { "" })).collect();
        let tests = TestFiles::of(&sources);
        for (path, test) in paths {
            assert_eq!(tests.contain(path), test, "{path}");
        }
        assert_eq!(children("a/src/b.rs"), "a/src/b/");
    }

    #[test]
    fn text_that_is_not_rust_ends_without_a_panic() {
        for text in ["\"", "'", "r#\"", "/*", "#[cfg(test", "#[cfg(test)]", "#[cfg(test)] mod", "b'", "é'é"] {
            Source::new("x.rs", text);
        }
    }
}
