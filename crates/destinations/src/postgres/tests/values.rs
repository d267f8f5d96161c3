//! Values: each type there and back, and what is refused.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::rig::{Place, send, send_all};
use crate::ErrorClass;
use crate::postgres::PostgresDestination;
use crate::postgres::value::{Kind, Value};

#[tokio::test]
async fn each_type_arrives_as_it_was_sent() {
    let place = Place::new(
        "CREATE TYPE mood AS ENUM ('good', 'bad'); \
         CREATE TABLE t (id int PRIMARY KEY, b boolean, s smallint, l bigint, r real, d double precision, n numeric, \
         m numeric(10,2), x text, v varchar(5), c char(3), u uuid, tz timestamptz, ts timestamp, dt date, j json, \
         jb jsonb, i inet, iv interval, e mood, a text[])",
    );
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    let payload = r#"{"id":1,"b":true,"s":-32768,"l":9223372036854775807,"r":1.5,"d":-2.5e-3,
        "n":123456789012345678901234567890.10,"m":"19.99","x":"\"q\" \\ 'é' \n$1 😀","v":"fünf","c":"ab",
        "u":"0f8fad5b-d9cb-469f-a165-70867728950e","tz":"1999-12-31T23:59:59.123456+05:30","ts":"1969-07-20T20:17:40",
        "dt":"1999-12-31","j":{"b": 1,"a":[]},"jb":{"b":1.50,"a":"A"},"i":"192.0.2.7/24","iv":"2 hours","e":"bad",
        "a":"{x,\"y z\"}"}"#;
    send(&destination, payload).await.unwrap();
    let row = "SELECT b, s, l, r, d, n, m, x = '\"q\" \\ ''é'' ' || chr(10) || '$1 😀', v, c, u, tz, ts, dt, j, jb, i, iv, e, a[2] \
               FROM t";
    assert_eq!(
        place.sql(&format!("SET timezone = 'UTC'; {row}")),
        "t|-32768|9223372036854775807|1.5|-0.0025|123456789012345678901234567890.10|19.99|t|fünf|ab |\
         0f8fad5b-d9cb-469f-a165-70867728950e|1999-12-31 18:29:59.123456+00|1969-07-20 20:17:40|1999-12-31|\
         {\"b\": 1,\"a\":[]}|{\"a\": \"A\", \"b\": 1.50}|192.0.2.7/24|02:00:00|bad|y z"
    );
    send(&destination, r#"{"id":1,"b":null,"jb":null}"#).await.unwrap();
    assert_eq!(place.sql("SELECT count(*) FROM t WHERE num_nonnulls(b, s, x, j, jb, a) = 0"), "1");
}

#[tokio::test]
async fn a_value_of_a_wrong_type_is_refused_for_its_delivery_alone() {
    let place = Place::new("CREATE TABLE t (id int PRIMARY KEY, n bigint, x text, tz timestamptz, i inet, jb jsonb)");
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    let cases = [
        (r#"{"id":1,"n":"1"}"#, "`n` is a text that does not fit, and its column takes a whole number of 64 bits"),
        (r#"{"id":1,"n":1.5}"#, "`n` is a number that does not fit"),
        (r#"{"id":1,"n":9223372036854775808}"#, "`n` is a number that does not fit"),
        (r#"{"id":1,"x":1}"#, "`x` is a number that does not fit, and its column takes a text; `tostring`"),
        (r#"{"id":1,"x":{"a":1}}"#, "`x` is an object"),
        (r#"{"id":1,"tz":"2026-03-02T08:15:00"}"#, "a text with date, time and offset"),
        (r#"{"id":1,"tz":1770000000000}"#, "a text with date, time and offset"),
        (r#"{"id":1,"x":"a\u0000b"}"#, "`x` has a NUL character"),
        (r#"{"id":1,"jb":{"a":"\\\u0000"}}"#, "`jb` has a NUL character"),
        (r#"{"id":1,"x":"\ud800"}"#, "`x` has an escape that stands for no character"),
        (r#"{"id":1,"i":"nowhere"}"#, "PostgreSQL refused the row: invalid input syntax for type inet (22P02)"),
        (r#"{"id":1,"i":[]}"#, "`i` is an array, and its column takes a text as PostgreSQL writes the type inet"),
        (r#"{"n":1}"#, "`id` is missing or null, and it is the key"),
        (r#"{"id":2147483648}"#, "`id` is a number that does not fit"),
        ("[1]", "the payload is not a JSON object"),
        ("7", "the payload is not a JSON object"),
        ("{\"id\":1", "the payload is not a JSON object"),
        ("{\"id\":1} x", "the payload is not a JSON object"),
    ];
    let good = (100..110).map(|id| format!(r#"{{"id":{id},"x":"good","jb":"\\u0000"}}"#));
    let results = send_all(&destination, cases.iter().map(|(payload, _)| (*payload).to_owned()).chain(good)).await;
    for ((payload, expected), result) in cases.iter().zip(&results) {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{payload}: {error}");
        assert!(error.message.contains(expected), "{payload}: {error}");
    }
    assert!(results[cases.len()..].iter().all(Result::is_ok));
    assert_eq!(place.sql("SELECT count(*) FROM t"), "10");
}

#[tokio::test]
async fn what_is_large_or_deep_is_taken_or_refused_and_harms_nobody() {
    let place = Place::new("CREATE TABLE t (id int PRIMARY KEY, x text, jb jsonb)");
    let mut options = place.options("t", "id");
    options.max_bytes = 1 << 20;
    let destination = PostgresDestination::open(options).unwrap();
    let large = "é".repeat(1 << 19);
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let mut rows: Vec<_> = (0..4).map(|id| format!(r#"{{"id":{id},"x":"{large}"}}"#)).collect();
    rows.push(format!(r#"{{"id":4,"jb":{}}}"#, deep(1_000)));
    rows.push(format!(r#"{{"id":5,"jb":{}}}"#, deep(100_000)));
    rows.push(r#"{"id":6}"#.to_owned());
    let results = send_all(&destination, rows).await;
    for (id, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), id != 5, "{id}: {result:?}");
    }
    let error = results[5].as_ref().unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.message.contains("54001"), "{error}");
    assert_eq!(place.sql("SELECT count(*), max(octet_length(x)) FROM t"), format!("6|{}", 1 << 20));
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn kinds() -> Vec<Kind> {
    let names = ["boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "uuid"];
    let more = ["timestamptz", "timestamp", "date", "json", "jsonb"];
    names.iter().chain(&more).map(|name| Kind::parse(name).unwrap()).chain([Kind::Other("inet".into())]).collect()
}

#[test]
fn times_and_numbers_are_read_strictly() {
    let value = |kind: &str, json: &str| Kind::parse(kind).unwrap().value(&raw(json));
    assert_eq!(value("timestamptz", r#""2000-01-01T00:00:01Z""#), Ok(Some(Value::Instant(1_000_000))));
    assert_eq!(value("date", r#""1999-12-31""#), Ok(Some(Value::Date(-1))));
    assert_eq!(value("integer", "1e3"), Ok(Some(Value::Integer(1_000))));
    assert_eq!(value("integer", "5.0"), Ok(Some(Value::Integer(5))));
    assert_eq!(value("timestamp", r#""2000-01-01 00:00:01""#), Ok(Some(Value::Instant(1_000_000))));
    let refused = [
        ("timestamp", r#""2000-01-01T00:00:01Z""#),
        ("timestamp", r#""2000-01-01T00:00:01+02:00""#),
        ("timestamp", r#""2000-01-01""#),
        ("timestamptz", r#""2000-01-01""#),
        ("date", r#""2000-01-01T00:00:00Z""#),
        ("date", r#""2000-02-30""#),
        ("real", "1e39"),
        ("double precision", "1e999"),
        ("numeric", r#""NaN""#),
        ("numeric", r#""1,5""#),
        ("uuid", r#""0f8fad5b-d9cb-469f-a165-7086772895""#),
        ("uuid", r#""0f8fad5-bd9cb-469f-a165-70867728950e""#),
        ("smallint", "32768"),
        ("boolean", "1"),
    ];
    for (kind, json) in refused {
        assert!(value(kind, json).is_err(), "{kind} {json}");
    }
}

proptest! {
    /// Whatever JSON comes to whatever column: a value or a reason, and never a panic; `null` is NULL.
    #[test]
    fn every_value_has_an_answer(text in ".{0,40}", number in any::<f64>(), whole in any::<i64>(), pick in 0usize..6) {
        let json = match pick {
            0 => serde_json::to_string(&text).unwrap(),
            1 => serde_json::to_string(&number).unwrap(),
            2 => whole.to_string(),
            3 => format!("[{}]", serde_json::to_string(&text).unwrap()),
            4 => "true".to_owned(),
            _ => "null".to_owned(),
        };
        for kind in kinds() {
            let value = kind.value(&raw(&json));
            prop_assert_eq!(json == "null", matches!(value, Ok(None)));
        }
        prop_assert_eq!(Kind::Bigint.value(&raw(&whole.to_string())), Ok(Some(Value::Bigint(whole))));
    }

    /// A NUL is found in JSON exactly if one of its strings has it.
    #[test]
    fn a_nul_is_found(texts in prop::collection::vec(r"[\\\\u0n\x00\x22é]{0,8}", 0..4)) {
        let json = serde_json::to_string(&texts).unwrap();
        let refused = Kind::Jsonb.value(&raw(&json)).is_err();
        prop_assert_eq!(refused, texts.iter().any(|text| text.contains('\0')));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Any text comes back as it was sent, beside others in one statement.
    #[test]
    fn any_text_arrives(texts in prop::collection::vec("[^\\x00]{0,60}", 1..20)) {
        let place = Place::new("CREATE TABLE t (id int PRIMARY KEY, x text, h text)");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let destination = Arc::new(PostgresDestination::open(place.options("t", "id")).unwrap());
        let rows = texts.iter().enumerate().map(|(id, text)| {
            serde_json::json!({ "id": id, "x": text, "h": hex(text) }).to_string()
        });
        let results = runtime.block_on(send_all(&destination, rows));
        prop_assert!(results.iter().all(Result::is_ok), "{results:?}");
        let same = "SELECT count(*) FROM t WHERE encode(convert_to(x, 'UTF8'), 'hex') = h";
        prop_assert_eq!(place.sql(same), texts.len().to_string());
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
