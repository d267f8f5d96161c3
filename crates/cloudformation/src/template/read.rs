//! From text to a template.
//!
//! The tree is built of the parser's events and not by recursion, so that a file of brackets cannot exhaust the stack.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use thiserror::Error;

use super::{Node, Resource, Template, Value};

/// More than any property of any resource is deep.
const DEPTH_MAX: usize = 100;

/// Why a text is no template.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Not YAML, and so not JSON either.
    #[error("line {line}: {what}; a template is YAML or JSON")]
    Syntax {
        /// Where.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// YAML that CloudFormation does not take, or that is no template.
    #[error("line {line}: {what}")]
    Shape {
        /// Where.
        line: usize,
        /// What is wrong, and the cure.
        what: String,
    },
    /// Larger than a template can be.
    #[error("it is larger than a template can be (1 MB); is this a template?")]
    TooLarge,
}

fn shape<T>(line: usize, what: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError::Shape { line, what: what.into() })
}

/// Reads a template, unwrapping what `aws cloudformation get-template` puts around it.
pub(super) fn template(text: &str) -> Result<Template, TemplateError> {
    if text.len() > Template::TEXT_MAX {
        return Err(TemplateError::TooLarge);
    }
    let root = tree(text.trim_start_matches('\u{feff}'))?;
    match root.get("TemplateBody") {
        Some(body) => match body.as_text() {
            Some(inner) => template(inner),
            None => of_root(body),
        },
        None => of_root(&root),
    }
}

fn of_root(root: &Node) -> Result<Template, TemplateError> {
    let Some(resources) = root.get("Resources") else {
        return shape(root.line, "there are no `Resources`; is this a CloudFormation or SAM template?");
    };
    let Value::Map(members) = &resources.value else {
        return shape(resources.line, "`Resources` must be a map of logical ids");
    };
    let mut found = Vec::with_capacity(members.len());
    for (id, body) in members {
        if id.starts_with("Fn::") {
            continue; // Fn::ForEach, Fn::Transform: what comes of them is known to AWS only
        }
        let Some(kind) = body.get("Type").and_then(Node::as_text) else {
            return shape(body.line, format!("resource `{id}` has no `Type`"));
        };
        found.push(Resource {
            id: id.clone(),
            line: body.line,
            kind: kind.to_owned(),
            properties: body.get("Properties").cloned().unwrap_or_else(|| Node::empty(body.line)),
            metadata: body.get("Metadata").cloned(),
        });
    }
    let mut defaults = BTreeMap::new();
    for (name, parameter) in root.get("Parameters").into_iter().flat_map(Node::members) {
        if let Some(default) = parameter.get("Default").and_then(Node::as_text) {
            defaults.insert(name.to_owned(), default.to_owned());
        }
    }
    let function_globals = root.get("Globals").and_then(|globals| globals.get("Function")).cloned();
    Ok(Template { resources: found, defaults, function_globals })
}

/// What is open while the events come in.
enum Open {
    List { line: usize, tag: Option<String>, elements: Vec<Node> },
    Map { line: usize, tag: Option<String>, members: Vec<(String, Node)>, key: Option<String> },
}

fn tree(text: &str) -> Result<Node, TemplateError> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| TemplateError::Syntax { line: error.marker().line(), what: error.info().to_owned() })?;
        let line = span.start.line();
        let done = match event {
            Event::Scalar(text, style, _, tag) => Some(scalar(line, &text, style, tag.as_deref())),
            Event::SequenceStart(_, tag) => {
                open.push(Open::List { line, tag: call(tag.as_deref()), elements: Vec::new() });
                None
            }
            Event::MappingStart(_, tag) => {
                open.push(Open::Map { line, tag: call(tag.as_deref()), members: Vec::new(), key: None });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(close),
            Event::Alias(_) => return shape(line, "CloudFormation takes no aliases (`*name`); write the value out"),
            Event::DocumentStart(_) if root.is_some() => return shape(line, "a template is one YAML document"),
            _ => None,
        };
        if open.len() > DEPTH_MAX {
            return shape(line, format!("more than {DEPTH_MAX} levels deep; no template is"));
        }
        let Some(node) = done else { continue };
        match open.last_mut() {
            None => root = Some(node),
            Some(Open::List { elements, .. }) => elements.push(node),
            Some(Open::Map { members, key, .. }) => match key.take() {
                Some(name) if members.iter().any(|(other, _)| *other == name) => {
                    return shape(
                        node.line,
                        format!("`{name}` stands twice in one map; AWS takes the last without a word"),
                    );
                }
                Some(name) => members.push((name, node)),
                None => match node.as_text() {
                    Some(name) => *key = Some(name.to_owned()),
                    None => return shape(node.line, "the key of a map must be a text"),
                },
            },
        }
    }
    match root {
        Some(root) => Ok(root),
        None => shape(1, "the file is empty"),
    }
}

/// `!GetAtt` is the function `GetAtt`; the tags of YAML itself say nothing that matters here.
fn call(tag: Option<&Tag>) -> Option<String> {
    tag.filter(|tag| tag.handle == "!" && !tag.suffix.is_empty()).map(|tag| tag.suffix.clone())
}

fn scalar(line: usize, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Node {
    let nothing = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    let value = if nothing { Value::Nothing } else { Value::Text(text.to_owned()) };
    wrap(line, call(tag), value)
}

fn close(open: Open) -> Node {
    match open {
        Open::List { line, tag, elements } => wrap(line, tag, Value::List(elements)),
        Open::Map { line, tag: None, mut members, .. } => {
            // the long way of an intrinsic function is a map of one member
            let is_call = members.len() == 1
                && members
                    .first()
                    .is_some_and(|(name, _)| name == "Ref" || name == "Condition" || name.starts_with("Fn::"));
            match members.pop() {
                Some((name, inner)) if is_call => {
                    let name = name.strip_prefix("Fn::").unwrap_or(&name).to_owned();
                    Node { line, value: Value::Call(name, Box::new(inner)) }
                }
                last => {
                    members.extend(last);
                    Node { line, value: Value::Map(members) }
                }
            }
        }
        Open::Map { line, tag, members, .. } => wrap(line, tag, Value::Map(members)),
    }
}

fn wrap(line: usize, tag: Option<String>, value: Value) -> Node {
    let node = Node { line, value };
    match tag {
        Some(name) => Node { line, value: Value::Call(name, Box::new(node)) },
        None => node,
    }
}
