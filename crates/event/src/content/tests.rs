//! What has the same content, and what has not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn same(one: &str, other: &str) -> bool {
    content_hash(one.as_bytes()) == content_hash(other.as_bytes())
}

fn hash_of(value: &Value) -> [u8; 16] {
    content_hash(value.to_string().as_bytes())
}

#[test]
fn writing_does_not_count() {
    assert!(same(r#"{"a":1,"b":[true,"é"]}"#, " { \"b\" : [ true , \"\\u00E9\" ] ,\n \"a\" : 1 } "));
    assert!(same("\u{feff}{}", "{}"));
    assert!(same(r#"{"a":1,"a":2}"#, r#"{"\u0061":2}"#));
    assert!(same(r#"{"a":{"c":1,"b":2},"d":3}"#, r#"{"d":3,"a":{"b":2,"c":1}}"#));
    assert!(same(r#""\/""#, r#""/""#));
}

#[test]
fn saying_counts() {
    let all = [
        "{}",
        "[]",
        "null",
        "\"\"",
        "0",
        "1",
        "1.0",
        "1e0",
        "\"1\"",
        "[1]",
        "[[1]]",
        "[1,2]",
        "[2,1]",
        "[12]",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"b":1}"#,
        r#"{"a":[]}"#,
        r#"{"a":{}}"#,
        r#"{"a":null}"#,
        r#"["a",1]"#,
        r#"{"a":{"b":1},"c":2}"#,
        r#"{"a":{"b":1,"c":2}}"#,
        r#""\ud800""#,
        r#""\ud801""#,
        r#""\ufffd""#,
        "[\"a\",\"b\"]",
        "[\"ab\"]",
        "true",
        "false",
        "not json",
        "not json ",
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert!(!same(one, other), "{one} and {other}");
        }
    }
}

fn envelope(id: &str, time: &str, detail: &Value) -> Value {
    json!({"version": "0", "id": id, "detail-type": "v2.users.{id}.presence", "time": time, "detail": detail})
}

#[test]
fn publishing_again_does_not_count() {
    let published = |id: &str, time: &str| {
        let body = json!({"eventTime": 5, "timestamp": "business", "conversationId": "c"});
        let added = json!({"CorrelationId": id});
        envelope(
            id,
            time,
            &json!({"eventBody": body, "timestamp": time, "metadata": added, "topicName": "t", "version": "2"}),
        )
    };
    assert_eq!(hash_of(&published("1", "T1")), hash_of(&published("2", "T2")));

    let flat = |id: &str, time: &str| {
        envelope(id, time, &json!({"eventTime": 5, "conversationId": "c", "timestamp": time, "metadata": {"x": id}}))
    };
    assert_eq!(hash_of(&flat("1", "T1")), hash_of(&flat("2", "T2")));

    let untimed =
        |id: &str, time: &str| envelope(id, time, &json!({"eventBody": {"status": "IDLE"}, "timestamp": "T"}));
    assert_eq!(hash_of(&untimed("1", "T1")), hash_of(&untimed("2", "T2")), "the envelope never counts");
}

#[test]
fn where_nothing_else_tells_when_publishing_counts() {
    for detail in [json!({"eventBody": {"status": "IDLE"}}), json!({"status": "IDLE"})] {
        let at = |time: &str| {
            let mut detail = detail.clone();
            detail["timestamp"] = time.into();
            envelope("1", "T", &detail)
        };
        assert_ne!(hash_of(&at("T1")), hash_of(&at("T2")), "two events may say the same one after the other");
    }
}

#[test]
fn all_that_is_business_counts() {
    let event = |topic: &str, body: Value| json!({"detail-type": topic, "detail": {"eventBody": body}});
    let one = event("t", json!({"eventTime": 5, "timestamp": "a"}));
    assert_ne!(hash_of(&one), hash_of(&event("u", json!({"eventTime": 5, "timestamp": "a"}))));
    assert_ne!(hash_of(&one), hash_of(&event("t", json!({"eventTime": 5, "timestamp": "b"}))));
    assert_ne!(hash_of(&one), hash_of(&event("t", json!({"eventTime": 6, "timestamp": "a"}))));
}

#[test]
fn flat_and_real_shape_have_the_same_content() {
    let flat = include_bytes!("../../tests/fixtures/envelope_acw_flat.json");
    assert_eq!(content_hash(include_bytes!("../../tests/fixtures/envelope_acw.json")), content_hash(flat));
}

#[test]
fn a_notification_has_the_content_of_its_envelope() {
    let body = json!({"eventTime": 5, "conversationId": "c"});
    let name = "v2.detail.events.conversation.c.acw";
    let detail = json!({"topicName": name, "version": "2", "eventBody": body, "metadata": {"CorrelationId": "x"}});
    let mut enveloped = envelope("1", "T", &detail);
    enveloped["detail-type"] = "v2.detail.events.conversation.{id}.acw".into();
    assert_eq!(hash_of(&detail), hash_of(&enveloped));
}

#[test]
fn a_relayed_webhook_has_its_own_content() {
    let webhook = json!({"webhookEventId": "w", "timestamp": "T", "data": {"score": 1}});
    assert_eq!(hash_of(&webhook), hash_of(&envelope("1", "T", &webhook)));
    assert_eq!(hash_of(&webhook), hash_of(&envelope("2", "U", &json!({"eventBody": webhook, "timestamp": "V"}))));
}

#[test]
fn depth_costs_no_stack_and_little_time() {
    let nested = |depth: usize, inner: &str| "{\"b\":".repeat(depth) + inner + &",\"a\":1}".repeat(depth);
    for depth in [1_100, 100_000] {
        assert!(same(&nested(depth, "1"), &nested(depth, "1")));
        assert!(!same(&nested(depth, "1"), &nested(depth, "2")), "{depth}");
    }
    assert!(same(&nested(1_100, "\"\\u0031\""), &nested(1_100, " \"1\"")));
    let arrays = |depth: usize, inner: &str| "[".repeat(depth) + inner + &"]".repeat(depth);
    assert!(!same(&arrays(300_000, "1"), &arrays(300_000, "2")), "even beyond what is brought into order");
    assert!(!same(&"[".repeat(300_000), &"[".repeat(300_001)), "what is not JSON goes by its bytes");
}

#[test]
fn many_members_have_content_too() {
    let object = |last: u32| {
        let members: Vec<String> =
            (0..600_000).map(|at| format!("\"{at}\":1")).chain([format!("\"z\":{last}")]).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(same(&object(1), &object(1)));
    assert!(!same(&object(1), &object(2)));
}

/// Writes `value` with its members in reverse, other escapes and whitespace.
fn rewrite(value: &Value, out: &mut String) {
    let separate = |out: &mut String, at: usize| out.push_str(if at == 0 { " \n" } else { "\t,\r" });
    match value {
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().rev().enumerate() {
                separate(out, at);
                rewrite(&Value::from(name.as_str()), out);
                out.push_str(" :  ");
                rewrite(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                separate(out, at);
                rewrite(element, out);
            }
            out.push(']');
        }
        Value::String(string) => {
            let units = string.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            out.push_str(&format!("\"{}\"", units.collect::<String>()));
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,40}".prop_map(Value::from)];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".{0,9}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn only_what_is_said_counts(one in value(), other in value()) {
        let mut rewritten = String::new();
        rewrite(&one, &mut rewritten);
        prop_assert_eq!(hash_of(&one), content_hash(rewritten.as_bytes()));
        prop_assert_eq!(one == other, hash_of(&one) == hash_of(&other));
    }

    #[test]
    fn any_bytes_have_content(one in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut longer = one.clone();
        longer.push(b'x');
        prop_assert_ne!(content_hash(&one), content_hash(&longer));
    }
}
