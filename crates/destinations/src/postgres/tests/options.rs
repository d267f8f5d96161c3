//! What is refused before a database is asked.

use crate::postgres::{Options, PostgresDestination, SslMode};
use crate::{OpenError, Secret};

const URL: &str = "postgres://user@127.0.0.1:1/db";

fn options() -> Options {
    Options { ssl: SslMode::Disable, ..Options::new(URL, "t", vec!["id".to_owned()]) }
}

#[track_caller]
fn refused(options: Options, setting: &str, cure: &str) {
    match PostgresDestination::open(options) {
        Err(OpenError::Option { key, problem }) => {
            assert_eq!(key, setting, "{problem}");
            assert!(problem.contains(cure), "{problem}\nnot: {cure}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused: {setting} {cure}"),
    }
}

#[test]
fn a_wrong_setting_is_refused_with_the_cure() {
    let url = |url: &str| Options { url: url.to_owned(), ..options() };
    refused(url("http://x"), "url", "postgres://USER@HOST:5432/DATABASE");
    refused(url("postgres://user:hunter2@h/db"), "url", "set password = \"env:NAME\"");
    refused(url("postgres://user:hunter2@h:port/db"), "url", "cannot be understood");
    refused(url("postgres://user@h/db?sslmode=verify-full"), "url", "set sslmode = \"verify-full\" beside it");
    refused(url("postgres:///db"), "url", "names no host");
    refused(Options { ca_pem: Some(vec![]), ..options() }, "ca", "verify-full");
    refused(Options { ca_pem: Some(vec![]), ssl: SslMode::VerifyFull, ..options() }, "ca", "no certificate in PEM");
    refused(Options { table: "a.b.c".into(), ..options() }, "table", "SCHEMA.NAME");
    refused(Options { key: vec![], ..options() }, "key", "names no column");
    refused(Options { key: vec!["a".into(), "a".into()], ..options() }, "key", "names `a`, which `key` names already");
    refused(Options { version: Some("id".into()), ..options() }, "version", "which `key` names already");
    refused(Options { create: true, ..options() }, "create", "`columns` is missing");
    refused(Options { connections: 0, ..options() }, "connections", "at least 1");
    refused(Options { max_rows: 10_001, ..options() }, "max_rows", "more than 10000");
    refused(Options { timeout: std::time::Duration::ZERO, ..options() }, "timeout", "is zero");
    let columns = |kind: &str| [("id".to_owned(), kind.to_owned())].into();
    refused(Options { columns: columns("varchar(3)"), ..options() }, "columns", "`id` has the type `varchar(3)`");
    refused(Options { columns: columns("text"), key: vec!["k".into()], ..options() }, "key", "add it there");
    refused(
        Options { columns: columns("text"), extra: Some("id".into()), ..options() },
        "extra",
        "does not make a jsonb",
    );
}

#[test]
fn a_database_that_cannot_be_reached_is_not_refused() {
    // Outside of a runtime, as at the start.
    assert!(PostgresDestination::open(options()).is_ok());
    let missing = Secret::from_fn(|| Err(crate::SecretError("gone".into())));
    assert!(PostgresDestination::open(Options { password: Some(missing), ..options() }).is_ok());
}
