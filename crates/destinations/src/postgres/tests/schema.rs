//! The table: looked at when the destination is opened, made, refused, and changed while it is written.

use super::rig::{Place, send, send_all};
use crate::postgres::{Options, PostgresDestination};
use crate::{ErrorClass, OpenError, SendError};

fn with_columns(mut options: Options, columns: &[(&str, &str)]) -> Options {
    options.columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    options
}

#[track_caller]
fn refused(options: Options, cure: &str) {
    for opened in [PostgresDestination::check(&options), PostgresDestination::open(options).map(|_| None)] {
        match opened {
            Err(OpenError::Place { key: "table", problem }) => {
                assert!(problem.contains(cure), "{problem}\nnot: {cure}")
            }
            other => panic!("{other:?} instead of: {cure}"),
        }
    }
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_with_the_cure() {
    let place = Place::new(
        "CREATE TABLE t (id text PRIMARY KEY, at timestamptz, g int GENERATED ALWAYS AS (1) STORED); \
         CREATE TABLE part (id text, at timestamptz); CREATE UNIQUE INDEX ON part (id) WHERE at IS NULL; \
         CREATE UNIQUE INDEX ON part (lower(id)); CREATE TABLE late (id text UNIQUE DEFERRABLE); \
         CREATE VIEW v AS SELECT * FROM t",
    );
    refused(place.options("nowhere", "id"), "does not exist; make it, or name `columns` and set create = true");
    refused(place.options("v", "id"), "does not exist");
    let wanted = [("id", "text"), ("cost", "numeric")];
    refused(
        with_columns(place.options("nowhere", "id"), &wanted),
        "(\"cost\" numeric, \"id\" text, PRIMARY KEY (\"id\"))",
    );
    refused(with_columns(place.options("t", "id"), &wanted), "ADD COLUMN \"cost\" numeric");
    refused(with_columns(place.options("t", "id"), &[("id", "uuid")]), "ALTER COLUMN \"id\" TYPE uuid");
    refused(
        with_columns(place.options("t", "id"), &[("id", "text"), ("g", "integer")]),
        "makes the values of \"g\" itself",
    );
    refused(place.options("t", "at"), "CREATE UNIQUE INDEX ON");
    refused(place.options("part", "id"), "CREATE UNIQUE INDEX ON");
    refused(place.options("late", "id"), "CREATE UNIQUE INDEX ON");
    refused(place.options("t", "nothing"), "has no column \"nothing\" that can be written, which `key` names");
}

#[tokio::test]
async fn a_table_is_made_once_and_as_configured() {
    let place = Place::new("");
    let columns = [("id", "text"), ("at", "timestamptz"), ("rest", "jsonb")];
    let mut options = with_columns(place.options("made here", "id"), &columns);
    options.create = true;
    options.extra = Some("rest".into());
    assert_eq!(PostgresDestination::check(&options).unwrap(), None);
    let there = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    assert_eq!(place.sql(there), "0", "a check makes nothing");
    let first = PostgresDestination::open(options.clone()).unwrap();
    let second = PostgresDestination::open(options).unwrap();
    send(&first, r#"{"id":"a","at":"2026-03-02T08:15:00+02:00","x":[1,null],"é \"":{}}"#).await.unwrap();
    send(&second, r#"{"id":"b"}"#).await.unwrap();
    let rows = "SELECT id, at AT TIME ZONE 'UTC', rest FROM \"made here\" ORDER BY id";
    assert_eq!(place.sql(rows), "a|2026-03-02 06:15:00|{\"x\": [1, null], \"é \\\"\": {}}\nb||");
}

#[tokio::test]
async fn a_schema_that_is_missing_is_named() {
    let mut options = with_columns(Place::new("").options("t", "id"), &[("id", "text")]);
    options.table = "nowhere.t".into();
    options.create = true;
    match PostgresDestination::open(options).map(drop) {
        Err(OpenError::Place { key: "table", problem }) => {
            assert!(problem.contains("CREATE SCHEMA \"nowhere\""), "{problem}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_without_a_column_is_refused_until_there_is_one() {
    let place = Place::new("CREATE TABLE t (id int PRIMARY KEY, loaded timestamptz NOT NULL DEFAULT now())");
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    send(&destination, r#"{"id":1}"#).await.unwrap();
    let refused = |error: SendError| {
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.message.contains("the payload has `note`, and no column"), "{error}");
        assert_eq!(error.excerpt.as_deref(), Some(r#"{"pointer":"/note"}"#));
    };
    refused(send(&destination, r#"{"id":2,"note":"x"}"#).await.unwrap_err());
    place.sql("ALTER TABLE t ADD COLUMN note text");
    send(&destination, r#"{"id":2,"note":"x"}"#).await.unwrap();
    let rows = send_all(&destination, (3..40).map(|id| format!(r#"{{"id":{id},"note":"y"}}"#))).await;
    assert!(rows.iter().all(Result::is_ok));
    place.sql("ALTER TABLE t DROP COLUMN note");
    // Those that were made for the old table fail in passing; then it is known.
    loop {
        let error = send(&destination, r#"{"id":50,"note":"z"}"#).await.unwrap_err();
        if error.class == ErrorClass::Permanent {
            break refused(error);
        }
    }
    send(&destination, r#"{"id":51}"#).await.unwrap();
    assert_eq!(place.sql("SELECT count(*), count(loaded) FROM t"), "40|40");
}

#[tokio::test]
async fn names_are_names_whatever_they_look_like() {
    let hostile = r#"a"b; DROP TABLE t; -- $1 'x' é\"#;
    let quoted = hostile.replace('"', "\"\"");
    let place = Place::new("");
    let table = r#"calls"; DROP SCHEMA"#;
    let mut options = with_columns(place.options(table, hostile), &[(hostile, "text"), ("select", "integer")]);
    options.create = true;
    let destination = PostgresDestination::open(options).unwrap();
    let payload = serde_json::json!({ hostile: "k", "select": 1 }).to_string();
    send(&destination, payload).await.unwrap();
    let select = format!("SELECT \"{quoted}\", \"select\" FROM \"calls\"\"; DROP SCHEMA\"");
    assert_eq!(place.sql(&select), "k|1");
}
