//! Values of a payload as PostgreSQL takes them: what each type of column accepts, and how it goes over the wire.
//!
//! Strict on purpose: a wrong value is found here, where its place is known, and not by the database, which refuses a
//! whole statement because of it. Nothing is guessed: a time without an offset is no instant, a text is no number.

use std::cmp::Ordering;
use std::error::Error;
use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// PostgreSQL counts times from the beginning of the year 2000, which is so many seconds of Unix time.
const EPOCH_SECONDS: i64 = 946_684_800;
const DAY_SECONDS: i64 = 86_400;
/// Whole numbers up to here are exact in a JSON number with a fraction or an exponent.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The type of a column, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Smallint,
    Integer,
    Bigint,
    Real,
    Double,
    Numeric,
    /// Also `varchar` and `char`.
    Text,
    Uuid,
    Timestamptz,
    Timestamp,
    Date,
    Json,
    Jsonb,
    /// Any other type: a text that the database reads.
    Other(String),
}

/// A value that is not NULL.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Smallint(i16),
    Integer(i32),
    Bigint(i64),
    Real(f32),
    Double(f64),
    Text(String),
    Uuid([u8; 16]),
    /// Microseconds since PostgreSQL's epoch.
    Instant(i64),
    /// Days since PostgreSQL's epoch.
    Date(i32),
    Json(Box<str>),
}

/// Shows nothing of the value: the library logs parameters when it is told to log everything.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

/// The types of the configuration: their names, and others that they are known by.
const NAMED: [(Kind, &[&str]); 14] = [
    (Kind::Boolean, &["boolean", "bool"]),
    (Kind::Smallint, &["smallint", "int2"]),
    (Kind::Integer, &["integer", "int", "int4"]),
    (Kind::Bigint, &["bigint", "int8"]),
    (Kind::Real, &["real", "float4"]),
    (Kind::Double, &["double precision", "float8"]),
    (Kind::Numeric, &["numeric", "decimal"]),
    (Kind::Text, &["text"]),
    (Kind::Uuid, &["uuid"]),
    (Kind::Timestamptz, &["timestamptz", "timestamp with time zone"]),
    (Kind::Timestamp, &["timestamp", "timestamp without time zone"]),
    (Kind::Date, &["date"]),
    (Kind::Json, &["json"]),
    (Kind::Jsonb, &["jsonb"]),
];

impl Kind {
    /// Reads a type of the configuration.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written = text.trim().to_ascii_lowercase();
        let found = NAMED.iter().find(|(_, names)| names.contains(&written.as_str()));
        found.map(|(kind, _)| kind.clone()).ok_or_else(|| {
            let known: Vec<_> = NAMED.iter().map(|(_, names)| names[0]).collect();
            format!(
                "has the type `{text}`; it may be one of: {}. For any other, make the table yourself and leave `columns` \
                 out",
                known.join(", ")
            )
        })
    }

    /// The type of a column that is there: its name in the catalogue, and how the database writes it.
    pub(super) fn of(built_in: bool, name: &str, written: &str) -> Self {
        let known = || match name {
            "varchar" | "bpchar" => Some(Self::Text),
            "bool" => Some(Self::Boolean),
            name => NAMED.iter().find(|(_, names)| names.contains(&name)).map(|(kind, _)| kind.clone()),
        };
        built_in.then(known).flatten().unwrap_or_else(|| Self::Other(written.to_owned()))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => NAMED.iter().find(|(kind, _)| kind == known).map_or("text", |(_, names)| names[0]),
        }
    }

    /// The type that values are sent as.
    pub(super) fn parameter(&self) -> &str {
        match self {
            Self::Numeric | Self::Other(_) => "text",
            known => known.name(),
        }
    }

    /// The type that the database has to make of what is sent. Not of `varchar(n)`: a cast would cut a text off, where
    /// an assignment refuses it.
    pub(super) fn cast(&self) -> Option<&str> {
        matches!(self, Self::Numeric | Self::Other(_)).then(|| self.name())
    }

    /// Makes a value for a column of this type out of JSON; `null` is NULL. The error goes on after the member's name.
    pub(super) fn value(&self, raw: &RawValue) -> Result<Option<Value>, String> {
        let json = raw.get();
        if json == "null" {
            return Ok(None);
        }
        let wrong = || format!("is {}, and its column takes {}", written(json), self.wants());
        let number = || is_number(json).then_some(json);
        let value = match self {
            Self::Json => Some(Value::Json(json.into())),
            Self::Jsonb if has_nul(json) => return Err(NUL.to_owned()),
            Self::Jsonb => Some(Value::Json(json.into())),
            Self::Boolean => json.parse().ok().map(Value::Boolean),
            Self::Smallint => whole(json).and_then(|n| i16::try_from(n).ok()).map(Value::Smallint),
            Self::Integer => whole(json).and_then(|n| i32::try_from(n).ok()).map(Value::Integer),
            Self::Bigint => whole(json).map(Value::Bigint),
            Self::Real => number().and_then(|n| n.parse().ok()).filter(|n: &f32| n.is_finite()).map(Value::Real),
            Self::Double => number().and_then(|n| n.parse().ok()).filter(|n: &f64| n.is_finite()).map(Value::Double),
            Self::Numeric if is_number(json) => Some(Value::Text(json.to_owned())),
            Self::Other(_) if !json.starts_with(['"', '{', '[']) => Some(Value::Text(json.to_owned())),
            _ => text(json)?.and_then(|text| self.of_text(text)),
        };
        value.map(Some).ok_or_else(wrong)
    }

    fn of_text(&self, text: String) -> Option<Value> {
        match self {
            Self::Text | Self::Other(_) => Some(Value::Text(text)),
            Self::Numeric => is_number(&text).then_some(Value::Text(text)),
            Self::Uuid => uuid(&text).map(Value::Uuid),
            Self::Timestamptz => micros(text.parse().ok()?).map(Value::Instant),
            Self::Timestamp => {
                // An offset would be dropped in silence.
                let time = text.get(10..).filter(|time| !time.is_empty())?;
                let local: civil::DateTime = text.parse().ok().filter(|_| !time.contains(['Z', 'z', '+', '-', '[']))?;
                micros(TimeZone::UTC.to_timestamp(local).ok()?).map(Value::Instant)
            }
            Self::Date => {
                let date: civil::Date = text.parse().ok().filter(|_| text.len() == 10)?;
                let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_second();
                i32::try_from((midnight - EPOCH_SECONDS).div_euclid(DAY_SECONDS)).ok().map(Value::Date)
            }
            _ => None,
        }
    }

    /// What a column of this type takes, in words.
    fn wants(&self) -> String {
        let words = match self {
            Self::Boolean => "true or false",
            Self::Smallint => "a whole number from -32768 to 32767",
            Self::Integer => "a whole number of 32 bits",
            Self::Bigint => "a whole number of 64 bits",
            Self::Real | Self::Double => "a number",
            Self::Numeric => "a number, or a text with one",
            Self::Text => "a text; `tostring` in the mapping makes one",
            Self::Uuid => "a text with a UUID",
            Self::Timestamptz => "a text with date, time and offset, like \"2026-03-02T08:15:00.123Z\"",
            Self::Timestamp => "a text with date and time, without an offset, like \"2026-03-02T08:15:00\"",
            Self::Date => "a text with a date, like \"2026-03-02\"",
            Self::Json | Self::Jsonb => "JSON",
            Self::Other(name) => return format!("a text as PostgreSQL writes the type {name}"),
        };
        words.to_owned()
    }
}

/// Why a text with U+0000 is refused.
const NUL: &str = "has a NUL character (\\u0000), which PostgreSQL cannot store; take it out in the mapping";

/// What JSON is, without showing it.
fn written(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a text that does not fit",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        _ => "a number that does not fit",
    }
}

/// The content of a JSON string; none if it is something else.
fn text(json: &str) -> Result<Option<String>, String> {
    if !json.starts_with('"') {
        return Ok(None);
    }
    let text: String =
        serde_json::from_str(json).map_err(|_| "has an escape that stands for no character".to_owned())?;
    if text.contains('\0') { Err(NUL.to_owned()) } else { Ok(Some(text)) }
}

/// Whether it is a decimal number, with or without an exponent.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok()
}

fn whole(json: &str) -> Option<i64> {
    json.parse().ok().or_else(|| {
        let number: f64 = json.parse().ok().filter(|_| is_number(json))?;
        // In range and without a fraction, so nothing is lost.
        (number.abs() <= EXACT && number.fract() == 0.0).then_some(number as i64)
    })
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hyphens = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(place, _)| place);
    let well_formed = text.len() == 32 || hyphens.eq([8, 13, 18, 23]);
    let hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (well_formed && hex).then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(u128::to_be_bytes)
}

fn micros(instant: jiff::Timestamp) -> Option<i64> {
    instant.as_microsecond().checked_sub(EPOCH_SECONDS * 1_000_000)
}

/// Whether a string in JSON has U+0000, which can only be written as an escape.
fn has_nul(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        if escape.starts_with("\\u0000") {
            return true;
        }
        // The character behind is one byte: in JSON it is one of a few.
        rest = escape.get(2..).unwrap_or_default();
    }
    false
}

impl Value {
    /// Which of two values of a column is the larger one, where that can be said without the database.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Smallint(one), Self::Smallint(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) | (Self::Date(one), Self::Date(other)) => Some(one.cmp(other)),
            (Self::Bigint(one), Self::Bigint(other)) | (Self::Instant(one), Self::Instant(other)) => {
                Some(one.cmp(other))
            }
            (Self::Real(one), Self::Real(other)) => one.partial_cmp(other),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(other),
            _ => None,
        }
    }

    /// Appends bytes that are the same for the same value only.
    pub(super) fn identify(&self, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(value) => out.push(u8::from(*value)),
            Self::Smallint(value) => out.extend(value.to_be_bytes()),
            Self::Integer(value) | Self::Date(value) => out.extend(value.to_be_bytes()),
            Self::Bigint(value) | Self::Instant(value) => out.extend(value.to_be_bytes()),
            Self::Real(value) => out.extend(value.to_be_bytes()),
            Self::Double(value) => out.extend(value.to_be_bytes()),
            Self::Uuid(value) => out.extend(value),
            Self::Text(text) => {
                out.extend(text.len().to_be_bytes());
                out.extend(text.as_bytes());
            }
            Self::Json(text) => {
                out.extend(text.len().to_be_bytes());
                out.extend(text.as_bytes());
            }
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Boolean(value) => value.to_sql(ty, out),
            Self::Smallint(value) => value.to_sql(ty, out),
            Self::Integer(value) | Self::Date(value) => value.to_sql(ty, out),
            Self::Bigint(value) | Self::Instant(value) => value.to_sql(ty, out),
            Self::Real(value) => value.to_sql(ty, out),
            Self::Double(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Uuid(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            Self::Json(text) => {
                if *ty == Type::JSONB {
                    // The version of its format.
                    out.extend_from_slice(&[1]);
                }
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    /// The statement was made for the columns that the values were made for.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
