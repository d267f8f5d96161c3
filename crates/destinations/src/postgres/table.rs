//! The table as it is in the database, and whether it is as the configuration wants it.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Row};

use super::options::{Checked, Wanted};
use super::sql::{self, Name, Update, quoted};
use super::value::Kind;
use crate::SendError;

/// A column that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table that rows can be written to.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// Places of columns by their names.
    pub(super) places: HashMap<String, usize>,
    pub(super) key: Vec<usize>,
    pub(super) version: Option<usize>,
    pub(super) extra: Option<usize>,
    /// The statement that writes rows.
    /// Whether a row leaves what it has no value for.
    pub(super) keep: bool,
    pub(super) insert: String,
}

/// Why there is no table to write to.
#[derive(Debug)]
pub(super) enum NoTable {
    /// It is not there: the cure.
    Missing(String),
    /// It is not as the configuration wants it: what is wrong, and the cure.
    Misfit(String),
    /// The database did not answer as it should.
    Database(Error),
    /// There is no connection to it.
    Unreachable(SendError),
}

impl From<Error> for NoTable {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// A column that is there.
#[derive(Debug, Clone)]
struct Present {
    name: String,
    kind: Kind,
    /// The database makes its value, always.
    generated: bool,
    /// The database makes its value if none is given.
    default: bool,
}

const FIND: &str = "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname::text = $1::text AND c.relname::text = $2::text AND c.relkind IN ('r', 'p')";

/// Not the information schema: it hides what one may not read, and knows no indexes.
const COLUMNS: &str = "SELECT a.attname::text, t.typname::text, t.typnamespace = 'pg_catalog'::regnamespace, \
                       pg_catalog.format_type(a.atttypid, NULL), a.attgenerated <> '' OR a.attidentity = 'a', \
                       a.atthasdef OR a.attidentity <> '' \
                       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                       WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// The columns of each index that `ON CONFLICT` can go by.
const KEYS: &str = "SELECT array_agg(a.attname::text) FROM pg_catalog.pg_index i \
                    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
                    AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts GROUP BY i.indexrelid";

/// Makes the table if it is missing and `create` says so, and reads it.
pub(super) async fn look(client: &Client, checked: &Checked, create: bool) -> Result<Table, NoTable> {
    let Checked { table: name, wanted, .. } = checked;
    let mut found = find(client, name).await?;
    if found.is_none() && create {
        let columns: Vec<_> =
            wanted.columns.iter().map(|(name, kind)| Column { name: name.clone(), kind: kind.clone() }).collect();
        let made = client.batch_execute(&sql::create(name, &columns, &wanted.key)).await;
        made.map_err(|error| match error.code() {
            Some(&SqlState::INVALID_SCHEMA_NAME) => {
                let schema = quoted(&name.schema);
                NoTable::Misfit(format!(
                    "{name} cannot be made: its schema is missing; make it: CREATE SCHEMA {schema}"
                ))
            }
            _ => NoTable::Database(error),
        })?;
        found = find(client, name).await?;
    }
    let Some(oid) = found else { return Err(NoTable::Missing(missing(name, wanted))) };
    let columns = client.query(COLUMNS, &[&oid]).await?.iter().map(present).collect::<Result<Vec<_>, _>>()?;
    let keys = client.query(KEYS, &[&oid]).await?;
    let keys = keys.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Vec<String>>, _>>()?;
    fit(name, wanted, &columns, &keys).map_err(NoTable::Misfit)
}

async fn find(client: &Client, name: &Name) -> Result<Option<u32>, Error> {
    let found = client.query_opt(FIND, &[&name.schema, &name.table]).await?;
    found.map(|row| row.try_get(0)).transpose()
}

fn present(row: &Row) -> Result<Present, Error> {
    let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (built_in, written): (bool, String) = (row.try_get(2)?, row.try_get(3)?);
    let (generated, default) = (row.try_get(4)?, row.try_get(5)?);
    Ok(Present { name, kind: Kind::of(built_in, &kind, &written), generated, default })
}

fn missing(name: &Name, wanted: &Wanted) -> String {
    match wanted.columns.is_empty() {
        true => format!("{name} does not exist; make it, or name `columns` and set create = true"),
        false => {
            let columns: Vec<_> =
                wanted.columns.iter().map(|(name, kind)| Column { name: name.clone(), kind: kind.clone() }).collect();
            let statement = sql::create(name, &columns, &wanted.key);
            format!("{name} does not exist; set create = true, or make it: {statement}")
        }
    }
}

/// Compares what there is with what is wanted. The error names the cure.
fn fit(name: &Name, wanted: &Wanted, present: &[Present], keys: &[Vec<String>]) -> Result<Table, String> {
    let columns = match wanted.columns.is_empty() {
        true => own(wanted, present),
        false => configured(name, wanted, present)?,
    };
    let places: HashMap<String, usize> =
        (0..).zip(&columns).map(|(place, column)| (column.name.clone(), place)).collect();
    let place = |setting: &str, wanted: &String| {
        places.get(wanted).copied().ok_or_else(|| {
            format!("{name} has no column {} that can be written, which `{setting}` names", quoted(wanted))
        })
    };
    let key = wanted.key.iter().map(|key| place("key", key)).collect::<Result<Vec<_>, _>>()?;
    let version = wanted.version.as_ref().map(|version| place("version", version)).transpose()?;
    let extra = wanted.extra.as_ref().map(|extra| place("extra", extra)).transpose()?;
    if let Some(extra) = extra.map(|place| &columns[place]).filter(|column| column.kind != Kind::Jsonb) {
        let (extra, kind) = (quoted(&extra.name), extra.kind.name());
        return Err(format!("{name} has {extra} as {kind}, and `extra` needs a jsonb; name another column"));
    }
    let set: BTreeSet<&String> = wanted.key.iter().collect();
    if !keys.iter().any(|key| key.iter().collect::<BTreeSet<_>>() == set) {
        let columns = wanted.key.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "{name} has no unique index on exactly the key ({columns}), so a row cannot be found by it; make one: \
             CREATE UNIQUE INDEX ON {name} ({columns})"
        ));
    }
    let update = Update { version, keep: wanted.keep, extra };
    let insert = sql::insert(name, &columns, &key, update);
    Ok(Table { columns, places, key, version, keep: wanted.keep, extra, insert })
}

/// What the table has, without what the database makes the values of; what the configuration names in any case.
fn own(wanted: &Wanted, present: &[Present]) -> Vec<Column> {
    let named = |name: &String| {
        wanted.key.contains(name) || wanted.version.as_ref() == Some(name) || wanted.extra.as_ref() == Some(name)
    };
    let written = present.iter().filter(|column| !column.generated && (!column.default || named(&column.name)));
    written.map(|column| Column { name: column.name.clone(), kind: column.kind.clone() }).collect()
}

fn configured(name: &Name, wanted: &Wanted, present: &[Present]) -> Result<Vec<Column>, String> {
    let mut columns = Vec::with_capacity(wanted.columns.len());
    for (column, kind) in &wanted.columns {
        let quoted = quoted(column);
        let Some(found) = present.iter().find(|present| present.name == *column) else {
            return Err(format!(
                "{name} has no column {quoted}, which `columns` names; add it: ALTER TABLE {name} ADD COLUMN {quoted} {}",
                kind.name()
            ));
        };
        if found.generated {
            return Err(format!("{name} makes the values of {quoted} itself; take it out of `columns`"));
        }
        if found.kind != *kind {
            let (there, here) = (found.kind.name(), kind.name());
            return Err(format!(
                "{name} has {quoted} as {there}, and `columns` says {here}; write {quoted} = \"{there}\", or change it: \
                 ALTER TABLE {name} ALTER COLUMN {quoted} TYPE {here}"
            ));
        }
        columns.push(Column { name: column.clone(), kind: kind.clone() });
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(columns: &[(&str, Kind)]) -> Vec<Present> {
        let one = |(name, kind): &(&str, Kind)| Present {
            name: (*name).to_owned(),
            kind: kind.clone(),
            generated: *name == "made",
            default: *name == "loaded",
        };
        columns.iter().map(one).collect()
    }

    fn wanted(columns: &[(&str, Kind)]) -> Wanted {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
        Wanted { columns, key: vec!["id".into()], version: None, keep: false, extra: None }
    }

    fn id() -> Vec<Vec<String>> {
        vec![vec!["id".into()]]
    }

    #[test]
    fn without_columns_the_tables_own_are_written_but_for_those_with_a_default() {
        let name = Name::parse("t").unwrap();
        let there =
            present(&[("id", Kind::Text), ("made", Kind::Text), ("loaded", Kind::Timestamptz), ("x", Kind::Date)]);
        let names = |wanted: &Wanted| {
            let table = fit(&name, wanted, &there, &id()).unwrap();
            table.columns.into_iter().map(|column| column.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&wanted(&[])), ["id", "x"]);
        assert_eq!(names(&Wanted { version: Some("loaded".into()), ..wanted(&[]) }), ["id", "loaded", "x"]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_cure() {
        let name = Name::parse("t").unwrap();
        let there = present(&[("id", Kind::Text), ("a", Kind::Bigint), ("made", Kind::Text)]);
        let cases = [
            (wanted(&[("id", Kind::Text), ("b", Kind::Date)]), id(), "ADD COLUMN \"b\" date"),
            (wanted(&[("id", Kind::Text), ("a", Kind::Text)]), id(), "ALTER COLUMN \"a\" TYPE text"),
            (wanted(&[("id", Kind::Text), ("made", Kind::Text)]), id(), "take it out of `columns`"),
            (wanted(&[]), vec![], "CREATE UNIQUE INDEX ON \"public\".\"t\" (\"id\")"),
            (wanted(&[]), vec![vec!["id".into(), "a".into()]], "no unique index on exactly the key"),
            (Wanted { version: Some("at".into()), ..wanted(&[]) }, id(), "which `version` names"),
            (Wanted { extra: Some("a".into()), ..wanted(&[]) }, id(), "`extra` needs a jsonb"),
        ];
        for (wanted, keys, cure) in cases {
            let problem = fit(&name, &wanted, &there, &keys).unwrap_err();
            assert!(problem.contains(cure), "{problem}\nnot: {cure}");
        }
        let missing = missing(&name, &wanted(&[("id", Kind::Text)]));
        assert!(missing.contains("CREATE TABLE IF NOT EXISTS \"public\".\"t\" (\"id\" text, PRIMARY KEY"), "{missing}");
    }
}
