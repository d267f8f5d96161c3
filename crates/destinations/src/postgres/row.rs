//! A payload as a row of a table.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::table::Table;
use super::value::Value;

/// A row that can be written.
#[derive(Debug)]
pub(super) struct Row {
    /// What it was made for.
    pub(super) table: Arc<Table>,
    /// One for each column of the table.
    pub(super) values: Vec<Option<Value>>,
    /// Tells keys apart.
    pub(super) key: Box<[u8]>,
}

/// Why a payload is no row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is not JSON, or no object.
    NoObject(String),
    /// It has a member that no column is called after.
    Unknown(String),
    /// A member cannot be what its column has.
    Member {
        /// Its name.
        name: String,
        /// Goes on after the name.
        problem: String,
    },
}

impl Row {
    /// Makes a row of a payload.
    pub(super) fn new(table: &Arc<Table>, payload: &[u8]) -> Result<Self, Misfit> {
        let Members { found, unknown } = members(table, payload)?;
        let mut values = Vec::with_capacity(found.len());
        for (raw, column) in found.into_iter().zip(&table.columns) {
            let value = raw.map(|raw| column.kind.value(raw)).transpose();
            let value = value.map_err(|problem| Misfit::Member { name: column.name.clone(), problem })?;
            values.push(value.flatten());
        }
        if !unknown.is_empty() {
            let Some(extra) = table.extra else { return Err(Misfit::Unknown(unknown[0].0.clone())) };
            let column = &table.columns[extra];
            let text =
                serde_json::value::to_raw_value(&unknown.into_iter().collect::<std::collections::BTreeMap<_, _>>());
            let value = text.map_err(|error| error.to_string()).and_then(|raw| column.kind.value(&raw));
            values[extra] = value.map_err(|problem| Misfit::Member { name: column.name.clone(), problem })?;
        }
        let mut key = Vec::new();
        for (what, place) in
            table.key.iter().map(|place| ("key", place)).chain(table.version.iter().map(|v| ("version", v)))
        {
            match &values[*place] {
                Some(value) if what == "key" => value.identify(&mut key),
                Some(_) => {}
                None => {
                    let name = table.columns[*place].name.clone();
                    let problem = format!("is missing or null, and it is the {what}; have the mapping make it");
                    return Err(Misfit::Member { name, problem });
                }
            }
        }
        Ok(Self { table: Arc::clone(table), values, key: key.into() })
    }

    /// Which of the two is newer, where that can be said without the database.
    pub(super) fn compare(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let version = self.table.version?;
        self.values[version].as_ref()?.compare(other.values[version].as_ref()?)
    }
}

/// The members of a payload: those of each column, and those of none.
struct Members<'a> {
    found: Vec<Option<&'a RawValue>>,
    unknown: Vec<(String, &'a RawValue)>,
}

fn members<'a>(table: &Table, payload: &'a [u8]) -> Result<Members<'a>, Misfit> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let read = Wanted(table).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    read.map_err(|error| Misfit::NoObject(format!("the payload is not a JSON object ({error})")))
}

struct Wanted<'t>(&'t Table);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose members are columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { found: vec![None; self.0.columns.len()], unknown: Vec::new() };
        while let Some(name) = map.next_key::<String>()? {
            let value: &'de RawValue = map.next_value()?;
            // Of members with the same name the last counts.
            match self.0.places.get(&name) {
                Some(place) if self.0.extra != Some(*place) => members.found[*place] = Some(value),
                _ => members.unknown.push((name, value)),
            }
        }
        Ok(members)
    }
}
