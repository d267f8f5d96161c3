//! `cargo xtask tidy`: what holds for the tree and no compiler checks.
//!
//! Every check is a function from texts to findings, so that its tests need no files.

mod allowances;
mod calls;
mod layers;
mod links;
mod modules;
mod places;
mod project;
mod source;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;

use crate::repository::Repository;
use allowances::Allowances;
use source::{Source, TestFiles};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    what: String,
    cure: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line.max(1), self.what, self.cure)
    }
}

/// One file of the tree.
pub(crate) struct File {
    path: String,
    text: String,
}

/// Checks the tree and prints what it finds; whether that is nothing.
pub(crate) fn run(repository: &Repository) -> Result<bool> {
    let paths: BTreeSet<String> = repository.files()?.into_iter().collect();
    let mut files = Vec::new();
    for path in &paths {
        if let Some(text) = repository.read(path)? {
            files.push(File { path: path.clone(), text });
        }
    }
    let (findings, sources) = check(&paths, &files);
    for finding in &findings {
        println!("{finding}");
    }
    let attributes: usize = sources.iter().map(|source| source.allow_attributes().len()).sum();
    let lines: usize = sources.iter().map(|source| source.code_lines().len()).sum();
    println!(
        "tidy: {} findings in {} files; {} of them are Rust, with {lines} lines besides tests and {attributes} silenced \
         lints",
        findings.len(),
        paths.len(),
        sources.len(),
    );
    Ok(findings.is_empty())
}

/// All findings in the order of their places, and the Rust files as they were understood.
fn check<'a>(paths: &BTreeSet<String>, files: &'a [File]) -> (Vec<Finding>, Vec<Source<'a>>) {
    let rust = || files.iter().filter(|file| file.path.ends_with(".rs"));
    let mut sources: Vec<Source<'_>> = rust().map(|file| Source::new(&file.path, &file.text)).collect();
    let tests = TestFiles::of(&sources);
    for source in &mut sources {
        source.settle(&tests);
    }
    let mut findings = Vec::new();
    let allowances = Allowances::of(files, &mut findings);
    allowances.check(&sources, &mut findings);
    layers::check(files, &mut findings);
    for source in &sources {
        modules::check(source, &mut findings);
        calls::check(source, &mut findings);
    }
    links::check(paths, files, &mut findings);
    places::check(files, &mut findings);
    project::check(files, &mut findings);
    findings.sort();
    findings.dedup();
    (findings, sources)
}
