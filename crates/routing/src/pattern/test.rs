//! What a pattern asks of one value, and the value it asks it of.

use std::fmt;

use super::folded::Folded;
use super::network::{Network, parse_address};
use super::number::{NumberRange, comparable};
use super::wildcard::Wildcard;

/// One value of an event, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A string without quotes and escapes; valid UTF-8.
    Text(&'a [u8]),
    /// A number's literal as written.
    Number(&'a [u8]),
    True,
    False,
    Null,
}

/// A question to one value that is answered by yes or no.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Text(Box<str>),
    IgnoreCase(Folded),
    Prefix(Box<str>),
    PrefixIgnoreCase(Folded),
    Suffix(Box<str>),
    SuffixIgnoreCase(Folded),
    Wildcard(Wildcard),
    Network(Network),
    Number(f64),
    /// A number that no float holds exactly, compared by its writing.
    NumberAsWritten(Box<str>),
    Range(NumberRange),
    True,
    False,
    Null,
}

impl Test {
    pub(crate) fn accepts(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::True, Value::True) | (Self::False, Value::False) | (Self::Null, Value::Null) => true,
            (_, Value::Text(text)) => self.accepts_text(text),
            (Self::Number(wanted), Value::Number(literal)) => comparable(literal) == Some(*wanted),
            (Self::NumberAsWritten(wanted), Value::Number(literal)) => wanted.as_bytes() == literal,
            (Self::Range(range), Value::Number(literal)) => {
                comparable(literal).is_some_and(|number| range.contains(number))
            }
            _ => false,
        }
    }

    fn accepts_text(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(wanted) => wanted.as_bytes() == text,
            Self::IgnoreCase(wanted) => wanted.equals(text),
            Self::Prefix(wanted) => text.starts_with(wanted.as_bytes()),
            Self::PrefixIgnoreCase(wanted) => wanted.is_prefix_of(text),
            Self::Suffix(wanted) => text.ends_with(wanted.as_bytes()),
            Self::SuffixIgnoreCase(wanted) => wanted.is_suffix_of(text),
            Self::Wildcard(wanted) => wanted.matches(text),
            Self::Network(network) => {
                std::str::from_utf8(text).ok().and_then(parse_address).is_some_and(|address| network.contains(address))
            }
            Self::Number(_) | Self::NumberAsWritten(_) | Self::Range(_) | Self::True | Self::False | Self::Null => {
                false
            }
        }
    }
}

/// One of the ways in which a field can satisfy a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Alternative {
    /// A value passes the test.
    Is(Test),
    /// A value passes none of the tests.
    AnythingBut(Vec<Test>),
    /// There is a value.
    Present,
    /// There is no value.
    Absent,
}

impl Alternative {
    /// Whether this value of the field satisfies it; [`Alternative::Absent`] is never satisfied by a value.
    pub(crate) fn accepts(&self, value: Value<'_>) -> bool {
        match self {
            Self::Is(test) => test.accepts(value),
            Self::AnythingBut(tests) => !tests.iter().any(|test| test.accepts(value)),
            Self::Present => true,
            Self::Absent => false,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::IgnoreCase(text) => write!(f, "{:?} in any case", text.written()),
            Self::Prefix(text) => write!(f, "a text that begins with {text:?}"),
            Self::PrefixIgnoreCase(text) => write!(f, "a text that begins with {:?} in any case", text.written()),
            Self::Suffix(text) => write!(f, "a text that ends with {text:?}"),
            Self::SuffixIgnoreCase(text) => write!(f, "a text that ends with {:?} in any case", text.written()),
            Self::Wildcard(text) => write!(f, "a text like {:?}", text.written()),
            Self::Network(network) => write!(f, "the IP address {network}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::NumberAsWritten(number) => f.write_str(number),
            Self::Range(range) => write_range(f, range),
            Self::True => f.write_str("true"),
            Self::False => f.write_str("false"),
            Self::Null => f.write_str("null"),
        }
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, range: &NumberRange) -> fmt::Result {
    f.write_str("a number")?;
    if range.low != f64::MIN {
        write!(f, " {} {}", if range.low_open { ">" } else { ">=" }, range.low)?;
    }
    if range.high != f64::MAX {
        write!(f, " {} {}", if range.high_open { "<" } else { "<=" }, range.high)?;
    }
    Ok(())
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(test) => test.fmt(f),
            Self::AnythingBut(tests) => {
                f.write_str("anything but ")?;
                write_joined(f, tests)
            }
            Self::Present => f.write_str("any value"),
            Self::Absent => f.write_str("no value"),
        }
    }
}

/// Writes the parts with `or` between them.
pub(crate) fn write_joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T]) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(" or ")?;
        }
        part.fmt(f)?;
    }
    Ok(())
}
