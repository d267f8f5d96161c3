//! A row, made of a payload: what the schema knows has its type, and what it does not know is in `extra`.
//!
//! A payload that does not fit is refused, with the place and the cure; nothing is guessed and nothing is left out.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, de};
use serde_json::value::RawValue;

use super::extra;
use super::schema::{CONVERSATION_ID, EVENT_ID, EXTRA, FIELDS, Field, Kind, OCCURRED_AT, RECEIVED_AT, SCHEMA, VERSION};

/// What to do about a payload that is no outcome.
const CURE: &str = "let the route's mapping give an outcome, as mapping = 'outcome' does, and change no field's type";

/// A value that is none of the right type.
const OTHER: de::Unexpected<'static> = de::Unexpected::Other("another value");

/// A value of a column, or of a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    Number(f64),
    /// Milliseconds since 1970.
    Time(i64),
    /// Not empty: a list that is, is null.
    List(Vec<Cell<'a>>),
    /// Not all of them null: one whose members are, is null.
    Struct(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    /// Of the members of a struct.
    pub(super) fn of_members<const N: usize>(members: [Self; N]) -> Self {
        if members.iter().all(Self::is_null) { Self::Null } else { Self::Struct(members.into()) }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// The values of all columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row<'a>(Vec<Cell<'a>>);

/// Why a payload is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit(String);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> Row<'a> {
    /// Of the JSON text of an outcome.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Misfit> {
        let mut context = Context::default();
        let mut json = serde_json::Deserializer::from_slice(payload);
        let read = Seed { kind: Kind::Struct(FIELDS), context: &mut context }.deserialize(&mut json);
        let cells = match read.and_then(|cell| json.end().map(|()| cell)) {
            Ok(Cell::Struct(cells)) => cells,
            Ok(_) => return Err(Misfit(format!("the payload is no outcome; {CURE}"))),
            Err(error) => return Err(Misfit(format!("the payload's `{}`: {error}; {CURE}", context.pointer()))),
        };
        let mut row = Self(cells);
        row.check()?;
        row.keep(&context.unknown);
        Ok(row)
    }

    /// Of these values, in the order of the columns.
    pub(super) fn new(cells: Vec<Cell<'a>>) -> Self {
        debug_assert_eq!(cells.len(), FIELDS.len());
        Self(cells)
    }

    /// Its values, in the order of the columns.
    pub(super) fn cells(&self) -> &[Cell<'a>] {
        &self.0
    }

    /// When what it tells of happened, or else when it was received; milliseconds since 1970.
    pub(super) fn time(&self) -> Option<i64> {
        [OCCURRED_AT, RECEIVED_AT].iter().find_map(|place| match self.0[*place] {
            Cell::Time(millis) => Some(millis),
            _ => None,
        })
    }

    /// The conversation that it tells of.
    pub(super) fn conversation(&self) -> Option<&str> {
        match &self.0[CONVERSATION_ID] {
            Cell::Text(id) => Some(id),
            _ => None,
        }
    }

    /// Whether it can be written. The versions of before can: rows of them may have been in the journal while another
    /// version of aftercall was installed, and nothing that has a column loses it.
    fn check(&self) -> Result<(), Misfit> {
        match self.0[SCHEMA] {
            Cell::Integer(version) if (1..=i64::from(VERSION)).contains(&version) => {}
            Cell::Integer(version) => {
                let here = "which this version of aftercall cannot write; bring both to the same version";
                return Err(Misfit(format!("the payload's `/schema` is {version}, {here}")));
            }
            _ => return Err(Misfit(format!("the payload's `/schema` is missing, so it is no outcome; {CURE}"))),
        }
        if !matches!(&self.0[EVENT_ID], Cell::Text(id) if !id.is_empty()) {
            return Err(Misfit(format!("the payload's `/event_id` is missing, so it is no outcome; {CURE}")));
        }
        match &self.0[EXTRA] {
            Cell::Text(extra) if !extra.starts_with('{') => {
                Err(Misfit(format!("the payload's `/extra` is no object; {CURE}")))
            }
            _ => Ok(()),
        }
    }

    /// Puts members that no column is called after into `extra`, which has one member of a name: the last.
    fn keep(&mut self, unknown: &[(String, &'a RawValue)]) {
        let Cell::Text(extra) = &self.0[EXTRA] else {
            self.0[EXTRA] = extra::with("{}", unknown).map_or(Cell::Null, |text| Cell::Text(text.into()));
            return;
        };
        if let Some(text) = extra::with(extra, unknown) {
            self.0[EXTRA] = Cell::Text(text.into());
        }
    }
}

/// Where the reading is, and what it found that no column is called after.
#[derive(Default)]
struct Context<'a> {
    steps: Vec<Step>,
    unknown: Vec<(String, &'a RawValue)>,
}

#[derive(Clone, Copy)]
enum Step {
    Member(&'static str),
    Element(usize),
}

impl Context<'_> {
    fn pointer(&self) -> String {
        self.steps.iter().map(|step| format!("/{step}")).collect()
    }

    fn path(&self, name: &str) -> String {
        self.steps.iter().map(|step| format!("{step}/")).chain([name.to_owned()]).collect()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Element(place) => write!(f, "{place}"),
        }
    }
}

/// Reads one value.
struct Seed<'c, 'a> {
    kind: Kind,
    context: &'c mut Context<'a>,
}

impl<'a> DeserializeSeed<'a> for Seed<'_, 'a> {
    type Value = Cell<'a>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Cell<'a>, D::Error> {
        let or_null = |value: Option<Cell<'a>>| value.unwrap_or(Cell::Null);
        match self.kind {
            // What the value is instead is not said: it may be what people said.
            Kind::Integer => match Option::<i64>::deserialize(json) {
                Ok(value) => Ok(or_null(value.map(Cell::Integer))),
                Err(_) => Err(D::Error::invalid_type(OTHER, &self)),
            },
            // Of its digits, since the reader's own way of reading numbers is off by a little for some.
            Kind::Number => match <&'a RawValue>::deserialize(json)?.get() {
                "null" => Ok(Cell::Null),
                text => match text.parse().ok().filter(|number: &f64| number.is_finite()) {
                    Some(number) => Ok(Cell::Number(number)),
                    None => Err(D::Error::invalid_type(OTHER, &self)),
                },
            },
            Kind::Json => Ok(match <&'a RawValue>::deserialize(json)?.get() {
                "null" => Cell::Null,
                text => Cell::Text(text.into()),
            }),
            Kind::Text | Kind::Time | Kind::List(_) | Kind::Struct(_) => json.deserialize_any(self),
        }
    }
}

impl<'a> Visitor<'a> for Seed<'_, 'a> {
    type Value = Cell<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Text => "a text",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Time => "a time like \"2026-03-02T08:15:00.123Z\"",
            Kind::Json => "any value",
            Kind::List(_) => "a list",
            Kind::Struct(_) => "an object",
        })
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Cell<'a>, E> {
        Err(E::invalid_type(de::Unexpected::Other("a number"), &self))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Cell<'a>, E> {
        self.visit_i64(0)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Cell<'a>, E> {
        self.visit_i64(0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Cell<'a>, E> {
        Ok(Cell::Null)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Cell<'a>, E> {
        match self.kind {
            Kind::Text => Ok(Cell::Text(text.into())),
            _ => self.visit_str(text),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell<'a>, E> {
        match self.kind {
            Kind::Text => Ok(Cell::Text(text.to_owned().into())),
            Kind::Time => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Ok(Cell::Time(time.as_millisecond())),
                Err(_) => Err(E::invalid_value(de::Unexpected::Other("another text"), &self)),
            },
            _ => Err(E::invalid_type(de::Unexpected::Other("text"), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Cell<'a>, A::Error> {
        let Kind::List(kind) = self.kind else {
            return Err(A::Error::invalid_type(de::Unexpected::Seq, &self));
        };
        let mut cells = Vec::new();
        loop {
            self.context.steps.push(Step::Element(cells.len()));
            let next = list.next_element_seed(Seed { kind: *kind, context: &mut *self.context })?;
            self.context.steps.pop();
            match next {
                Some(cell) => cells.push(cell),
                None if cells.is_empty() => return Ok(Cell::Null),
                None => return Ok(Cell::List(cells)),
            }
        }
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<Cell<'a>, A::Error> {
        let Kind::Struct(members) = self.kind else {
            return Err(A::Error::invalid_type(de::Unexpected::Map, &self));
        };
        let mut cells = vec![Cell::Null; members.len()];
        let mut likely = 0;
        while let Some(Name(name)) = object.next_key()? {
            let Some(place) = find(members, &name, likely) else {
                let path = self.context.path(&name);
                self.context.unknown.push((path, object.next_value()?));
                continue;
            };
            self.context.steps.push(Step::Member(members[place].name));
            let seed = Seed { kind: members[place].kind, context: &mut *self.context };
            cells[place] = object.next_value_seed(seed)?;
            self.context.steps.pop();
            likely = place + 1;
        }
        let is_row = self.context.steps.is_empty();
        Ok(if !is_row && cells.iter().all(Cell::is_null) { Cell::Null } else { Cell::Struct(cells) })
    }
}

/// The place of a member; where the one before it stood, it is most likely the next.
fn find(members: &[Field], name: &str, likely: usize) -> Option<usize> {
    match members.get(likely) {
        Some(member) if member.name == name => Some(likely),
        _ => members.iter().position(|member| member.name == name),
    }
}

/// A member's name, which is rarely copied.
struct Name<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'a> Visitor<'a> for Read {
            type Value = Name<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Name<'a>, E> {
                Ok(Name(text.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'a>, E> {
                Ok(Name(text.to_owned().into()))
            }
        }
        json.deserialize_str(Read)
    }
}
