use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_MAPPING_BYTES, MAX_VALUE_DEPTH};

fn event(body: &str) -> Event {
    Event {
        id: EventId::from_hash([7; 16]),
        source: Arc::from("genesys"),
        topic: Arc::from("v2.detail.events.conversation.{id}.acw"),
        conversation: Some(Arc::from("conv-1")),
        received: Timestamp::from_millis(1_777_887_082_415),
        conflict_of: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn map(source: &str, body: &str) -> Result<String, MappingError> {
    let payload = Mapping::compile(source)?.apply(&event(body))?;
    Ok(String::from_utf8(payload.to_vec()).unwrap())
}

fn mapped(source: &str, body: &str) -> String {
    map(source, body).unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
fn a_payload_is_made_of_the_body_and_what_is_known_of_the_event() {
    let source = r#"{id: $event.id, source: $event.source, when: $event.received, conversation: $event.conversation,
        agent: .detail.userId, note: (.detail.notes // "none"), codes: [.detail.codes[] | ascii_upcase]}"#;
    let body = r#"{"detail": {"userId": "u-1", "codes": ["a", "b"]}}"#;
    let id = EventId::from_hash([7; 16]).to_string();
    assert_eq!(
        mapped(source, body),
        format!(
            r#"{{"id":"{id}","source":"genesys","when":"2026-05-04T09:31:22.415Z","conversation":"conv-1","agent":"u-1","note":"none","codes":["A","B"]}}"#
        )
    );
}

#[test]
fn what_a_mapping_read_last_before_it_failed_is_known() {
    let body = r#"{"data":{"nam":"x","items":[{"id":1},{"id":"two"}],"a/b":{"c":null}},"top":1}"#;
    let cases = [
        (r#"{id: .top, name: (.data.name // error("no name"))}"#, Some("/data/name")),
        (".data.name.first - 1", Some("/data/name")),
        (".data.nam.first", Some("/data/nam")),
        ("[.data.items[] | .id + 1]", Some("/data/items/1/id")),
        ("[.data.items[] | .id | ltrimstr(\"t\") | tonumber]", Some("/data/items/0/id")),
        (r#".data["a/b"].c.d | error("x")"#, Some("/data/a~1b/c")),
        (r#"{x: {y: 1}} | .x.y | error("own")"#, None),
        (".data", None),
        ("def f: f; f", None),
        ("empty", None),
    ];
    for (source, expected) in cases {
        let mapping = Mapping::compile(source).unwrap();
        assert_eq!(mapping.locate(&event(body)).as_deref(), expected, "{source}");
        // Nothing is left behind of it.
        assert_eq!(mapped(".top", body), "1");
    }
}

const VIOLATION: &str = r#"{"conversationId": "conv-1", "data": {"agentId": "a-1", "sentiment": {"overall": -40.0},
    "intents": [{"name": "billing", "confidence": 0.910}], "complianceViolations": [{"code": "x", "severity": "High"}]}}"#;

#[test]
fn the_outcome_of_the_event_is_at_hand() {
    assert_eq!(
        mapped("outcome | {id: .conversation_id, score: .sentiment.score}", VIOLATION),
        r#"{"id":"conv-1","score":-0.4}"#
    );
    let whole = mapped("outcome", VIOLATION);
    assert_eq!(whole, event::Outcome::of(&event(VIOLATION)).to_json(), "as it is written elsewhere, digit by digit");
    for (source, payload) in [
        (".x = 1 | {top: .x, of_event: outcome.agent_id}", r#"{"top":1,"of_event":"a-1"}"#),
        ("[range(3) as $i | outcome.compliance.count + $i]", "[1,2,3]"),
        (
            "outcome.compliance | {count, severity, codes: [.violations[].code]}",
            r#"{"count":1,"severity":"high","codes":["x"]}"#,
        ),
        ("[outcome, outcome] | .[0] == .[1]", "true"),
        ("def outcome: 5; outcome", "5"),
        (
            "[outcome.event_id == $event.id, outcome.received_at == $event.received, outcome.topic == $event.topic]",
            "[true,true,true]",
        ),
    ] {
        assert_eq!(mapped(source, VIOLATION), payload, "{source}");
    }
}

#[test]
fn the_outcome_counts_towards_the_limits() {
    let limited =
        |source: &str, body: &str| Mapping::compile(source).unwrap().with_limits(200, 10_000).apply(&event(body));
    let large = format!(r#"{{"wrapupNotes": "{}"}}"#, "x".repeat(6_000));
    assert!(limited("1", &large).is_ok(), "who does not ask for it does not pay for it");
    for source in ["outcome as $all | 1", "try [outcome] catch 1", "outcome | length"] {
        assert_eq!(limited(source, &large), Err(MappingError::Limit(MappingLimit::Steps)), "{source}");
    }
    assert!(limited("outcome | {event_id}", &large).is_ok(), "only what it reads is loaded");
    let nested = |levels: usize| format!("{{\"x\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    let deepest = MAX_VALUE_DEPTH as usize - 1;
    assert_eq!(mapped("1", &nested(deepest)), "1");
    assert_eq!(mapped("1", &nested(50_000)), "1");
    let error = map("outcome | length", &nested(deepest)).unwrap_err().to_string();
    assert!(error.contains("the outcome cannot be read") && error.contains("256 levels"), "{error}");
    assert_eq!(mapped("outcome.extra | length", &nested(deepest - 1)), "1");
}

/// What the quality team's route does, with an event that no mapping could load.
#[test]
fn a_mapping_that_reads_the_outcome_only_takes_events_of_any_size_and_depth() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let rest = VIOLATION.strip_prefix('{').unwrap();
    for more in [deep, format!("\"{}\"", "x".repeat(8 * 1024 * 1024)), format!("[{}1]", "1,".repeat(1_000_000))] {
        let body = format!("{{\"odd\":{more},{rest}");
        let members = "outcome | {event_id, conversation_id, agent_id, occurred_at, compliance}";
        assert_eq!(mapped(members, &body), mapped(members, VIOLATION));
        let whole = mapped("outcome", &body);
        assert!(whole.contains(&more), "nothing is missing in the whole outcome");
        assert!(map(".", &body).is_err());
    }
}

#[test]
fn a_mapping_tells_whether_something_in_the_outcome_was_not_recognised() {
    let told = |source: &str, body: &str| {
        let mut told = false;
        let _ = Mapping::compile(source).unwrap().apply_noting(&event(body), &mut told);
        told
    };
    let odd = r#"{"sentiment": "grumpy"}"#;
    assert!(
        told("outcome", odd) && told("outcome | error(\"x\")", odd) && told("outcome as $o | last(range(20000))", odd)
    );
    assert!(!told(".", odd) && !told("outcome", r#"{"sentiment": "mixed", "unknown": 1}"#));
}

#[test]
fn names_keep_their_order_and_numbers_their_digits() {
    let body = r#"{"z": 1.50, "a": 12345678901234567890123, "m": -0, "e": 1e2, "z2": [0.1000]}"#;
    assert_eq!(mapped(".", body), r#"{"z":1.50,"a":12345678901234567890123,"m":-0,"e":1e2,"z2":[0.1000]}"#);
}

#[test]
fn what_json_leaves_open_is_decided_as_for_patterns() {
    assert_eq!(mapped(".", "\u{FEFF}{\"a\": 1, \"a\": 2}"), r#"{"a":2}"#);
    assert_eq!(mapped(".a", r#"{"a": "x\ud800y\u00e9\n"}"#), "\"x\u{FFFD}yé\\n\"");
    assert_eq!(mapped("[nan, infinite, -infinite]", "{}"), "[null,1.7976931348623157e308,-1.7976931348623157e308]");
}

#[test]
fn the_library_works() {
    for (source, body, payload) in [
        (".a[1:] = [9]", r#"{"a":[1,2,3]}"#, r#"{"a":[1,9]}"#),
        (".a[-1] |= . + 1", r#"{"a":[1,2,3]}"#, r#"{"a":[1,2,4]}"#),
        ("del(.a, .b[0])", r#"{"a":1,"b":[1,2],"c":3}"#, r#"{"b":[2],"c":3}"#),
        ("map_values(select(. > 1))", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        ("to_entries", r#"{"a":1}"#, r#"[{"key":"a","value":1}]"#),
        ("[.[] | tojson | fromjson]", "[1.0,{\"a\":[]}]", r#"[1.0,{"a":[]}]"#),
        ("[.a | length, utf8bytelength]", r#"{"a":"né"}"#, "[2,3]"),
        (".a | gsub(\"(?<d>[0-9]+)\"; \"<\" + .d + \">\")", r#"{"a":"x1y22"}"#, r#""x<1>y<22>""#),
        ("[.a | test(\"b\"), split(\", *\"; null)]", r#"{"a":"a, b"}"#, r#"[true,["a","b"]]"#),
        (".a | split(\",\") | join(\"-\")", r#"{"a":"a,b"}"#, r#""a-b""#),
        ("[has(\"a\"), (.a | contains([\"fo\"])), (.a | index(\"foo\"))]", r#"{"a":["foo"]}"#, "[true,true,0]"),
        (".t / 1000 | floor | todate", r#"{"t":1777887082415}"#, r#""2026-05-04T09:31:22Z""#),
        ("walk(if . == null then empty else . end)", r#"{"a":null,"b":[null,1]}"#, r#"{"b":[1]}"#),
        (".a.b.c = 1 | .d += 1", "{}", r#"{"a":{"b":{"c":1}},"d":1}"#),
        ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
        ("group_by(.k) | map(length)", r#"[{"k":1},{"k":2},{"k":1}]"#, "[2,1]"),
        ("[.[] | try error(\"x\") catch .]", "[1]", r#"["x"]"#),
        ("@base64 \"\\(.a)\"", r#"{"a":"hi"}"#, r#""aGk=""#),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        ("first(range(10; infinite))", "{}", "10"),
        (". as {a: $x, b: [$y]} | $x + $y", r#"{"a":1,"b":[2]}"#, "3"),
    ] {
        assert_eq!(mapped(source, body), payload, "{source}");
    }
}

#[test]
fn a_mapping_gives_exactly_one_value() {
    assert_eq!(map("empty", "{}"), Err(MappingError::NoOutput));
    assert_eq!(map("1, 2", "{}"), Err(MappingError::SeveralOutputs));
    assert!(map("1, error(\"later\")", "{}").is_err());
}

#[test]
fn what_is_wrong_with_a_source_has_its_place() {
    for (source, line, column) in [
        ("{a: .b,\n  c: }", 2, 6),
        ("", 1, 1),
        (".a |\n\n  foo(1)", 3, 3),
        (". + $x", 1, 5),
        ("\"é\" | é", 1, 7),
        (".a[", 1, 4),
    ] {
        match Mapping::compile(source) {
            Err(MappingError::Source { line: l, column: c, message }) => {
                assert_eq!((l, c), (line, column), "{source:?}: {message}");
            }
            other => panic!("{source:?}: {other:?}"),
        }
    }
    assert!(Mapping::compile(&" ".repeat(MAX_MAPPING_BYTES + 1)).is_err());
}

#[test]
fn nothing_reaches_outside() {
    for source in [
        "now",
        "env",
        "$ENV",
        "$ENV.PATH",
        "env.PATH",
        "input",
        "[inputs]",
        "halt",
        "halt_error",
        "halt(1)",
        "debug",
        "stderr",
        "localtime",
        "\"a\" | strflocaltime(\"%Z\")",
        "import \"a\" as a; .",
        "include \"a\"; .",
        "import \"/etc/passwd\" as $x; $x",
        "input_filename",
        "$__prog_args",
        "get_search_list",
        "tobytes",
    ] {
        assert!(matches!(Mapping::compile(source), Err(MappingError::Source { .. })), "{source}");
    }
    let message = Mapping::compile("{t: now}").unwrap_err().to_string();
    assert_eq!(
        message,
        "line 1, column 5: `now` is not available: a mapping must give the same payload every time; use \
         `$event.received`"
    );
}

#[test]
fn an_error_of_the_mapping_is_its_own() {
    let failed = |message: &str| Err(MappingError::Failed { message: message.to_owned() });
    assert_eq!(map("error(\"no agent\")", "{}"), failed("no agent"));
    assert_eq!(map(".a.b", r#"{"a": 1}"#), failed(r#"cannot index 1 with "b""#));
    assert!(matches!(map("\"x\" * 2000 | error", "{}"), Err(MappingError::Failed { message }) if message.len() < 600));
    assert_eq!(map("{(1 | tostring): 2}", "{}"), Ok(r#"{"1":2}"#.to_owned()));
    assert!(matches!(map("{(1): 2}", "{}"), Err(MappingError::NotJson(_))));
    assert!(matches!(map(".", "nope"), Err(MappingError::Event(_))));
    assert!(matches!(map(".", "{} {}"), Err(MappingError::Event(_))));
}

/// Without bounds most of these would run forever, fill the memory, or overflow the stack.
const HOSTILE: &[&str] = &[
    "reduce range(1e9) as $i (0; outcome)",
    "[repeat(outcome)]",
    "def f: outcome | [., f]; f",
    "def f: f; f",
    "def f: [f]; f",
    "def f: f | f; f",
    "def f: 1 + f; f",
    "def f: {a: f}; f",
    "def f(x): f(x | x); f(.)",
    "def f(x): x as $y | f($y, x); f(.)",
    "null | path(def f: .a | f; f)",
    "null | first(path(until(false; .a)))",
    "null | path(last(repeat(.a)))",
    "[limit(300000; repeat(1))] as [$a] | def f($x; y): f($x; y | y); f(1; 2)",
    "last(label $x | repeat(label $y | .))",
    "def f: ., f; [f]",
    "def f: (f, 1); f",
    "[repeat(.)]",
    "[repeat(1)]",
    "last(repeat(1))",
    "[range(1e12)]",
    "last(range(infinite))",
    "[limit(1e9; repeat(1))]",
    "until(false; .)",
    "until(false; [.])",
    "[1 | recurse(. + 1)]",
    "reduce range(1e9) as $i (0; [.])",
    "reduce range(300) as $i (0; {a: .})",
    "reduce range(60) as $i (\"x\"; . + .)",
    "reduce range(60) as $i ([1]; . + .)",
    "reduce range(60) as $i (0; [., .])",
    "reduce range(60) as $i ({}; {a: ., b: .}) | tojson",
    "reduce range(60) as $i (0; [., .]) | . == .",
    "reduce range(60) as $i (0; [., .]) | [..]",
    "reduce range(60) as $i (2; . * .)",
    "reduce range(100) as $i (12345678901234567890; . * .)",
    "reduce repeat(1) as $i (0; . + $i)",
    "[foreach repeat(1) as $i (0; . + $i)]",
    "\"x\" * 1e9",
    "\"x\" * 1000000000",
    "\"x\" * 100000000000000000000000",
    "1000000000 * \"x\"",
    "def g: [.. | ..]; g | g | g | g | g | g | g | g | g | g | g | g | g | g",
    "[range(300)] | [.[] as $a | .[] as $b | .[] as $c | 1]",
    "[range(3000)] | combinations(9)",
    "[[range(10)], [range(10)], [range(10)], [range(10)], [range(10)], [range(10)], [range(10)]] | [combinations]",
    "(\"a\" * 100000) | [match(\"(a*)*b\"; \"g\")]",
    "(\"a\" * 1000000) | test(\"(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x\")",
    "\"a\" | test(\"((a{1000}){1000}){1000}\")",
    "\"a\" | test(\"a{1000000000}\")",
    "(\"[\" * 100000) | fromjson",
    "((\"[\" * 100000) + (\"]\" * 100000)) | fromjson",
    "(\"a\" * 10000000) / \"\"",
    "(\"a\" * 10000000) | explode",
    "(\"a\" * 10000000) | [scan(\"a\")]",
    "(\"a\" * 5000000) | @uri | @uri | @uri | @uri",
    "[limit(100000; repeat(\"a\" * 1000000))] | sort",
    "([range(100000)] | map(\"a\" * 10000)) | sort",
    "[range(20000)] as $a | $a | map(. as $x | $a | index($x))",
    "[range(20000)] as $a | $a - $a - $a | contains($a)",
    "[range(10000)] | contains([range(10000)])",
    "null | setpath([range(100000) | \"a\"]; 1)",
    "[] | setpath([100000000000]; 1)",
    "null | .[1000000000] = 1",
    "[] | .[1000000000] = 1",
    "reduce range(100000) as $i (.; .a = {b: .})",
    "try (def f: f; f) catch \"caught\"",
    "(def f: f; f)?",
    "[(def f: f; f)?] // 1",
    "label $out | def f: f; f, break $out",
    "[path(repeat(.))]",
    "[paths(repeat(.))]",
    "def f: def g: f | g; g; f",
    "[splits(\"a\"; \"b\"; \"c\"; repeat(1))]?",
    "input_line_number, repeat(.)",
    "(. as $x | repeat($x)) |= 1",
    "limit(1e18; repeat(1)) as $x | empty",
    "skip(1e18; repeat(1))",
    "nth(1e18; repeat(1))",
    "getpath([repeat(\"a\")])",
    "all(repeat(true); .)",
    "isempty(repeat(empty))",
    "add(repeat(\"x\"))",
    "[.[]?, repeat(1)] | add",
    "ltrimstr(repeat(\"\"))",
    "(reduce range(20) as $i (\"%Y\"; . + .)) as $f | 0 | strftime($f) | strftime($f)",
    "0 | strftime(\"%1000000000Y\")",
    "[range(1000000)] | implode",
    "[range(1000)] | [.[] as $x | [range(1000)] | sort_by(-.)] | length",
    "pow(10; 308) | tojson | [. * 100000] | tojson | [.] | tojson | tojson | tojson | tojson | tojson | tojson",
];

#[test]
fn hostile_mappings_end_soon() {
    for source in HOSTILE {
        let started = std::time::Instant::now();
        let result = map(source, r#"{"a": [1, {"b": "c"}]}"#);
        assert!(started.elapsed().as_secs() < 20, "{source} took {:?}", started.elapsed());
        assert!(!matches!(&result, Err(error) if error.is_bug()), "{source}: {result:?}");
    }
}

#[test]
fn a_limit_cannot_be_caught_and_is_named() {
    let limit = |source: &str| match map(source, "{}") {
        Err(MappingError::Limit(limit)) => limit,
        other => panic!("{source}: {other:?}"),
    };
    assert_eq!(limit("try (def f: f; f) catch 1"), MappingLimit::Steps);
    assert_eq!(limit("def f: [f]; f"), MappingLimit::Recursion);
    assert_eq!(limit("reduce range(300) as $i (0; [.])"), MappingLimit::Depth);
    assert_eq!(limit("\"x\" * 1000000000"), MappingLimit::ValueSize);
    assert_eq!(limit("\"a\" | test(\"a{100000}\")"), MappingLimit::Regex);
    assert_eq!(limit("reduce range(20) as $i (12345678901234567890; . * .)"), MappingLimit::Integer);
    assert_eq!(limit("\"x\" * 2000000"), MappingLimit::Output { max_bytes: DEFAULT_MAPPING_OUTPUT_BYTES });
    let small = Mapping::compile(".").unwrap().with_limits(1_000, 5);
    assert_eq!(small.apply(&event("[1,2]")).unwrap(), "[1,2]");
    assert!(matches!(small.apply(&event("[1,22]")), Err(MappingError::Limit(MappingLimit::Output { max_bytes: 5 }))));
}

#[test]
fn deep_events_are_told_so_and_overflow_nothing() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(mapped(".", &nested(MAX_VALUE_DEPTH as usize)), nested(MAX_VALUE_DEPTH as usize));
    assert_eq!(mapped("[..] | length", &nested(MAX_VALUE_DEPTH as usize - 1)), MAX_VALUE_DEPTH.to_string());
    for levels in [MAX_VALUE_DEPTH as usize + 1, 1_100, 1_000_000] {
        let error = map("length", &nested(levels)).unwrap_err();
        assert!(matches!(error, MappingError::Event(_)), "{error}");
        assert!(error.to_string().contains("256 levels"), "{error}");
    }
}

#[test]
fn deeply_nested_sources_overflow_nothing() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{a:", "}"), ("-", ""), ("try ", ""), (". as $x | ", ""), ("if ", "")]
    {
        let levels = MAX_MAPPING_BYTES / (open.len() + close.len()) - 1;
        let source = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        // Whether it compiles or not, nothing may overflow when it is applied either.
        if let Ok(mapping) = Mapping::compile(&source) {
            let _ = mapping.apply(&event("{}"));
        }
    }
    let long = format!("1{}", " | 1".repeat(10_000));
    if let Ok(mapping) = Mapping::compile(&long) {
        let _ = mapping.apply(&event("{}"));
    }
}

#[test]
fn one_mapping_serves_many_threads() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let mapping = Mapping::compile("{n: .n}").unwrap();
    shareable(&mapping);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mapping = &mapping;
            scope.spawn(move || {
                for _ in 0..50 {
                    let body = format!("{{\"n\":{thread}}}");
                    assert_eq!(mapping.apply(&event(&body)).unwrap(), body);
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_source_panics(source in "[.\\[\\](){}|,:;$a-c0-9\"+*/ -]{0,40}") {
        if let Ok(mapping) = Mapping::compile(&source) {
            let result = mapping.with_limits(10_000, 10_000).apply(&event(r#"{"a":[1,"b"]}"#));
            prop_assert!(!matches!(&result, Err(error) if error.is_bug()), "{:?}", result);
        }
    }

    #[test]
    fn any_json_goes_through_unchanged(numbers in prop::collection::vec(any::<f64>(), 0..5), text in ".{0,20}") {
        let numbers: Vec<f64> = numbers.into_iter().filter(|number| number.is_finite()).collect();
        let body = serde_json::json!({"n": numbers, "t": text}).to_string();
        let payload = map(".", &body).unwrap();
        let (payload, body): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&payload).unwrap(), serde_json::from_str(&body).unwrap());
        prop_assert_eq!(payload, body);
    }
}
