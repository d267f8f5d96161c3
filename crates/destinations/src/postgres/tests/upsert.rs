//! What is in the table afterwards.

use proptest::prelude::*;

use super::rig::{Place, send, send_all};
use crate::ErrorClass;
use crate::postgres::{Keep, Options, PostgresDestination};

const TABLE: &str = "CREATE TABLE calls (id text PRIMARY KEY, at timestamptz, note text);
                     CREATE TABLE statements (rows int);
                     CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS
                       $$BEGIN INSERT INTO statements SELECT count(*) FROM new_rows; RETURN NULL; END$$;
                     CREATE TRIGGER counted AFTER INSERT ON calls REFERENCING NEW TABLE AS new_rows
                       FOR EACH STATEMENT EXECUTE FUNCTION counted();";

fn call(id: &str, second: u32, note: &str) -> String {
    format!(r#"{{"id":"{id}","at":"2026-03-02T08:15:{second:02}Z","note":"{note}"}}"#)
}

fn versioned(place: &Place) -> Options {
    let mut options = place.options("calls", "id");
    options.version = Some("at".into());
    options
}

#[tokio::test]
async fn a_repetition_changes_nothing_and_an_older_version_never_overwrites_a_newer_one() {
    let place = Place::new(TABLE);
    let destination = PostgresDestination::open(versioned(&place)).unwrap();
    let row = |place: &Place| place.sql("SELECT id, extract(second FROM at)::int, note FROM calls");
    send(&destination, call("c", 10, "first")).await.unwrap();
    let written = place.sql("SELECT xmin FROM calls");
    send(&destination, call("c", 10, "first")).await.unwrap();
    send(&destination, call("c", 10, "same version")).await.unwrap();
    send(&destination, call("c", 9, "late retry")).await.unwrap();
    assert_eq!((row(&place).as_str(), place.sql("SELECT xmin FROM calls")), ("c|10|first", written));
    send(&destination, call("c", 11, "newer")).await.unwrap();
    // A replay of all of it.
    for (second, note) in [(10, "first"), (9, "late retry"), (11, "newer")] {
        send(&destination, call("c", second, note)).await.unwrap();
    }
    assert_eq!(row(&place), "c|11|newer");
    // Somebody else's row without a version counts as older.
    place.sql("INSERT INTO calls VALUES ('d', NULL, 'by hand')");
    send(&destination, call("d", 1, "ours")).await.unwrap();
    assert_eq!(place.sql("SELECT note FROM calls WHERE id = 'd'"), "ours");
    // A member that is missing is NULL.
    send(&destination, r#"{"id":"d","at":"2026-03-02T09:00:00Z"}"#).await.unwrap();
    assert_eq!(place.sql("SELECT note IS NULL FROM calls WHERE id = 'd'"), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_row_has_no_value_for_is_kept_whatever_comes_first_and_what_comes_again() {
    let parts = [
        r#"{"id":"c","at":"2026-03-02T08:15:01Z","note":"wrapped up","one":1}"#,
        r#"{"id":"c","at":"2026-03-02T08:15:03Z","uri":"s3://calls/c","two":2}"#,
        r#"{"id":"c","at":"2026-03-02T08:15:02Z","score":5,"one":0}"#,
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let place = Place::new(
            "CREATE TABLE calls (id text PRIMARY KEY, at timestamptz, note text, uri text, score int, rest jsonb)",
        );
        let mut options = versioned(&place);
        (options.keep, options.extra) = (Keep::Present, Some("rest".into()));
        let destination = PostgresDestination::open(options).unwrap();
        let row = || place.sql("SELECT extract(second FROM at)::int, note, uri, score, rest->'two' FROM calls");
        for part in order {
            send(&destination, parts[part]).await.unwrap();
        }
        assert_eq!(row(), "3|wrapped up|s3://calls/c|5|2", "{order:?}");
        // Once more, together: one statement cannot write a row twice.
        let results = send_all(&destination, parts.map(str::to_owned)).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(row(), "3|wrapped up|s3://calls/c|5|2", "{order:?}");
    }
}

#[tokio::test]
async fn a_newer_value_wins_where_values_are_kept_and_without_a_version_the_last_one() {
    let place = Place::new(TABLE);
    let mut options = versioned(&place);
    options.keep = Keep::Present;
    let destination = PostgresDestination::open(options).unwrap();
    let note = || place.sql("SELECT note, extract(second FROM at)::int FROM calls");
    for (second, text, expected) in [(5, "five", "five|5"), (4, "four", "five|5"), (6, "six", "six|6")] {
        send(&destination, call("c", second, text)).await.unwrap();
        assert_eq!(note(), expected);
    }
    let mut options = place.options("calls", "id");
    options.keep = Keep::Present;
    let destination = PostgresDestination::open(options).unwrap();
    send(&destination, r#"{"id":"c","note":"last"}"#).await.unwrap();
    send(&destination, r#"{"id":"c","at":"2026-03-02T08:15:01Z"}"#).await.unwrap();
    assert_eq!(note(), "last|1");
}

#[tokio::test]
async fn without_a_version_the_last_one_stays() {
    let place = Place::new(TABLE);
    let destination = PostgresDestination::open(place.options("calls", "id")).unwrap();
    for second in [10, 9] {
        send(&destination, call("c", second, "x")).await.unwrap();
    }
    assert_eq!(place.sql("SELECT extract(second FROM at)::int FROM calls"), "9");
    let results = send_all(&destination, (0..40).map(|second| call("c", second, "y"))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(place.sql("SELECT extract(second FROM at)::int FROM calls"), "39");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_wait_share_a_statement_also_those_of_one_key() {
    let place = Place::new(TABLE);
    let destination = PostgresDestination::open(versioned(&place)).unwrap();
    // Each key in ten versions, the newest somewhere in the middle.
    let calls = (0..400u32).map(|n| call(&format!("c-{}", n % 40), (n / 40 * 7 + 3) % 10, &format!("v{}", n / 40)));
    let results = send_all(&destination, calls).await;
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|result| result.is_err()));
    let newest = (0..10).find(|n| (n * 7 + 3) % 10 == 9).unwrap();
    let expected = format!("40|9|9|v{newest}|v{newest}");
    let said = "SELECT count(*), min(extract(second FROM at))::int, max(extract(second FROM at))::int, min(note), \
                max(note) FROM calls";
    assert_eq!(place.sql(said), expected);
    let statements: usize = place.sql("SELECT count(*) FROM statements").parse().unwrap();
    assert!(statements <= 40, "{statements} statements for 400 deliveries");
}

#[tokio::test]
async fn versions_that_only_the_database_can_compare_are_written_one_after_the_other() {
    let place = Place::new("CREATE TABLE t (id bigint PRIMARY KEY, v numeric, note text)");
    let mut options = place.options("t", "id");
    options.version = Some("v".into());
    let destination = PostgresDestination::open(options).unwrap();
    let versions = ["1.5", "12345678901234567890.2", "12345678901234567890.10", "2e3", "-7"];
    let rows = versions.map(|v| format!(r#"{{"id":1,"v":{v},"note":"{v}"}}"#));
    assert!(send_all(&destination, rows).await.iter().all(Result::is_ok));
    assert_eq!(place.sql("SELECT v, note FROM t"), "12345678901234567890.2|12345678901234567890.2");
}

#[tokio::test]
async fn one_bad_row_does_not_harm_the_others() {
    let place = Place::new("CREATE TABLE t (id int PRIMARY KEY, code varchar(3), n int CHECK (n < 100), v int)");
    let mut options = place.options("t", "id");
    options.version = Some("v".into());
    let destination = PostgresDestination::open(options).unwrap();
    let row = |n: u32| match n {
        17 => r#"{"id":17,"code":"too long","n":1,"v":1}"#.to_owned(),
        42 => r#"{"id":42,"code":"ok","n":1000,"v":1}"#.to_owned(),
        // The newer of two is the bad one, and must not take the older one with it.
        60 => r#"{"id":61,"code":"ok","n":100,"v":2}"#.to_owned(),
        n => format!(r#"{{"id":{n},"code":"ok","n":1,"v":1}}"#),
    };
    let results = send_all(&destination, (0..80).map(row)).await;
    for (n, result) in results.iter().enumerate() {
        let expected = match n {
            17 => Some("PostgreSQL refused the row: value too long for type character varying(3) (22001)"),
            42 | 60 => Some("(23514, constraint t_n_check)"),
            _ => None,
        };
        let error = result.as_ref().err();
        assert_eq!(error.is_some(), expected.is_some(), "{n}: {error:?}");
        if let (Some(error), Some(expected)) = (error, expected) {
            assert_eq!(error.class, ErrorClass::Permanent);
            assert!(error.message.contains(expected), "{n}: {error}");
        }
    }
    assert_eq!(place.sql("SELECT count(*), sum(v) FROM t"), "77|77");
}

#[tokio::test]
async fn a_key_may_have_several_columns_and_nothing_else() {
    let place = Place::new("CREATE TABLE t (a text, b uuid, PRIMARY KEY (b, a))");
    let mut options = place.options("t", "a");
    options.key.push("b".into());
    let destination = PostgresDestination::open(options).unwrap();
    let row = |a: &str, b: u32| format!(r#"{{"a":"{a}","b":"00000000-0000-4000-8000-00000000000{b}"}}"#);
    let rows = [row("x", 1), row("x", 2), row("x", 1), row("y", 1)];
    assert!(send_all(&destination, rows).await.iter().all(Result::is_ok));
    assert_eq!(place.sql("SELECT count(*) FROM t"), "3");
    let missing = send(&destination, r#"{"a":"x"}"#).await.unwrap_err();
    assert_eq!(missing.class, ErrorClass::Permanent);
    assert!(missing.message.contains("`b` is missing or null, and it is the key"), "{missing}");
}

#[tokio::test]
async fn keys_that_only_the_database_finds_equal_are_written_one_after_the_other() {
    let place = Place::new(
        "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE t (id text COLLATE nocase PRIMARY KEY, n int)",
    );
    let mut options = place.options("t", "id");
    options.connections = 1;
    let destination = PostgresDestination::open(options).unwrap();
    let rows = ["a", "b", "A", "B", "c"].map(|id| format!(r#"{{"id":"{id}","n":1}}"#));
    assert!(send_all(&destination, rows).await.iter().all(Result::is_ok));
    assert_eq!(place.sql("SELECT count(*) FROM t"), "3");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order and company, also twice: the newest version of each key stays.
    #[test]
    fn the_newest_version_of_each_key_stays(sent in prop::collection::vec((0u8..5, 0u32..60), 1..60)) {
        let place = Place::new(TABLE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let destination = PostgresDestination::open(versioned(&place)).unwrap();
        let twice = sent.iter().chain(sent.iter().rev());
        let calls = twice.map(|(key, second)| call(&format!("k{key}"), *second, ""));
        let results = runtime.block_on(send_all(&destination, calls));
        prop_assert!(results.iter().all(Result::is_ok));
        let mut newest = std::collections::BTreeMap::new();
        for (key, second) in &sent {
            let known = newest.entry(*key).or_insert(*second);
            *known = (*known).max(*second);
        }
        let expected: Vec<_> = newest.iter().map(|(key, second)| format!("k{key}|{second}")).collect();
        let found = place.sql("SELECT id, extract(second FROM at)::int FROM calls ORDER BY id");
        prop_assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    }
}
