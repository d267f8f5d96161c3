//! What holds for every body.

use proptest::prelude::*;

use super::*;
use crate::Outcome;
use crate::outcome::{FREE_PATH, MAX_ELEMENTS, MAX_EXTRA, MAX_INNER_MEMBERS, PATHS};

/// Names that mean something here or there, and some that do not.
const NAMES: &[&str] = &[
    "detail",
    "eventBody",
    "data",
    "detail-type",
    "topicName",
    "conversationId",
    "conversation",
    "agentId",
    "userId",
    "eventTime",
    "timestamp",
    "time",
    "sentiment",
    "overall",
    "score",
    "label",
    "trend",
    "trendClass",
    "sentimentScore",
    "sentimentTrend",
    "sentimentTrendClass",
    "empathyScores",
    "agents",
    "overallEmpathyScore",
    "intents",
    "keywords",
    "topics",
    "categoryIds",
    "complianceViolations",
    "severity",
    "code",
    "wrapupCode",
    "wrapupDurationMs",
    "wrapupNotes",
    "participantMetrics",
    "overtalkCount",
    "mediaType",
    "name",
    "confidence",
    "x",
    "a/b",
    "~",
    "é",
];

/// Those of them that say nothing wherever they stand.
const UNKNOWN: &[&str] = &["x", "a/b", "~", "é", "overall", "score", "label", "code", "severity", "name", "confidence"];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-150.0..150.0).prop_map(|number: f64| json!(number)),
        (-2..3).prop_map(|number: i32| json!(number)),
        prop::sample::select(vec!["positive", "MIXED", "high", "2026-03-02T08:15:00Z", "", "Improving", "\u{1}\"\\é"])
            .prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let name = prop::sample::select(NAMES).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_body() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(NAMES).prop_map(str::to_owned);
    prop::collection::btree_map(name, any_value(), 0..12).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Every member of an unknown name in a place of business fields, by its pointer.
fn unknown(body: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let seats = [
        "",
        "/detail",
        "/eventBody",
        "/data",
        "/detail/eventBody",
        "/detail/data",
        "/eventBody/data",
        "/detail/eventBody/data",
    ];
    for seat in seats {
        let Some(Value::Object(members)) = body.pointer(seat) else { continue };
        for (name, value) in members.iter().filter(|(name, _)| UNKNOWN.contains(&name.as_str())) {
            found.push((format!("{seat}/{}", name.replace('~', "~0").replace('/', "~1")), value.clone()));
        }
    }
    found
}

/// The paths of all values that are not in `extra`, as patterns name them; lists and objects that are empty count too.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if at != FREE_PATH => {
            for (name, value) in members {
                paths(value, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, found);
            }
        }
        Value::Array(elements) if !elements.is_empty() => elements.iter().for_each(|value| paths(value, at, found)),
        _ => found.push(at.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn of_any_body_there_is_an_outcome_and_nothing_of_it_is_lost(body in any_body()) {
        let text = body.to_string();
        let event = event(&text);
        let outcome = Outcome::of(&event);
        for number in [outcome.sentiment.score, outcome.sentiment.trend].into_iter().flatten() {
            prop_assert!((-1.0..=1.0).contains(&number), "{number}");
        }
        let told: Value = serde_json::from_str(&outcome.to_json()).unwrap();
        for (path, value) in unknown(&body) {
            let kept = outcome.extra.iter().find(|left| left.path.to_string() == path);
            prop_assert_eq!(kept.map(|left| left.value.as_str()), Some(&*value.to_string()), "{}", path);
            prop_assert!(told["extra"].get(&path).is_some(), "{}", path);
        }
        for left in &outcome.unrecognised {
            let there = body.pointer(&left.path.to_string()).map(ToString::to_string);
            prop_assert_eq!(there.as_deref(), Some(left.value.as_str()), "{}", left.path);
        }
        let mut found = Vec::new();
        paths(&told, "", &mut found);
        for path in found.iter().filter(|path| *path != FREE_PATH) {
            let is_list = PATHS.iter().any(|known| known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.')));
            prop_assert!(is_list || PATHS.contains(&path.as_str()), "{}", path);
        }
    }

    #[test]
    fn bytes_that_are_nearly_an_event_do_no_harm(mut bytes in any_body().prop_map(|body| body.to_string().into_bytes()), at in any::<prop::sample::Index>(), byte: u8) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let event = raw_event(&bytes);
        let told = Outcome::of(&event).to_json();
        // Only the grammar: a number may be larger than any that can be calculated with, and is handed on all the same.
        prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&told).is_ok(), "{}", told);
    }
}

#[test]
fn every_path_is_one_of_an_outcome() {
    let told = outcome_of(json!({
        "empathyScores": [{}], "intents": [{}], "topics": [{}], "complianceViolations": [{}, 1], "keywords": ["k"],
        "categoryIds": ["c"]
    }));
    let mut found = Vec::new();
    paths(&told, "", &mut found);
    found.dedup();
    let mut expected: Vec<_> = PATHS.iter().map(ToString::to_string).chain([FREE_PATH.to_owned()]).collect();
    found.sort();
    found.dedup();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn deep_bodies_overflow_nothing() {
    for levels in [1_100, 200_000] {
        for (open, close) in [("[", "]"), ("{\"detail\":", "}"), ("{\"data\":", "}"), ("{\"x\":[", "]}")] {
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let text = format!(r#"{{"agentId":"a","sentiment":{deep},"intents":[{deep}],"detail":{deep},"x":{deep}}}"#);
            let event = raw_event(text.as_bytes());
            let outcome = Outcome::of(&event);
            assert!(outcome.agent_id.is_some() || outcome.extra.iter().any(|left| left.value.as_str() == "\"a\""));
            assert!(outcome.extra.iter().any(|left| left.path.to_string() == "/x" && left.value.as_str() == deep));
            let json = outcome.to_json();
            assert!(crate::json::Lookup::new([]).find(json.as_bytes()).is_ok(), "it is JSON");
        }
    }
}

#[test]
fn large_bodies_are_kept_whole_instead_of_in_pieces() {
    let members =
        |count: usize, name: &str| (0..count).map(|at| format!("\"{name}{at}\":{at}")).collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"agentId":"a","data":{{"queueId":"q",{}}},"z":1,"agentId":"b"}}"#, members(MAX_EXTRA, "m"));
    let event = raw_event(text.as_bytes());
    let outcome = Outcome::of(&event);
    assert_eq!((outcome.agent_id.as_deref(), outcome.queue_id.as_deref()), (Some("b"), Some("q")));
    let paths: Vec<_> = outcome.extra.iter().map(|left| left.path.to_string()).collect();
    assert!(paths.contains(&String::new()), "the object that `z` is in is kept whole");
    assert!(paths.len() <= MAX_EXTRA + 1);

    let text = format!(r#"{{"sentiment":{{{},"overall":"positive"}}}}"#, members(MAX_INNER_MEMBERS, "m"));
    let event = raw_event(text.as_bytes());
    let outcome = Outcome::of(&event);
    assert_eq!((outcome.sentiment.label, outcome.unrecognised.len()), (None, 1));

    let text = format!(r#"{{"keywords":[{}"last"]}}"#, "\"k\",".repeat(MAX_ELEMENTS));
    let event = raw_event(text.as_bytes());
    let outcome = Outcome::of(&event);
    assert_eq!((outcome.keywords.len(), outcome.unrecognised.len()), (MAX_ELEMENTS, 1));
}

#[test]
fn bodies_that_are_made_to_be_slow_are_not() {
    let repeated = [
        r#""data":{"agentId":1},"#.repeat(50_000),
        format!(r#""data":{{"agentId":1}},{}"#, r#""agentId":2,"#.repeat(100_000)),
        (0..9_000).map(|at| format!("\"m{at}\":1,")).collect::<String>() + &r#""data":{"a":1},"#.repeat(50_000),
        format!(r#""complianceViolations":[{}1],"#, r#"{"severity":1},"#.repeat(50_000)),
    ];
    for text in repeated {
        let event = raw_event(format!("{{{text}\"z\":1}}").as_bytes());
        let started = std::time::Instant::now();
        let outcome = Outcome::of(&event);
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        assert!(outcome.extra.len() <= MAX_EXTRA + 1 && outcome.unrecognised.len() <= MAX_ELEMENTS + 1);
    }
}

#[test]
fn a_number_beyond_all_that_can_be_calculated_with_is_handed_on() {
    let told = Outcome::of(&event(r#"{"x":-25e854521301}"#)).to_json();
    assert!(told.contains(r#""/x":-25e854521301"#), "{told}");
}
