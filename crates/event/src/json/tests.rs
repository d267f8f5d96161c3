//! What is accepted as JSON, and what is found in it.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

fn skip(text: &str) -> Result<Raw<'_>, Fault> {
    let mut scanner = Scanner::new(text);
    let value = scanner.skip()?;
    scanner.end().map(|()| value)
}

fn pointer(text: &str) -> Pointer {
    text.parse().unwrap()
}

fn find<'a>(body: &'a str, at: &str) -> Option<Raw<'a>> {
    Lookup::new([&pointer(at)]).find(body.as_bytes()).unwrap().get(0)
}

/// The other opinion on what JSON is.
fn other_parser_accepts(text: &str) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    serde::de::IgnoredAny::deserialize(&mut deserializer).is_ok_and(|_| deserializer.end().is_ok())
}

/// Text that is nearly JSON, often enough all of it.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\\",
        "0",
        "-",
        "1.5",
        "1.",
        "2e9",
        "E+",
        "01",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\u{b}",
        "\u{1}",
        "é",
        "\"k\":1",
        "[]",
        "{}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~\"\\\\é0-2]{0,3}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// All pointers into a value.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointers(element, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn accepts_what_another_parser_accepts(text in nearly_json()) {
        prop_assert_eq!(skip(&text).is_ok(), other_parser_accepts(&text), "{}", text);
    }

    #[test]
    fn any_text_is_judged_alike(text in any::<String>()) {
        prop_assert_eq!(skip(&text).is_ok(), other_parser_accepts(&text));
    }

    #[test]
    fn strings_are_read_alike(inner in "([a-zé😀 ]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-f]{2}|\\\\ud83d\\\\ude0[0-9a-f]){0,12}") {
        let text = format!("\"{inner}\"");
        let expected: String = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Raw::new(&text).string().unwrap(), expected);
    }

    #[test]
    fn any_bytes_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Lookup::new([&pointer("/a/0"), &pointer("")]).find(&body);
    }
}

proptest! {
    #[test]
    fn finds_what_another_parser_finds(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        // Reading a number again may round it.
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        let parsed: Vec<Pointer> = all.iter().map(|at| pointer(at)).collect();
        let found = Lookup::new(&parsed).find(text.as_bytes()).unwrap();
        for (number, at) in all.iter().enumerate() {
            let raw = found.get(number).unwrap();
            let here: Value = serde_json::from_str(raw.as_str()).unwrap();
            prop_assert_eq!(Some(&here), value.pointer(at), "at {}", at);
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    for depth in [63, 64, 65, 128, 1_100, 100_000] {
        let arrays = "[".repeat(depth) + &"]".repeat(depth);
        assert!(skip(&arrays).is_ok());
        assert!(skip(&arrays[..arrays.len() - 1]).is_err(), "one bracket short of {depth}");
        let mixed = "{\"a\":[".repeat(depth) + "1" + &"]}".repeat(depth);
        assert_eq!(find(&mixed, "/a").unwrap().as_str().len(), mixed.len() - 6);
        let crossed = "{\"a\":[".repeat(depth) + "1" + &"}]".repeat(depth);
        assert!(skip(&crossed).is_err());
    }
}

#[test]
fn the_last_member_of_a_name_counts() {
    assert_eq!(find(r#"{"a":1,"a":2}"#, "/a").unwrap().as_str(), "2");
    assert_eq!(find(r#"{"a":1,"\u0061":2}"#, "/a").unwrap().as_str(), "2");
    assert_eq!(find(r#"{"a":{"b":1},"a":{"b":2}}"#, "/a/b").unwrap().as_str(), "2");
    assert_eq!(find(r#"{"a":{"b":1},"a":{}}"#, "/a/b"), None, "what is overridden counts nowhere");
    assert_eq!(find(r#"{"a":{"b":1},"a":null}"#, "/a/b"), None);
}

#[test]
fn places_in_arrays() {
    let body = r#"{"a":[{"b":1},{"b":2}],"c":{"0":3}}"#;
    assert_eq!(find(body, "/a/1/b").unwrap().as_str(), "2");
    assert_eq!(find(body, "/c/0").unwrap().as_str(), "3");
    for nothing in ["/a/2", "/a/01", "/a/+1", "/a/-", "/a/b", "/c/1"] {
        assert_eq!(find(body, nothing), None, "{nothing}");
    }
}

#[test]
fn numbers_keep_their_digits() {
    for number in ["1.0", "1e400", "-0", "123456789012345678901234567890", "0.1000000000000000055511151231257827"] {
        assert_eq!(find(&format!("{{\"n\": {number} }}"), "/n").unwrap().as_str(), number);
    }
}

#[test]
fn lone_surrogates_read_as_replacement_characters() {
    let read = |text: &'static str| Raw::new(text).string().unwrap();
    assert_eq!(read(r#""a\ud800b""#), "a\u{fffd}b");
    assert_eq!(read(r#""\udc00\ud800""#), "\u{fffd}\u{fffd}");
    assert_eq!(read(r#""\ud800\ud83d\ude00""#), "\u{fffd}😀");
    assert_eq!(read(r#""\ud800\u0041""#), "\u{fffd}A");
    assert_eq!(find(r#"{"\ud800":1,"x":2}"#, "/x").unwrap().as_str(), "2");
}

#[test]
fn names_are_non_blank_strings_and_numbers() {
    let name = |text: &'static str| Raw::new(text).name();
    assert_eq!(name("\"a\"").unwrap(), "a");
    assert_eq!(name("5").unwrap(), name("\"5\"").unwrap());
    for nothing in ["\"\"", "\" \\t\"", "null", "true", "{}", "[1]"] {
        assert_eq!(name(nothing), None, "{nothing}");
    }
}

#[test]
fn says_where_and_why_it_is_not_json() {
    let message = |body: &[u8]| Lookup::new([]).find(body).unwrap_err().to_string();
    assert_eq!(
        message(b"{\n  \"name\": \"\xc3\xa9\", x}"),
        "the body is not valid JSON: the name of a member must be a string in double quotes at line 2, column 16 \
         (byte 18); mend the sender"
    );
    assert!(message(b"\xef\xbb\xbf{} {}").contains("more text after the value at line 1, column 4 (byte 6)"));
    assert!(message(b"{\"a\":1,}").contains("line 1, column 8 (byte 7)"));
    assert!(message(b"[1").contains("ends inside an array"));
    assert!(message(b"\"abc").contains("ends inside a string"));
    assert!(message(b"{\"a\":01}").contains("comma or `}` is missing at line 1, column 7"));
    assert!(message(b"{\"a\":-}").contains("lacks a digit"));
    assert!(message(b"{\"a\":NaN}").contains("a value was expected"));
    assert!(message(b"\"\x01\"").contains("control character"));
    assert_eq!(message(b""), BodyError::Empty.to_string());
    assert_eq!(message(b" \r\n\t"), BodyError::Empty.to_string());
    assert_eq!(message(b"\xef\xbb\xbf"), BodyError::Empty.to_string());
    assert_eq!(message(b"{\"a\":\"\xff\"}"), BodyError::NotUtf8 { offset: 6 }.to_string());
    assert_eq!(message(b"\xef\xbb\xbf{\"\xed\xa0\x80\"}"), BodyError::NotUtf8 { offset: 5 }.to_string());
}

#[test]
fn other_encodings_are_named() {
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_be: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf32: Vec<u8> = "{}".chars().flat_map(|char| u32::from(char).to_be_bytes()).collect();
    for (body, encoding) in [(utf16, "UTF-16"), (utf16_be, "UTF-16"), (utf32, "UTF-32")] {
        assert_eq!(text(&body), Err(BodyError::Encoding { encoding }));
    }
}

#[test]
fn pointers_read_and_write() {
    for text in ["", "/", "/a/b", "/a~1b/~0~01", "/é/0"] {
        assert_eq!(pointer(text).to_string(), text);
    }
    assert_eq!(pointer("/a~1b/~01").tokens().collect::<Vec<_>>(), ["a/b", "~1"]);
    assert!(matches!("a".parse::<Pointer>(), Err(ParsePointerError::NoSlash(_))));
    for text in ["/~", "/~2", "/a~é"] {
        assert!(matches!(text.parse::<Pointer>(), Err(ParsePointerError::Tilde(_))), "{text}");
    }
    assert!("/a".repeat(MAX_POINTER_TOKENS).parse::<Pointer>().is_ok());
    assert!(matches!("/a".repeat(MAX_POINTER_TOKENS + 1).parse::<Pointer>(), Err(ParsePointerError::TooDeep(_))));
}
