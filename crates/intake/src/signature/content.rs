//! What a signature covers: the body, or headers and text joined to it.

use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// The bytes that are signed, as a template: text, `{header-name}` and `{body}`, for example
/// `{webhook-id}.{webhook-timestamp}.{body}`. The body occurs exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedContent(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Header(HeaderName),
    Body,
}

impl SignedContent {
    /// The body alone.
    pub fn body() -> Self {
        Self(vec![Piece::Body])
    }

    /// The values of headers, then the body, with a separator between each two.
    pub fn of_headers_and_body(headers: impl IntoIterator<Item = HeaderName>, separator: &str) -> Self {
        let before = headers.into_iter().flat_map(|name| [Piece::Header(name), Piece::Text(separator.to_owned())]);
        Self(before.chain([Piece::Body]).collect())
    }

    /// The headers whose values are signed.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name),
            Piece::Text(_) | Piece::Body => None,
        })
    }

    /// The bytes to sign. A header that is missing counts as empty; who calls has made sure that it is there.
    pub(super) fn pieces<'a>(&'a self, headers: &'a HeaderMap, body: &'a [u8]) -> SmallVec<[&'a [u8]; 5]> {
        let bytes_of = |piece: &'a Piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Header(name) => headers.get(name).map_or(&[][..], |value| value.as_bytes()),
            Piece::Body => body,
        };
        self.0.iter().map(bytes_of).collect()
    }

    /// The bytes that are signed before the body and after it.
    pub(super) fn around_body(&self, headers: &HeaderMap) -> (Vec<u8>, Vec<u8>) {
        let (mut before, mut after, mut passed) = (Vec::new(), Vec::new(), false);
        for piece in &self.0 {
            let side = if passed { &mut after } else { &mut before };
            match piece {
                Piece::Text(text) => side.extend_from_slice(text.as_bytes()),
                Piece::Header(name) => {
                    side.extend_from_slice(headers.get(name).map_or(&[][..], |value| value.as_bytes()));
                }
                Piece::Body => passed = true,
            }
        }
        (before, after)
    }
}

impl FromStr for SignedContent {
    type Err = ContentError;

    fn from_str(template: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| ContentError::NotClosed { template: template.to_owned() })?;
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.push(match name {
                "body" => Piece::Body,
                name => Piece::Header(name.parse().map_err(|_| ContentError::NoHeader { name: name.to_owned() })?),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let bodies = pieces.iter().filter(|piece| **piece == Piece::Body).count();
        if bodies == 1 { Ok(Self(pieces)) } else { Err(ContentError::Body { bodies }) }
    }
}

/// The description of what is signed is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A brace is open.
    #[error("`{template}` has a `{{` without `}}`")]
    NotClosed {
        /// The whole of it.
        template: String,
    },
    /// Not the name of a header.
    #[error("`{{{name}}}` is neither `{{body}}` nor the name of a header")]
    NoHeader {
        /// What stands between the braces.
        name: String,
    },
    /// The body must be signed, once.
    #[error("`{{body}}` must occur once in what is signed; it occurs {bodies} times")]
    Body {
        /// How often it occurs.
        bodies: usize,
    },
    /// A tolerance without a signed time protects nothing.
    #[error(
        "the time in `{header}` is not signed, so anyone could change it; add `{{{header}}}` to the signed content"
    )]
    TimeNotSigned {
        /// The header of the time.
        header: String,
    },
}
