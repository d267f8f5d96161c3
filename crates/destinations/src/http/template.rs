//! URL templates: an address in which `{event_id}`, `{conversation}`, `{source}`, `{topic}` and JSON pointers into the
//! payload such as `{/data/id}` stand for values of the delivery.
//!
//! Scheme and host are fixed. A value is percent-encoded down to the unreserved characters of RFC 3986 §2.3, so it
//! stays inside its path segment or query value whatever it holds. A segment that would come out empty, `.` or `..`
//! is refused: it would address something else than was meant.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::pointer::Pointer;
use crate::OutgoingDelivery;

/// Longest URL that is sent, in bytes; most servers refuse longer ones (RFC 9110 §4.1 asks for at least 8,000).
const URL_LIMIT: usize = 8_000;

/// What is encoded in a value: everything but the unreserved characters.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An address with placeholders, checked when it is read.
#[derive(Clone)]
pub struct UrlTemplate {
    /// Scheme and authority, in their normal form.
    origin: String,
    /// The path's segments, each of which a `/` precedes.
    segments: Vec<Vec<Piece>>,
    /// The query, which a `?` precedes.
    query: Option<Vec<Piece>>,
    /// The whole address, if there is no placeholder in it.
    fixed: Option<Uri>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(Placeholder),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Placeholder {
    EventId,
    Conversation,
    Source,
    Topic,
    Pointer(Pointer),
}

/// A template cannot be used; the text says where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct UrlTemplateError {
    problem: String,
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, UrlTemplateError> {
    Err(UrlTemplateError { problem: problem.into() })
}

impl fmt::Debug for UrlTemplate {
    /// Shows no more than the host: a key may stand in the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlTemplate({}/..)", self.origin)
    }
}

impl FromStr for UrlTemplate {
    type Err = UrlTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (origin, rest) = split_origin(text)?;
        if let Some(at) = rest.find(|c: char| !c.is_ascii_graphic() || c == '\\') {
            let at = origin.len() + at;
            return refuse(format!("has a blank, backslash or non-ASCII character at byte {at}; percent-encode it"));
        }
        let origin = normal_origin(origin)?;
        let Parts { segments, query } = Parts::read(text, rest)?;
        for segment in &segments {
            if let [Piece::Literal(literal)] = segment.as_slice()
                && is_dots(literal)
            {
                return refuse(format!("has the path segment `{literal}`; write the path that is meant"));
            }
        }
        let mut template = Self { origin, segments, query, fixed: None };
        let sample = template.render(|_| Ok("x".into())).map_err(|problem| UrlTemplateError { problem })?;
        let varies = template.pieces().any(|piece| matches!(piece, Piece::Value(_)));
        template.fixed = (!varies).then_some(sample);
        Ok(template)
    }
}

impl UrlTemplate {
    /// The address, if it is the same for every delivery.
    pub fn fixed(&self) -> Option<&Uri> {
        self.fixed.as_ref()
    }

    /// Whether it is `https`.
    pub(super) fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// The address for one delivery. The error names the value that is missing or cannot stand where it should.
    pub(super) fn address(&self, delivery: &OutgoingDelivery) -> Result<Uri, String> {
        match &self.fixed {
            Some(url) => Ok(url.clone()),
            None => self.render(|placeholder| placeholder.value(delivery)),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.segments.iter().flatten().chain(self.query.iter().flatten())
    }

    fn render(&self, value: impl Fn(&Placeholder) -> Result<String, String>) -> Result<Uri, String> {
        let mut text = self.origin.clone();
        for segment in &self.segments {
            text.push('/');
            let start = text.len();
            for piece in segment {
                match piece {
                    Piece::Literal(literal) => text.push_str(literal),
                    Piece::Value(placeholder) => {
                        let value = value(placeholder)?;
                        if value.is_empty() {
                            return Err(format!("the URL's {} is empty", placeholder.name()));
                        }
                        push_encoded(&mut text, &value);
                    }
                }
            }
            if is_dots(&text[start..]) {
                return Err(format!("the URL's path would have the segment `{}`", &text[start..]));
            }
        }
        for (i, piece) in self.query.iter().flatten().enumerate() {
            if i == 0 {
                text.push('?');
            }
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value(placeholder) => push_encoded(&mut text, &value(placeholder)?),
            }
        }
        if text.len() > URL_LIMIT {
            return Err(format!("the URL would be {} bytes long; at most {URL_LIMIT} are sent", text.len()));
        }
        Uri::try_from(text).map_err(|e| format!("is not a URL: {e}"))
    }
}

fn push_encoded(text: &mut String, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{}", utf8_percent_encode(value, RESERVED));
}

/// Whether a URL parser would take the segment as `.` or `..`, encoded dots included.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Splits after the authority. The host is fixed, so it can hold no placeholder.
fn split_origin(text: &str) -> Result<(&str, &str), UrlTemplateError> {
    let Some(scheme_end) = text.find("://") else {
        return refuse("is not a URL: write `https://host/path`");
    };
    let host = scheme_end + 3;
    let host_end = text[host..].find(['/', '?', '#']).map_or(text.len(), |at| host + at);
    match text[..host_end].find('{') {
        Some(at) => refuse(format!("has a placeholder at byte {at}; scheme and host cannot vary")),
        None => Ok(text.split_at(host_end)),
    }
}

/// Scheme and authority as they are sent: lower case, an international host name in ASCII, no default port.
fn normal_origin(origin: &str) -> Result<String, UrlTemplateError> {
    let url = match Url::parse(origin) {
        Ok(url) => url,
        Err(e) => return refuse(format!("is not a URL: {e}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse(format!("has the scheme `{}`; use `https` or `http`", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds credentials; set `auth` instead, which keeps them out of logs");
    }
    Ok(url[..Position::BeforePath].to_owned())
}

/// Collects the pieces behind the host.
#[derive(Default)]
struct Parts {
    segments: Vec<Vec<Piece>>,
    query: Option<Vec<Piece>>,
}

impl Parts {
    /// Reads `rest`, which is the end of `whole` and is empty or starts with `/`, `?` or `#`.
    fn read(whole: &str, rest: &str) -> Result<Self, UrlTemplateError> {
        let mut parts = Self::default();
        let mut left = rest;
        while let Some(next) = left.chars().next() {
            let at = whole.len() - left.len();
            left = &left[next.len_utf8()..];
            match next {
                '{' => {
                    let Some((name, after)) = left.split_once('}') else {
                        return refuse(format!("has an opening brace at byte {at} that is not closed"));
                    };
                    parts.last().push(Piece::Value(Placeholder::parse(name, at)?));
                    left = after;
                }
                '}' => {
                    return refuse(format!("has a closing brace at byte {at} that was not opened"));
                }
                '#' => {
                    return refuse(format!("has a fragment at byte {at}, which no server gets; remove it"));
                }
                '/' if parts.query.is_none() => parts.segments.push(Vec::new()),
                '?' if parts.query.is_none() => parts.query = Some(Vec::new()),
                other => parts.push_literal(other),
            }
        }
        // A path has at least its first slash.
        if parts.segments.is_empty() {
            parts.segments.push(Vec::new());
        }
        Ok(parts)
    }

    fn last(&mut self) -> &mut Vec<Piece> {
        if let Some(query) = &mut self.query {
            return query;
        }
        // What follows the host starts with `/`, `?` or `#`, so the first segment is there or a query is.
        if self.segments.is_empty() {
            self.segments.push(Vec::new());
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    fn push_literal(&mut self, c: char) {
        let pieces = self.last();
        match pieces.last_mut() {
            Some(Piece::Literal(literal)) => literal.push(c),
            _ => pieces.push(Piece::Literal(c.into())),
        }
    }
}

impl Placeholder {
    fn parse(name: &str, at: usize) -> Result<Self, UrlTemplateError> {
        Ok(match name {
            "event_id" => Self::EventId,
            "conversation" => Self::Conversation,
            "source" => Self::Source,
            "topic" => Self::Topic,
            pointer if pointer.starts_with('/') => match Pointer::parse(pointer) {
                Ok(pointer) => Self::Pointer(pointer),
                Err(problem) => {
                    return refuse(format!("has `{{{pointer}}}` at byte {at}: {problem}"));
                }
            },
            _ => {
                return refuse(format!(
                    "has the unknown placeholder `{{{name}}}` at byte {at}; known are `{{event_id}}`, \
                     `{{conversation}}`, `{{source}}`, `{{topic}}` and JSON pointers into the payload such as \
                     `{{/data/id}}`"
                ));
            }
        })
    }

    fn name(&self) -> String {
        match self {
            Self::EventId => "event id".into(),
            Self::Conversation => "conversation".into(),
            Self::Source => "source".into(),
            Self::Topic => "topic".into(),
            Self::Pointer(pointer) => format!("value `{}`", pointer.text()),
        }
    }

    fn value(&self, delivery: &OutgoingDelivery) -> Result<String, String> {
        match self {
            Self::EventId => Ok(delivery.event.to_string()),
            Self::Source => Ok(delivery.source.to_string()),
            Self::Topic => Ok(delivery.topic.to_string()),
            Self::Conversation => match &delivery.conversation {
                Some(conversation) => Ok(conversation.to_string()),
                None => Err("the URL needs a conversation, and the event belongs to none".into()),
            },
            Self::Pointer(pointer) => {
                pointer.scalar(&delivery.payload).map_err(|problem| format!("the URL cannot be made: {problem}"))
            }
        }
    }
}
