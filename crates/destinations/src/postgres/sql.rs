//! The text of statements. Names of the configuration are quoted; values never stand in one.

use std::fmt::{self, Write as _};

use super::table::Column;

/// Longest name, in bytes: PostgreSQL cuts longer ones off, so two could become one.
const NAME_LIMIT: usize = 63;

/// The name of a table, with its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) schema: String,
    pub(super) table: String,
}

impl Name {
    /// Reads `NAME` or `SCHEMA.NAME`; a schema that is not named is `public`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (schema, table) = text.split_once('.').unwrap_or(("public", text));
        for part in [schema, table] {
            if part.is_empty() || part.contains('.') {
                return Err(format!("is `{text}`, which is no name of a table; write \"NAME\" or \"SCHEMA.NAME\""));
            }
            if part.len() > NAME_LIMIT || part.contains('\0') {
                return Err(format!("is `{text}`; a name has at most {NAME_LIMIT} bytes"));
            }
        }
        Ok(Self { schema: schema.to_owned(), table: table.to_owned() })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

/// A name as part of a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// What becomes of a row whose key is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Update {
    /// The column that says which of two rows is newer.
    pub(super) version: Option<usize>,
    /// Whether columns keep what the new row has no value for.
    pub(super) keep: bool,
    /// The column for members that no column is called after.
    pub(super) extra: Option<usize>,
}

impl Update {
    /// When the new row is the newer one.
    fn newer(self, columns: &[Column]) -> Option<String> {
        let version = quoted(&columns[self.version?].name);
        Some(format!("t.{version} IS NULL OR excluded.{version} > t.{version}"))
    }

    /// What a column becomes.
    fn value(self, place: usize, columns: &[Column]) -> String {
        let column = quoted(&columns[place].name);
        let both = |first: &str, second: &str| match self.extra == Some(place) {
            // Of members with one name the last one counts.
            true => {
                format!("nullif(coalesce({second}.{column}, '{{}}') || coalesce({first}.{column}, '{{}}'), '{{}}')")
            }
            false => format!("coalesce({first}.{column}, {second}.{column})"),
        };
        match self.newer(columns) {
            _ if !self.keep => format!("excluded.{column}"),
            Some(_) if self.version == Some(place) => format!("greatest(t.{column}, excluded.{column})"),
            Some(newer) => {
                let (new, old) = (both("excluded", "t"), both("t", "excluded"));
                format!("CASE WHEN {newer} THEN {new} ELSE {old} END")
            }
            None => both("excluded", "t"),
        }
    }
}

/// The statement that writes any number of rows: one array for each column, so that one prepared statement does for all
/// sizes of batches. It is as quick as `VALUES` with a parameter for each value, which needs a statement for each size: the
/// example `postgres_throughput` measures both.
pub(super) fn insert(name: &Name, columns: &[Column], key: &[usize], update: Update) -> String {
    let names = list(columns.iter().map(|column| column.name.as_str()));
    let mut arrays = String::new();
    let mut picks = String::new();
    let mut aliases = String::new();
    for (place, column) in columns.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // To a String, which cannot fail.
        let _ = write!(arrays, "{comma}${}::{}[]", place + 1, column.kind.parameter());
        let _ = write!(aliases, "{comma}c{place}");
        let _ = match column.kind.cast() {
            None => write!(picks, "{comma}u.c{place}"),
            Some(cast) => write!(picks, "{comma}u.c{place}::{cast}"),
        };
    }
    let conflict = list(key.iter().map(|place| columns[*place].name.as_str()));
    let updated: Vec<_> = (0..columns.len())
        .filter(|place| !key.contains(place))
        .map(|place| format!("{} = {}", quoted(&columns[place].name), update.value(place, columns)))
        .collect();
    let action = match (updated.is_empty(), update.newer(columns)) {
        (true, _) => "NOTHING".to_owned(),
        // An older row may have what the newer one lacks.
        (false, Some(newer)) if !update.keep => format!("UPDATE SET {} WHERE {newer}", updated.join(", ")),
        (false, _) => format!("UPDATE SET {}", updated.join(", ")),
    };
    format!(
        "INSERT INTO {name} AS t ({names}) SELECT {picks} FROM unnest({arrays}) AS u({aliases}) \
         ON CONFLICT ({conflict}) DO {action}"
    )
}

/// The statement that makes a table, as `create` does it and as a person would.
pub(super) fn create(name: &Name, columns: &[Column], key: &[String]) -> String {
    let columns: Vec<_> =
        columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.kind.name())).collect();
    let key = list(key.iter().map(String::as_str));
    format!("CREATE TABLE IF NOT EXISTS {name} ({}, PRIMARY KEY ({key}))", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::value::Kind;
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column { name: name.to_owned(), kind }
    }

    #[test]
    fn the_newer_row_wins_and_the_key_stays() {
        let columns = [column("id", Kind::Text), column("at", Kind::Timestamptz), column("cost", Kind::Numeric)];
        let name = Name::parse("calls.outcomes").unwrap();
        assert_eq!(
            insert(&name, &columns, &[0], Update { version: Some(1), ..Update::default() }),
            "INSERT INTO \"calls\".\"outcomes\" AS t (\"id\", \"at\", \"cost\") \
             SELECT u.c0, u.c1, u.c2::numeric FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS u(c0, c1, c2) \
             ON CONFLICT (\"id\") DO UPDATE SET \"at\" = excluded.\"at\", \"cost\" = excluded.\"cost\" \
             WHERE t.\"at\" IS NULL OR excluded.\"at\" > t.\"at\""
        );
        assert!(insert(&name, &columns[..1], &[0], Update::default()).ends_with("ON CONFLICT (\"id\") DO NOTHING"));
        assert_eq!(
            create(&name, &columns, &["id".to_owned()]),
            "CREATE TABLE IF NOT EXISTS \"calls\".\"outcomes\" (\"id\" text, \"at\" timestamptz, \"cost\" numeric, \
             PRIMARY KEY (\"id\"))"
        );
    }

    #[test]
    fn a_table_has_a_schema() {
        assert_eq!(Name::parse("calls").unwrap().to_string(), "\"public\".\"calls\"");
        for wrong in ["", ".", "a.", ".b", "a.b.c", &"x".repeat(64)] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// A quoted name ends where it should: within it there is no quotation mark that is not doubled.
        #[test]
        fn a_name_cannot_end_its_quotes(name in ".*") {
            let text = quoted(&name);
            let inner = &text[1..text.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", ""), name.replace('"', ""));
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
        }
    }
}
