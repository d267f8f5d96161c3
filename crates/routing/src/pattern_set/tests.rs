use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::JsonError;
use crate::limits::MAX_FIELD_DEPTH;

fn set(patterns: &[&str]) -> PatternSet {
    PatternSet::new(patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect())
}

fn matching(set: &PatternSet, event: &str) -> Vec<usize> {
    set.matches(event.as_bytes(), &mut MatchScratch::default()).unwrap().iter().collect()
}

#[test]
fn patterns_are_named_by_their_place() {
    let set = set(&[r#"{"a": [1]}"#, r#"{"$or": [{"a": [2]}, {"b": [1]}]}"#, r#"{"b": [{"exists": false}]}"#]);
    assert_eq!(matching(&set, r#"{"a": 1}"#), [0, 2]);
    assert_eq!(matching(&set, r#"{"a": 1, "b": 1}"#), [0, 1]);
    assert_eq!(matching(&set, r#"{"a": 2}"#), [1, 2]);
    assert_eq!(matching(&set, "{}"), [2]);
    assert_eq!((set.len(), set.is_empty()), (3, false));
    let none = PatternSet::new(Vec::new());
    assert!(matching(&none, r#"{"a": [{"b": 1}]}"#).is_empty() && none.is_empty());
}

#[test]
fn scratch_carries_nothing_over() {
    let (small, large) = (set(&[r#"{"a": [1]}"#]), set(&[r#"{"x": [1]}"#; 200]));
    let mut scratch = MatchScratch::default();
    assert_eq!(large.matches(br#"{"x": 1}"#, &mut scratch).unwrap().len(), 200);
    assert_eq!(small.matches(br#"{"a": [{"b": [1]}, 1]}"#, &mut scratch).unwrap().len(), 1);
    assert!(small.matches(b"{", &mut scratch).is_err());
    assert!(large.matches(br#"{"a": 1}"#, &mut scratch).unwrap().is_empty());
}

#[test]
fn what_is_no_event_is_an_error() {
    let set = set(&[r#"{"a": [1]}"#]);
    let error = |event: &[u8]| set.matches(event, &mut MatchScratch::default()).unwrap_err();
    for event in ["[]", "1", "\"x\"", "[{\"a\": 1}]", "null"] {
        assert_eq!(error(event.as_bytes()), MatchError::NotAnObject, "{event}");
    }
    assert!(matches!(error(b""), MatchError::Json(JsonError { offset: 0, .. })));
    assert!(matches!(error(br#"{"a": 1} x"#), MatchError::Json(JsonError { offset: 9, .. })));
    assert!(matches!(error(br#"{"skipped": [1,}, "a": 1}"#), MatchError::Json(JsonError { offset: 15, .. })));
    assert!(matches!(error(b"{\"skipped\": \"\xFF\"}"), MatchError::Json(JsonError { offset: 13, .. })));
}

#[test]
fn repeated_members_count_once_as_their_last() {
    let set = set(&[r#"{"a": {"b": [1]}}"#, r#"{"a": {"b": [2]}}"#, r#"{"a": {"c": [1]}}"#]);
    assert_eq!(matching(&set, r#"{"a": {"b": 1, "b": 2}}"#), [1]);
    assert_eq!(matching(&set, r#"{"a": {"b": 1, "c": 1}, "a": {"b": 2}}"#), [1]);
    assert_eq!(matching(&set, r#"{"a": {"b": 1}, "\u0061": 5}"#), [] as [usize; 0]);
    assert_eq!(matching(&set, r#"{"a": [{"b": 1}, {"b": 2}]}"#), [0, 1]);
}

#[test]
fn names_are_compared_by_meaning_and_joined_by_dots() {
    let set = set(&[r#"{"detail-type": ["x"]}"#, r#"{"a": {"b": [1]}}"#, r#"{"a.b": [1]}"#]);
    assert_eq!(matching(&set, "\u{FEFF}{\"detail\\u002dtype\": \"\\u0078\"}"), [0]);
    assert_eq!(matching(&set, r#"{"a.b": 1}"#), [1, 2]);
    assert_eq!(matching(&set, r#"{"a\u002eb": 1, "a": {"c": 2}}"#), [1, 2]);
}

#[test]
fn among_many_fields_no_member_counts_as_repeated() {
    let patterns: Vec<String> = (0..200).map(|number| format!(r#"{{"f{number}": {{"x": [1]}}}}"#)).collect();
    let set = set(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
    let members: Vec<String> =
        (0..200).map(|number| format!(r#""f{number}.x": 1, "f{}": {{"y": 2}}"#, (number + 64) % 200)).collect();
    assert_eq!(matching(&set, &format!("{{{}}}", members.join(","))).len(), 200);
}

#[test]
fn depth_is_bounded_where_it_matters_and_free_elsewhere() {
    let set = set(&[r#"{"a": [1], "b": [{"exists": false}]}"#]);
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(matching(&set, &format!(r#"{{"a": 1, "deep": {}}}"#, nested(1_000_000))), [0]);
    assert_eq!(matching(&set, &format!(r#"{{"a": {}}}"#, nested(MAX_FIELD_DEPTH - 1))), [0]);
    let too_deep = format!(r#"{{"a": {}}}"#, nested(MAX_FIELD_DEPTH));
    assert_eq!(set.matches(too_deep.as_bytes(), &mut MatchScratch::default()), Err(MatchError::TooDeep));
}

#[test]
fn fields_of_one_pattern_hold_in_one_element() {
    let set = set(&[
        r#"{"legs": {"kind": ["agent"], "code": ["sale"]}}"#,
        r#"{"legs": {"code": [{"exists": false}], "kind": ["agent"]}}"#,
        r#"{"legs": {"a": {"x": [1]}, "b": {"y": [1]}}}"#,
    ]);
    assert_eq!(
        matching(&set, r#"{"legs": [{"kind": "agent", "code": "x"}, {"kind": "me", "code": "sale"}]}"#),
        [] as [usize; 0]
    );
    assert_eq!(matching(&set, r#"{"legs": [{"kind": "agent", "code": "sale"}]}"#), [0]);
    assert_eq!(matching(&set, r#"{"legs": [{"a": [{"x": 1}]}, {"b": [{"y": 1}]}]}"#), [] as [usize; 0]);
    assert_eq!(matching(&set, r#"{"legs": [{"a": [{"x": 1}], "b": [{"y": 1}]}]}"#), [2]);
}

#[test]
fn long_arrays_of_objects_stay_fast() {
    // Every element has one of two values; no element has both. Trying all pairs would take 10^10 steps.
    let set =
        set(&[r#"{"legs": {"a": [1], "b": [1]}}"#, r#"{"legs": {"a": [1], "b": [1], "c": [{"exists": false}]}}"#]);
    let legs: Vec<String> =
        (0..100_000).map(|number| format!("{{\"{}\":1}}", if number % 2 == 0 { "a" } else { "b" })).collect();
    assert_eq!(matching(&set, &format!("{{\"legs\":[{}]}}", legs.join(","))), [] as [usize; 0]);
}

#[test]
fn choices_that_explode_end_in_an_error() {
    // Independent arrays, all of whose values pass, in front of two fields that never meet.
    let names = ["a", "b", "c", "d", "e"];
    let fields: Vec<String> = names.iter().map(|name| format!("\"{name}\": {{\"x\": [1]}}")).collect();
    let set = set(&[&format!("{{{}, \"z\": {{\"p\": [1], \"q\": [1]}}}}", fields.join(","))]);
    let many = vec!["{\"x\":1}"; 100].join(",");
    let arrays: Vec<String> = names.iter().map(|name| format!("\"{name}\":[{many}]")).collect();
    let event = format!("{{{},\"z\":[{{\"p\":1}},{{\"q\":1}}]}}", arrays.join(","));
    assert_eq!(set.matches(event.as_bytes(), &mut MatchScratch::default()), Err(MatchError::TooManyChoices));
}

/// A second opinion: flattens a document and tries every choice, knowing nothing of indexes, bits or scanners.
fn naive(pattern: &Json, event: &Json) -> bool {
    let mut fields = Vec::new();
    flatten_pattern(pattern, &mut Vec::new(), &mut fields);
    fields.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut values = Vec::new();
    flatten_event(event, &mut Vec::new(), &mut Vec::new(), &mut values, &mut 0);
    choose(&fields, &values, &mut Vec::new())
}

type Place = Vec<(usize, usize)>;

fn flatten_pattern<'j>(pattern: &'j Json, path: &mut Vec<&'j str>, fields: &mut Vec<(String, &'j Vec<Json>)>) {
    for (name, value) in pattern.as_object().unwrap() {
        path.push(name);
        match value {
            Json::Array(alternatives) => fields.push((path.join("."), alternatives)),
            inner => flatten_pattern(inner, path, fields),
        }
        path.pop();
    }
}

fn flatten_event<'j>(
    value: &'j Json,
    path: &mut Vec<&'j str>,
    place: &mut Place,
    values: &mut Vec<(String, Place, &'j Json)>,
    arrays: &mut usize,
) {
    match value {
        Json::Object(members) => {
            for (name, value) in members {
                path.push(name);
                flatten_event(value, path, place, values, arrays);
                path.pop();
            }
        }
        Json::Array(elements) => {
            *arrays += 1;
            let array = *arrays;
            for (index, element) in elements.iter().enumerate() {
                let is_container = element.is_object() || element.is_array();
                if is_container {
                    place.push((array, index));
                }
                flatten_event(element, path, place, values, arrays);
                if is_container {
                    place.pop();
                }
            }
        }
        scalar => values.push((path.join("."), place.clone(), scalar)),
    }
}

fn choose(fields: &[(String, &Vec<Json>)], values: &[(String, Place, &Json)], chosen: &mut Place) -> bool {
    let Some(((path, alternatives), rest)) = fields.split_first() else { return true };
    let consistent = |place: &Place, chosen: &Place| {
        place.iter().all(|(array, index)| chosen.iter().all(|(other, place)| array != other || index == place))
    };
    let here: Vec<_> = values.iter().filter(|(at, place, _)| at == path && consistent(place, chosen)).collect();
    let passes = |value: &Json| alternatives.iter().any(|alternative| naive_test(alternative, value));
    for (_, place, _) in here.iter().filter(|(_, _, value)| passes(value)) {
        let before = chosen.len();
        chosen.extend(place);
        if choose(rest, values, chosen) {
            return true;
        }
        chosen.truncate(before);
    }
    let may_be_absent = alternatives.contains(&json!({"exists": false}));
    may_be_absent && here.is_empty() && choose(rest, values, chosen)
}

fn naive_test(alternative: &Json, value: &Json) -> bool {
    let Some((operator, argument)) = alternative.as_object().and_then(|object| object.iter().next()) else {
        return alternative == value || alternative.as_f64().is_some_and(|number| value.as_f64() == Some(number));
    };
    let (text, wanted) = (value.as_str(), argument.as_str().unwrap_or_default());
    match operator.as_str() {
        "prefix" => text.is_some_and(|text| text.starts_with(wanted)),
        "suffix" => text.is_some_and(|text| text.ends_with(wanted)),
        "equals-ignore-case" => text.is_some_and(|text| text.eq_ignore_ascii_case(wanted)),
        "exists" => argument == &json!(true),
        "wildcard" => text.is_some_and(|text| {
            let (front, back) = wanted.split_once('*').unwrap();
            text.len() >= front.len() + back.len() && text.starts_with(front) && text.ends_with(back)
        }),
        "numeric" => value.as_f64().is_some_and(|number| number > argument[1].as_f64().unwrap()),
        "anything-but" => match argument {
            Json::Object(_) => !naive_test(argument, value),
            Json::Array(all) => !all.iter().any(|one| naive_test(one, value)),
            one => !naive_test(one, value),
        },
        other => panic!("{other}"),
    }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        "[abA]{0,3}".prop_map(Json::from),
        (-2_i32..3).prop_map(Json::from),
        Just(json!(1.5)),
        Just(json!(null)),
        any::<bool>().prop_map(Json::from)
    ]
}

fn event() -> impl Strategy<Value = Json> {
    let value = scalar().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(Json::from_iter),
        ]
    });
    prop::collection::btree_map("[abc]", value, 0..4).prop_map(Json::from_iter)
}

fn alternative() -> impl Strategy<Value = Json> {
    let text = || "[abA]{0,2}".prop_map(Json::from);
    let some = || "[abA]{1,2}".prop_map(Json::from);
    prop_oneof![
        scalar(),
        text().prop_map(|text| json!({"prefix": text})),
        text().prop_map(|text| json!({"suffix": text})),
        text().prop_map(|text| json!({"equals-ignore-case": text})),
        "[ab]{0,2}\\*[ab]{0,2}".prop_map(|text| json!({"wildcard": text})),
        (-2_i32..3).prop_map(|number| json!({"numeric": [">", number]})),
        any::<bool>().prop_map(|exists| json!({"exists": exists})),
        prop::collection::vec(text(), 1..3).prop_map(|texts| json!({"anything-but": texts})),
        (-2_i32..3).prop_map(|number| json!({"anything-but": number})),
        some().prop_map(|text| json!({"anything-but": {"prefix": text}})),
        some().prop_map(|text| json!({"anything-but": {"suffix": text}})),
        some().prop_map(|text| json!({"anything-but": {"equals-ignore-case": text}})),
    ]
}

fn pattern() -> impl Strategy<Value = Json> {
    let leaf = prop::collection::vec(alternative(), 1..4).prop_map(Json::from);
    let value = leaf
        .prop_recursive(3, 8, 2, |inner| prop::collection::btree_map("[abc]", inner, 1..3).prop_map(Json::from_iter));
    prop::collection::btree_map("[abc]", value, 1..3).prop_map(Json::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_set_agrees_with_a_second_opinion(patterns in prop::collection::vec(pattern(), 1..70), event in event()) {
        let compiled: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::parse(&pattern.to_string()).unwrap()).collect();
        let explained: Vec<bool> =
            compiled.iter().map(|pattern| pattern.explain(event.to_string().as_bytes()).unwrap().is_match()).collect();
        let matches = matching(&PatternSet::new(compiled), &format!("{event:#}"));
        for (index, pattern) in patterns.iter().enumerate() {
            let opinion = naive(pattern, &event);
            prop_assert_eq!(matches.contains(&index), opinion, "{} on {}", pattern, event);
            prop_assert_eq!(explained[index], opinion, "{} on {}", pattern, event);
        }
    }

    #[test]
    fn no_event_panics(bytes in "[{}\\[\\]\",:abc.0-9 \\\\u-]{0,60}") {
        let set = set(&[r#"{"a": {"b": [1]}, "c": [{"exists": false}]}"#]);
        let _ = set.matches(bytes.as_bytes(), &mut MatchScratch::default()).map(MatchSet::len);
    }
}
