//! From a mapping's text to a program, with the place of what is wrong.

use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Filter, compile};

use super::error::MappingError;
use super::natives::{CHECK_REGEX, REFUSED, REGEX_FUNCTIONS, functions};
use super::needs::Needs;
use super::{Metered, deep_stack};
use crate::limits::MAX_MAPPING_BYTES;

/// Compiles on a deep stack: the parser recurses as deeply as the text is nested.
pub(super) fn compile(source: &str) -> Result<(Filter<Metered>, Needs), MappingError> {
    if source.len() > MAX_MAPPING_BYTES {
        let message = format!("a mapping may have at most {MAX_MAPPING_BYTES} bytes; this one has {}", source.len());
        return Err(MappingError::Source { line: 1, column: 1, message });
    }
    deep_stack::run(|| Ok((compile_here(source)?, Needs::of(source))))?
}

fn compile_here(source: &str) -> Result<Filter<Metered>, MappingError> {
    let arena = Arena::default();
    let loader = Loader::new(definitions());
    let modules =
        loader.load(&arena, File { code: source, path: () }).map_err(|errors| loading_error(source, errors))?;
    load::import(&modules, |_| Err("a mapping cannot import other files".to_owned()))
        .map_err(|errors| loading_error(source, errors))?;
    Compiler::default()
        .with_funs(functions())
        .with_global_vars(["$event"])
        .compile(modules)
        .map_err(|errors| undefined_error(source, errors))
}

/// The library that is written in jq, without what a mapping does not get.
fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let offered = library.filter(|definition| REFUSED.iter().all(|(refused, _)| *refused != definition.name));
    let metered = REGEX_FUNCTIONS.iter().map(|(open, hidden)| metered_regex(open, hidden));
    metered.chain(offered)
}

/// `def open($re; $flags): check_regex($re) | hidden($re; $flags);`
fn metered_regex(open: &'static str, hidden: &'static str) -> Def<&'static str> {
    let regex = || Term::Var("$re");
    let check = Term::Call(CHECK_REGEX, vec![regex()]);
    let call = Term::Call(hidden, vec![regex(), Term::Var("$flags")]);
    let body = Term::BinOp(Box::new(check), load::parse::BinaryOp::Pipe(None), Box::new(call));
    Def { name: open, args: vec!["$re", "$flags"], body }
}

fn loading_error(source: &str, errors: load::Errors<&str, ()>) -> MappingError {
    let first = errors.into_iter().next().map(|(_, error)| error);
    match first {
        Some(load::Error::Lex(errors)) => match errors.into_iter().next() {
            Some((expected, found)) => error_at(source, found, format!("expected {}", expected.as_str())),
            None => error_at(source, source, "not a jq program".to_owned()),
        },
        Some(load::Error::Parse(errors)) => match errors.into_iter().next() {
            Some((expected, found)) => {
                let what = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
                error_at(source, found, format!("expected {}, found {what}", expected.as_str()))
            }
            None => error_at(source, source, "not a jq program".to_owned()),
        },
        Some(load::Error::Io(imports)) => {
            let path = imports.first().map_or(source, |(path, _)| path);
            error_at(source, path, "a mapping cannot import other files".to_owned())
        }
        None => error_at(source, source, "not a jq program".to_owned()),
    }
}

fn undefined_error(source: &str, errors: compile::Errors<&str, ()>) -> MappingError {
    let mut undefined = errors.into_iter().flat_map(|(_, errors)| errors);
    let Some((name, what)) = undefined.next() else {
        return error_at(source, source, "not a jq program".to_owned());
    };
    let reason = REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason);
    let message = match (reason, what) {
        (Some(reason), _) => format!("`{name}` is not available: {reason}"),
        (None, compile::Undefined::Filter(arity)) => format!("there is no function `{name}/{arity}`"),
        (None, what) => format!("there is no {} `{name}`", what.as_str()),
    };
    error_at(source, name, message)
}

/// An error at a part of the source; at its end if the part is not one.
fn error_at(source: &str, part: &str, message: String) -> MappingError {
    let start = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize);
    let offset = start.filter(|start| source.is_char_boundary(*start)).unwrap_or(source.len());
    let before = &source[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    MappingError::Source { line, column, message }
}
