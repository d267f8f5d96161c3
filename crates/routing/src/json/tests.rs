use proptest::prelude::*;

use super::*;

/// Whether the scanner takes the text for one JSON value.
fn scans(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.skip_value(&mut Vec::new()).is_ok() && scanner.expect_end().is_ok()
}

/// Whether serde_json does, which is as strict.
fn is_json(text: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader).map(|_: serde::de::IgnoredAny| ()).is_ok() && reader.end().is_ok()
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    for (text, offset) in [
        ("", 0),
        ("{", 1),
        ("[1,]", 3),
        ("{\"a\":1,}", 7),
        ("[1 2]", 3),
        ("{\"a\" 1}", 5),
        ("{a:1}", 1),
        ("[01]", 2),
        ("-", 1),
        ("1.", 2),
        ("1e", 2),
        ("tru", 0),
        ("\"a", 2),
        ("\"\n\"", 1),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 2),
        ("[1]]", 3),
        ("{\"a\":1]", 6),
        ("[1}", 2),
        ("+1", 0),
        (".5", 0),
        ("NaN", 0),
    ] {
        let mut scanner = Scanner::new(text.as_bytes());
        let error = scanner.skip_value(&mut Vec::new()).and_then(|()| scanner.expect_end()).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(!is_json(text.as_bytes()), "{text}");
    }
}

#[test]
fn nesting_of_any_depth_is_skipped() {
    let depth = 1_000_000;
    let text = format!("{}{}{}", "[{\"a\":".repeat(depth), 1, "}]".repeat(depth));
    assert!(scans(text.as_bytes()));
    assert!(!scans(&text.as_bytes()[..text.len() - 1]));
    assert!(!scans(text.replacen("}]}", "}]]", 1).as_bytes()));
}

#[test]
fn escapes_are_undone() {
    let undone = |content: &str| {
        let mut out = Vec::new();
        unescape(content.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(undone(r#"a\"\\\/\b\f\n\r\té"#), "a\"\\/\u{8}\u{c}\n\r\té");
    assert_eq!(undone(r"\u00e9\uD83D\uDE00x"), "é😀x");
    assert_eq!(
        undone(r"\ud83d|\ude00|\ud83d\u0041|\ud83d\n|\ud83d"),
        "\u{FFFD}|\u{FFFD}|\u{FFFD}A|\u{FFFD}\n|\u{FFFD}"
    );
}

#[test]
fn a_tree_keeps_order_and_digits() {
    let members = |pairs: &[(&str, &str)]| {
        Node::Object(pairs.iter().map(|(name, literal)| ((*name).into(), Node::Number((*literal).into()))).collect())
    };
    assert_eq!(parse_tree(r#" {"z":1.0, "a":1e3, "z":2} "#), Ok(members(&[("z", "1.0"), ("a", "1e3"), ("z", "2")])));
    assert!(parse_tree(&"[".repeat(100_000)).is_err());
}

#[test]
fn an_error_has_line_and_column() {
    let error = JsonError { offset: 7, what: "x" };
    assert_eq!(error.line_and_column(b"{\n  \"a\n"), (3, 1));
    assert_eq!(error.line_and_column(b"{ \"a\" 1}"), (1, 8));
}

proptest! {
    #[test]
    fn json_is_accepted_wherever_the_blocks_of_eight_fall(text in "[a-z\"\\\\\\x00-\\x1f\u{80}-\u{2000}]{0,40}") {
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert!(scans(quoted.as_bytes()));
        let raw = format!("\"{text}\"");
        prop_assert_eq!(scans(raw.as_bytes()), is_json(raw.as_bytes()));
    }

    #[test]
    fn the_same_texts_are_accepted_as_by_serde_json(text in "[\\[\\]{}\",:0-9.eE+\\- \\\\utrfalsn]{0,24}") {
        prop_assert_eq!(scans(text.as_bytes()), is_json(text.as_bytes()));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = scans(&bytes);
    }
}
