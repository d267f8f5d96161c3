use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_COMBINATIONS, MAX_PATTERN_FIELDS};

fn refusal(text: &str) -> String {
    match Pattern::parse(text) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{text} was accepted"),
    }
}

/// Whether a field `a` with this value satisfies this array of alternatives.
fn accepts(alternatives: &str, value: &str) -> bool {
    let pattern = Pattern::parse(&format!("{{\"a\": {alternatives}}}")).unwrap();
    pattern.explain(format!("{{\"a\": {value}}}").as_bytes()).unwrap().is_match()
}

/// The alternatives accept the first values and refuse the second.
fn check(alternatives: &str, accepted: &[&str], refused: &[&str]) {
    for value in accepted {
        assert!(accepts(alternatives, value), "{alternatives} should accept {value}");
    }
    for value in refused {
        assert!(!accepts(alternatives, value), "{alternatives} should refuse {value}");
    }
}

#[test]
fn exact_values() {
    check(
        r#"["x"]"#,
        &[r#""x""#, r#""\u0078""#, r#"["y", "x"]"#, r#"[["x"]]"#],
        &[r#""X""#, r#"["y"]"#, "{}", "[]", "1"],
    );
    check("[1.0]", &["1", "10e-1", "[2, 1]"], &["\"1\"", "1.01", "true"]);
    check("[12345678901234567890]", &["12345678901234567890"], &["12345678901234567891", "12345678901234567890.0"]);
    check("[null, true]", &["null", "true"], &["false", "\"null\"", "[]"]);
    check(r#"[{"exactly": "10.0.0.7"}]"#, &[r#""10.0.0.7""#], &[r#""010.0.0.7""#]);
    check(r#"["10.0.0.7"]"#, &[r#""10.0.0.7""#, r#""010.0.0.7""#], &[r#""10.0.0.8""#]);
}

#[test]
fn prefixes_and_suffixes() {
    check(r#"[{"prefix": "ab"}]"#, &[r#""ab""#, r#""abc""#], &[r#""aB""#, r#""a""#, "1"]);
    check(r#"[{"suffix": "bc"}]"#, &[r#""bc""#, r#""abc""#], &[r#""c""#, r#""bcd""#]);
    check(r#"[{"prefix": ""}]"#, &[r#""""#, r#""x""#], &["1", "null"]);
    check(r#"[{"prefix": {"equals-ignore-case": "Éb"}}]"#, &[r#""éBx""#, r#""ÉB""#], &[r#""eb""#]);
    check(r#"[{"suffix": {"equals-ignore-case": "ß"}}]"#, &[r#""ß""#, r#""aSS""#], &[r#""ss""#]);
    check(r#"[{"prefix": "a\""}]"#, &[r#""a""#, r#""a\"b""#], &[r#""ab""#]);
}

#[test]
fn ignoring_case() {
    check(r#"[{"equals-ignore-case": "InBound"}]"#, &[r#""INBOUND""#, r#""inbound""#], &[r#""inbounds""#]);
}

#[test]
fn wildcards() {
    check(r#"[{"wildcard": "a*c\\*"}]"#, &[r#""ac*""#, r#""abbc*""#], &[r#""ac""#, r#""abcd""#]);
    check(r#"[{"wildcard": "*"}]"#, &[r#""""#, r#""x""#], &["1", "false"]);
}

#[test]
fn numeric_ranges() {
    check(r#"[{"numeric": ["=", 3e2]}]"#, &["300", "300.0"], &["301", "\"300\""]);
    check(r#"[{"numeric": [">", 0, "<=", 5]}]"#, &["5", "0.1", "5.0"], &["0", "-0.0", "5.1", "null"]);
    check(r#"[{"numeric": ["<", 0]}]"#, &["-1e300"], &["0", "1"]);
}

#[test]
fn networks() {
    check(r#"[{"cidr": "10.0.0.0/8"}]"#, &[r#""10.9.8.7""#], &[r#""11.0.0.0""#, r#""10.9.8""#, "10", r#""a00::1""#]);
    check(r#"[{"cidr": "2001:db8::/32"}]"#, &[r#""2001:DB8::7""#], &[r#""2001:db9::""#, r#""32.1.13.184""#]);
}

#[test]
fn anything_but() {
    check(r#"[{"anything-but": "x"}]"#, &[r#""y""#, "1", "null", r#"["x", "y"]"#], &[r#""x""#, "[]", "{}"]);
    check(r#"[{"anything-but": [1, 2]}]"#, &["3", r#""1""#, "true"], &["1.0", "2", "[1, 2]"]);
    check(r#"[{"anything-but": {"prefix": ["a", "b"]}}]"#, &[r#""c""#, "1"], &[r#""abc""#, r#""b""#]);
    check(r#"[{"anything-but": {"suffix": "a"}}]"#, &[r#""ab""#], &[r#""ba""#]);
    check(r#"[{"anything-but": {"wildcard": "a*c"}}]"#, &[r#""ab""#], &[r#""abc""#]);
    check(r#"[{"anything-but": {"equals-ignore-case": ["a", "b"]}}]"#, &[r#""c""#], &[r#""A""#, r#""b""#]);
    check(r#"[{"anything-but": "10.0.0.7"}, {"anything-but": "x"}]"#, &[r#""x""#, r#""10.0.0.7""#], &[]);
}

#[test]
fn existence() {
    check(r#"[{"exists": true}]"#, &["null", "false", "[0]"], &["[]", "{}", "[{}]"]);
    check(r#"[{"exists": false}]"#, &["[]", "{}", "{\"b\": 1}"], &["null", "[null]"]);
    check(r#"[{"exists": false}, 1]"#, &["[]", "1"], &["2"]);
}

#[test]
fn an_or_multiplies_what_stands_before_it() {
    let pattern =
        Pattern::parse(r#"{"a": [1], "$or": [{"b": [1]}, {"c": [1], "$or": [{"d": [1]}, {"e": [1]}]}]}"#).unwrap();
    assert_eq!(pattern.combinations.len(), 3);
    // What is written later about the same field counts.
    let later = Pattern::parse(r#"{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}"#).unwrap();
    assert!(later.explain(br#"{"a": 2}"#).unwrap().is_match());
    let earlier = Pattern::parse(r#"{"$or": [{"a": [2]}, {"b": [3]}], "a": [1]}"#).unwrap();
    assert!(!earlier.explain(br#"{"a": 2}"#).unwrap().is_match());
}

#[test]
fn an_or_that_cannot_be_an_operator_is_a_field() {
    for (text, event) in [
        (r#"{"$or": ["x", 1]}"#, r#"{"$or": 1}"#),
        (r#"{"$or": [{"prefix": "a"}, {"prefix": "b"}]}"#, r#"{"$or": "bc"}"#),
        (r#"{"a": {"$or": {"b": [1]}}}"#, r#"{"a": {"$or": {"b": 1}}}"#),
    ] {
        assert!(Pattern::parse(text).unwrap().explain(event.as_bytes()).unwrap().is_match(), "{text}");
    }
    assert_eq!(refusal(r#"{"$or": [{"a": [1]}]}"#), "`$or` needs at least two objects");
    assert_eq!(refusal(r#"{"x": {"$or": [{"a": [1]}, 2]}}"#), "x: `$or` needs an array of objects");
}

#[test]
fn refusals_name_the_field_and_what_it_needs() {
    let needs = "numeric needs [comparison, number] or [\">\" or \">=\", number, \"<\" or \"<=\", number]";
    for (text, message) in [
        ("[]", "a pattern must be a JSON object".to_owned()),
        ("{}", "an object needs at least one field".to_owned()),
        (r#"{"a": {"b": {}}}"#, "a.b: an object needs at least one field".to_owned()),
        (r#"{"a": []}"#, "a: an array needs at least one accepted value".to_owned()),
        (r#"{"a": "x"}"#, "a: needs an array of accepted values, or an object of fields".to_owned()),
        (r#"{"a": [["x"]]}"#, "a: an accepted value cannot be an array".to_owned()),
        (r#"{"a": [{"regex": "x"}]}"#, "a: unknown operator `regex`".to_owned()),
        (r#"{"a": [{}]}"#, "a: a test needs exactly one operator; it has 0".to_owned()),
        (r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#, "a: a test needs exactly one operator; it has 2".to_owned()),
        (r#"{"a": [{"prefix": 1}]}"#, "a: prefix needs a text".to_owned()),
        (r#"{"a": [{"suffix": {"x": "y"}}]}"#, "a: suffix needs a text or equals-ignore-case, not `x`".to_owned()),
        (r#"{"a": [{"exists": "yes"}]}"#, "a: exists needs true or false".to_owned()),
        (r#"{"detail": {"score": [{"numeric": 5}]}}"#, format!("detail.score: {needs}")),
        (r#"{"a": [{"numeric": ["<", 5, ">", 1]}]}"#, format!("a: {needs}")),
        (r#"{"a": [{"numeric": ["!=", 5]}]}"#, format!("a: numeric does not know `!=`; {needs}")),
        (
            r#"{"a": [{"numeric": [">", 5, "<", 5]}]}"#,
            "a: numeric needs a lower bound below the upper one; 5 is not below 5".to_owned(),
        ),
        (
            r#"{"a": [{"numeric": [">", 1e400]}]}"#,
            "a: numeric needs numbers that a 64-bit float holds exactly; 1e400 is not".to_owned(),
        ),
        (
            r#"{"a": [{"anything-but": ["x", 1]}]}"#,
            "a: anything-but needs a text, a number, or a list of only texts or only numbers".to_owned(),
        ),
        (
            r#"{"a": [{"anything-but": []}]}"#,
            "a: anything-but needs a text, a number, or a list of only texts or only numbers".to_owned(),
        ),
        (
            r#"{"a": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}"#,
            "a: anything-but does not know the operator `cidr`".to_owned(),
        ),
        (
            r#"{"a": [{"anything-but": {"prefix": ""}}]}"#,
            "a: anything-but prefix needs a text that is not empty".to_owned(),
        ),
        (r#"{"a": [{"wildcard": "a**b"}]}"#, "a: wildcard needs something between two `*` (at byte 1)".to_owned()),
        (r#"{"a": [{"cidr": "10.0.0.0"}]}"#, "a: cidr needs an address, a slash and a number of bits".to_owned()),
        (
            r#"{"$or": [{"a": [1]}, {"prefix": [1]}]}"#,
            "`prefix` is reserved; it cannot name a field inside `$or`".to_owned(),
        ),
        ("{\"a\": [1],\n \"b\"}", "a pattern must be JSON: expected a colon (line 2, column 5)".to_owned()),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
}

#[test]
fn limits_hold() {
    let or = r#""$or": [{"a": [1]}, {"b": [1]}, {"c": [1]}, {"d": [1]}]"#;
    let nested =
        |levels: usize| (0..levels).fold("{\"z\": [1]}".to_owned(), |inner, _| format!("{{{or}, \"n\": {inner}}}"));
    assert_eq!(Pattern::parse(&nested(4)).unwrap().combinations.len(), 256);
    assert!(refusal(&nested(5)).contains(&MAX_COMBINATIONS.to_string()));
    let fields = |count: usize| {
        let fields: Vec<String> = (0..count).map(|number| format!("\"f{number}\": [1]")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert!(Pattern::parse(&fields(MAX_PATTERN_FIELDS)).is_ok());
    assert!(refusal(&fields(MAX_PATTERN_FIELDS + 1)).contains("at most 256 fields"));
    assert!(refusal(&format!("{{\"a\": [\"{}\"]}}", "x".repeat(MAX_PATTERN_BYTES))).contains("bytes"));
    assert!(refusal(&"{\"a\":".repeat(10_000)).contains("nested too deeply"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[{}\\[\\]\":,a$orprefixnumeric<>=0-9.* \\\\-]{0,60}") {
        let _ = Pattern::parse(&text);
    }

    #[test]
    fn folding_agrees_with_both_cases(text in "\\PC{0,6}") {
        let folded = Folded::new(&text);
        let upper: String = text.chars().flat_map(char::to_uppercase).collect();
        let lower: String = text.chars().flat_map(char::to_lowercase).collect();
        for value in [&upper, &lower] {
            prop_assert!(folded.equals(value.as_bytes()) && folded.is_prefix_of(value.as_bytes()) && folded.is_suffix_of(value.as_bytes()));
        }
    }
}
