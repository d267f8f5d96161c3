//! One value inside a JSON text.

use std::borrow::Cow;
use std::fmt;

use super::scan::Text;

/// A JSON value as it is written, without whitespace around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Digits.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
}

impl<'a> Raw<'a> {
    /// `text` must be one JSON value.
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Its text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        Kind::of(self.0.as_bytes().first().copied().unwrap_or_default())
    }

    /// What a string says; `None` for anything else. Each surrogate without its other half reads as U+FFFD.
    pub fn string(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::String => Text::of(self.0).map(Text::read),
            _ => None,
        }
    }

    /// What a string says, in UTF-8; `None` for anything else. Each surrogate without its other half has the three bytes
    /// that UTF-8 would have for it, so that different strings stay different.
    pub fn string_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self.kind() {
            Kind::String => Text::at(self.0, 0).ok().map(Text::bytes),
            _ => None,
        }
    }

    /// What names something: what a string says, or a number's digits. `None` for anything else, and for strings with
    /// nothing but whitespace in them, which name nothing.
    pub fn name(self) -> Option<Cow<'a, str>> {
        let name = match self.kind() {
            Kind::Number => Cow::Borrowed(self.0),
            _ => self.string()?,
        };
        (!name.trim().is_empty()).then_some(name)
    }
}

impl Kind {
    /// By the first byte of a value.
    pub(crate) const fn of(first: u8) -> Self {
        match first {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b't' | b'f' => Self::Boolean,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        })
    }
}
