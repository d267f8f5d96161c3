//! What is redacted is gone, what is not keeps its bytes: on examples, and compared with a plain implementation.

use std::sync::Arc;

use bytes::Bytes;
use event::json::{Lookup, Pointer};
use proptest::prelude::*;

use crate::limits::{MAX_KEYS, MAX_RULES, redacted_max};
use crate::{Error, How, Keys, Redactor, Rekey, Revealed, Rule, is_sealed};

const OLD: &str = "an old key that is long enough to be one";
const NEW: &str = "a new key that is long enough to be one, too";
const MASK: How = How::Mask { keep_last: 0 };

fn keys(secrets: &[&str]) -> Arc<Keys> {
    Arc::new(Keys::new(secrets).unwrap())
}

fn redactor(rules: &[(&str, How)]) -> Redactor {
    let rules = rules.iter().map(|(path, how)| Rule::new(path, *how).unwrap()).collect();
    Redactor::new(rules, keys(&[NEW, OLD])).unwrap()
}

fn redacted(text: &str, rules: &[(&str, How)]) -> String {
    let body = redactor(rules).apply(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The redacted string at `/a`.
fn at_a(text: &str, how: How) -> String {
    let redacted = redacted(text, &[("/a", how)]);
    serde_json::from_str::<serde_json::Value>(&redacted).unwrap()["a"].as_str().unwrap().to_owned()
}

#[test]
fn what_no_rule_leads_to_keeps_its_bytes() {
    let text = "\u{feff} {\"n\": 1.50e+03 ,\"\\u0061\" :\"x\" , \"b\":[ 1,\t2 ]}\r\n";
    assert_eq!(redacted(text, &[("/a", MASK)]), text.replace("\"x\"", "\"***\""));
    assert_eq!(redacted(text, &[("/b/1", MASK)]), text.replace('2', "\"***\""));
    assert_eq!(redacted(text, &[("/b", How::Drop)]), text.replace(" , \"b\":[ 1,\t2 ]", ""));
    let body = Bytes::from_static(b"{\"b\":1}");
    let same = redactor(&[("/a", MASK)]).apply(&body).unwrap();
    assert_eq!(same.as_ptr(), body.as_ptr(), "no copy");
}

#[test]
fn a_mask_keeps_no_more_than_half_of_a_string() {
    let mask = |json: &str, keep_last| redacted(&format!("[{json}]"), &[("/0", How::Mask { keep_last })]);
    assert_eq!(mask(r#""tel:+4930123456""#, 4), r#"["***3456"]"#);
    assert_eq!(mask(r#""12345""#, 4), r#"["***45"]"#);
    assert_eq!(mask(r#""äöü\u00df""#, 9), r#"["***üß"]"#);
    assert_eq!(mask(r#""1234\"\\\n\u0001""#, 4), "[\"***\\\"\\\\\\u000a\\u0001\"]");
    assert_eq!(mask(r#""ab\ud83d""#, 1), "[\"***\u{fffd}\"]");
    for whole in ["\"1\"", "\"\"", "12345678", "{\"a\":\"12345678\"}", "[1,2]", "true", "null"] {
        assert_eq!(mask(whole, 4), r#"["***"]"#, "{whole}");
    }
}

#[test]
fn a_hash_is_of_what_a_value_says_and_of_the_key() {
    let hash = at_a(r#"{"a":"a"}"#, How::Hash);
    let id = keys(&[NEW]).ids().next().unwrap().to_owned();
    assert!(hash.starts_with(&format!("hmac-sha256:{id}:")) && hash.len() == 12 + 8 + 1 + 64, "{hash}");
    assert_eq!(at_a(r#"{ "a" : "\u0061" }"#, How::Hash), hash);
    assert_eq!(at_a(r#"{"a":{"x":1,"y":[2]}}"#, How::Hash), at_a(r#"{"a":{ "y":[2 ],"\u0078":1}}"#, How::Hash));
    for other in [r#"{"a":"b"}"#, r#"{"a":["a"]}"#, r#"{"a":""}"#] {
        assert_ne!(at_a(other, How::Hash), hash);
    }
    assert_ne!(at_a(r#"{"a":5}"#, How::Hash), at_a(r#"{"a":"5"}"#, How::Hash));
    let old = Redactor::new(vec![Rule::new("/a", How::Hash).unwrap()], keys(&[OLD])).unwrap();
    assert!(!old.apply(&Bytes::from_static(b"{\"a\":\"a\"}")).unwrap().ends_with(&hash.as_bytes()[21..]));
}

#[test]
fn a_token_is_revealed_by_every_key_that_is_still_there() {
    let token = at_a(r#"{"a":"tel:\u002b49"}"#, How::Tokenise);
    assert_eq!(at_a(r#"{"a":"tel:+49"}"#, How::Tokenise), token, "the same for what says the same");
    assert_ne!(at_a(r#"{"a":"tel:+48"}"#, How::Tokenise), token);
    let rotated = keys(&["another key that is long enough to be one", NEW]);
    for keys in [&keys(&[NEW]), &keys(&[NEW, OLD]), &rotated] {
        assert_eq!(keys.reveal(&token).unwrap(), Revealed::Text("tel:+49".to_owned()));
    }
    assert!(matches!(keys(&[OLD]).reveal(&token), Err(Error::NoKey(_))));
    let whole = at_a(r#"{"a":{"b": [1.0]}}"#, How::Tokenise);
    assert_eq!(rotated.reveal(&whole).unwrap(), Revealed::Json("{\"b\": [1.0]}".to_owned()));
    let odd = at_a(r#"{"a":"\ud800"}"#, How::Tokenise);
    assert_eq!(rotated.reveal(&odd).unwrap(), Revealed::Json(r#""\ud800""#.to_owned()));
    for nothing in ["", "token", "token1:", "token1:0:0", "hmac-sha256:0"] {
        assert_eq!(rotated.reveal(nothing), Err(Error::NotAToken), "{nothing}");
    }
    for at in 16..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(rotated.reveal(&changed).is_err(), "{changed}");
    }
    // What looks like one and is none is a value like any other.
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    assert_ne!(at_a(&format!(r#"{{"a":"{forged}"}}"#), How::Tokenise), forged);
}

#[test]
fn a_change_of_keys_makes_no_other_event_of_one_that_is_sent_again() {
    let rules = || {
        let all = [("/*/h", How::Hash), ("/*/t", How::Tokenise), ("/m", MASK), ("/d", How::Drop)];
        all.map(|(path, how)| Rule::new(path, how).unwrap()).to_vec()
    };
    let with = |keys| Arc::new(Redactor::new(rules(), keys).unwrap());
    let text = r#"{"a":{"h":{"n":1.0},"t":"x"},"b":{"h":"\u0041","t":[2]},"m":1,"d":2,"rest":3}"#;
    let body = Bytes::from(text);
    let (before, after) = (with(keys(&[OLD])), with(keys(&[NEW, OLD])));
    let (stored, new) = (before.apply(&body).unwrap(), after.apply(&body).unwrap());
    assert_ne!(stored, new);
    let rekey = Rekey::new(&after, [Bytes::from_static(b"no JSON"), body.clone()]).unwrap();
    assert_eq!(*rekey.now(&stored), new[..]);
    assert_eq!(*rekey.now(&new), new[..], "what the first key made is as it is");
    for (from, to) in [("1.0", "1.5"), ("\"x\"", "\"y\""), ("3", "4"), ("\\u0041", "B")] {
        let other = Bytes::from(text.replace(from, to));
        let (stored, new) = (before.apply(&other).unwrap(), after.apply(&other).unwrap());
        assert_ne!(*rekey.now(&stored), *rekey.now(&after.apply(&body).unwrap()), "{to} is another event");
        assert_eq!(*Rekey::new(&after, [other]).unwrap().now(&stored), new[..]);
    }
    assert!(Rekey::new(&before, [body]).is_none(), "with one key there is nothing to do");
    assert_eq!(*rekey.now(b""), *b"");
}

#[test]
fn a_seal_is_opened_by_its_key_for_its_source_only() {
    let (keys, body) = (keys(&[NEW, OLD]), Bytes::from_static(b"{\"ani\": \xff"));
    let sealed = keys.seal("genesys", &body).unwrap();
    assert!(is_sealed(&sealed) && !is_sealed(&body) && !sealed.windows(3).any(|part| part == b"ani"));
    assert_eq!(keys.open("genesys", &sealed).unwrap(), body);
    assert_eq!(keys.open("other", &sealed), Err(Error::Changed));
    assert_eq!(Keys::opened(None, "genesys", body.clone()).unwrap(), body);
    assert!(matches!(Keys::opened(None, "genesys", sealed.clone()), Err(Error::NoKey(_))));
    let old = Keys::new([OLD]).unwrap();
    assert_eq!(old.seal("genesys", &body).and_then(|sealed| keys.open("genesys", &sealed)).unwrap(), body);
    assert!(matches!(old.open("genesys", &sealed), Err(Error::NoKey(_))));
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert!(keys.open("genesys", &changed).is_err(), "byte {at}");
        assert!(keys.open("genesys", &sealed[..at]).is_err());
    }
}

#[test]
fn rules_and_keys_that_cannot_be_used_are_refused() {
    assert_eq!(Rule::new("", MASK), Err(Error::WholeEvent));
    assert!(matches!(Rule::new("ani", MASK), Err(Error::Path(_))));
    assert_eq!(How::Hash.with(Some(4)), Err(Error::KeepLastOfNoMask));
    assert_eq!(MASK.with(Some(0)), Err(Error::KeepLastOfNothing));
    assert_eq!(MASK.with(Some(4)), Ok(How::Mask { keep_last: 4 }));
    let rule = |path: &str| Rule::new(path, MASK).unwrap();
    let refused = |rules| Redactor::new(rules, keys(&[OLD])).unwrap_err();
    assert_eq!(refused(vec![rule("/a"), rule("/b"), rule("/a")]), Error::SamePath("/a".to_owned()));
    assert_eq!(refused((0..=MAX_RULES).map(|n| rule(&format!("/{n}"))).collect()), Error::TooManyRules);
    assert_eq!(Keys::new([""; 0]), Err(Error::NoKeys));
    assert_eq!(Keys::new(["short"]), Err(Error::ShortKey));
    assert!(matches!(Keys::new([OLD, NEW, OLD]), Err(Error::SameKey(_))));
    assert_eq!(Keys::new((0..=MAX_KEYS).map(|n| format!("{OLD}{n}"))), Err(Error::TooManyKeys));
    assert!(!format!("{:?} {}", keys(&[OLD]), Error::ShortKey).contains("old key"));
}

#[test]
fn a_body_of_small_values_cannot_grow_without_bound() {
    let body = Bytes::from(format!("[{}1]", "1,".repeat(100_000)));
    let many = redactor(&[("/*", How::Hash)]).apply(&body);
    assert_eq!(many, Err(Error::TooLarge { max: redacted_max(body.len()) }));
    assert!(redactor(&[("/*", How::Drop)]).apply(&body).unwrap().len() < 10);
    assert!(redactor(&[("/1", MASK)]).apply_within(&body, 10).is_err());
}

#[test]
fn nesting_costs_no_stack() {
    let deep = |depth: usize| Bytes::from("{\"a\":[".repeat(depth) + "\"secret\"" + &"]}".repeat(depth));
    for depth in [550, 100_000] {
        let body = redactor(&[("/a/*/a/0", MASK)]).apply(&deep(depth)).unwrap();
        assert_eq!(&body[..], br#"{"a":[{"a":["***"]}]}"#);
        let body = redactor(&[("/a", How::Hash)]).apply(&deep(depth)).unwrap();
        assert!(body.starts_with(br#"{"a":"hmac-sha256:"#));
    }
    let leaf = format!("/{}", ["a", "0"].repeat(16).join("/"));
    let body = redactor(&[(&leaf, MASK)]).apply(&deep(1_100)).unwrap();
    assert!(body.starts_with(b"{\"a\":[{\"a\":[") && !body.windows(6).any(|part| part == b"secret"));
}

/// A JSON text with the whitespace that stands before each of its parts.
#[derive(Debug, Clone)]
enum Doc {
    Leaf(u8),
    Array(Vec<(u8, Doc)>),
    Object(Vec<(u8, u8, Doc)>),
}

const SPACES: [&str; 4] = ["", " ", "\n\t", "\r\n  "];
/// Names, as they say and as they are written; some are the same.
const NAMES: [(&str, &str); 6] = [("a", "a"), ("b", "b"), ("a", "\\u0061"), ("0", "0"), ("1", "\\u0031"), ("~/", "~/")];

fn docs() -> impl Strategy<Value = Doc> {
    any::<u8>().prop_map(Doc::Leaf).prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec((any::<u8>(), inner.clone()), 0..5).prop_map(Doc::Array),
            prop::collection::vec((any::<u8>(), any::<u8>(), inner), 0..5).prop_map(Doc::Object),
        ]
    })
}

fn rules() -> impl Strategy<Value = Vec<(String, How)>> {
    let step = prop::sample::select(vec!["a", "b", "0", "1", "~0~1", "*"]);
    let path = prop::collection::vec(step, 1..4).prop_map(|steps| format!("/{}", steps.join("/")));
    let how = prop::sample::select(vec![How::Drop, MASK, How::Mask { keep_last: 2 }, How::Hash, How::Tokenise]);
    let different = |rules: Vec<(String, How)>| {
        let mut seen = std::collections::HashSet::new();
        rules.into_iter().filter(|(path, _)| seen.insert(path.clone())).collect::<Vec<_>>()
    };
    prop::collection::vec((path, how), 0..5).prop_map(different)
}

/// Writes a text, and with `rules` what should become of it.
struct Writer<'r> {
    rules: &'r [(String, How)],
    out: String,
    leaves: usize,
    /// Of each leaf the part of it that nothing else has, and whether a rule leads to it.
    marks: Vec<(String, Option<How>)>,
}

impl Writer<'_> {
    fn rule(&self, path: &[String]) -> Option<How> {
        let leads = |(rule, _): &&(String, How)| {
            let steps: Vec<&str> = rule[1..].split('/').collect();
            steps.len() == path.len() && steps.iter().zip(path).all(|(step, name)| *step == "*" || step == name)
        };
        self.rules.iter().find(leads).map(|(_, how)| *how)
    }

    fn space(&mut self, which: u8) {
        self.out.push_str(SPACES[usize::from(which) % SPACES.len()]);
    }

    /// Writes what is at `path`, which stands inside something with the rule `around`.
    fn write(&mut self, doc: &Doc, path: &mut Vec<String>, around: Option<How>) {
        match doc {
            Doc::Leaf(kind) => {
                self.leaves += 1;
                let mark = format!("{}", 900_000_000_000 + self.leaves * 37);
                self.out.push_str(&match kind % 3 {
                    0 => format!("-{mark}.50e2"),
                    1 => format!("\"{mark}Q\\u0041ä\\\"\""),
                    _ => format!("\"{mark}\""),
                });
                self.marks.push((mark, around));
            }
            Doc::Array(items) => {
                self.out.push('[');
                let mut some = false;
                for (at, (space, item)) in items.iter().enumerate() {
                    path.push(at.to_string());
                    self.child("", *space, item, path, around, &mut some);
                    path.pop();
                }
                self.out.push(']');
            }
            Doc::Object(members) => {
                self.out.push('{');
                let mut some = false;
                for (space, name, value) in members {
                    let (said, written) = NAMES[usize::from(*name) % NAMES.len()];
                    path.push(said.replace('~', "~0").replace('/', "~1"));
                    self.child(&format!("\"{written}\" :"), *space, value, path, around, &mut some);
                    path.pop();
                }
                self.out.push('}');
            }
        }
    }

    fn child(
        &mut self,
        name: &str,
        space: u8,
        value: &Doc,
        path: &mut Vec<String>,
        around: Option<How>,
        some: &mut bool,
    ) {
        let rule = if around.is_none() { self.rule(path) } else { None };
        let before = self.out.len();
        if *some {
            self.out.push(',');
        }
        self.space(space);
        self.out.push_str(name);
        self.space(space / 4);
        let start = self.out.len();
        self.write(value, path, around.or(rule));
        match rule {
            Some(How::Drop) => return self.out.truncate(before),
            Some(how) => {
                let whole = Pointer::default();
                let text = self.out.split_off(start);
                let instead = Lookup::new([&whole]).find(text.as_bytes()).unwrap().get(0).unwrap();
                let alone = redacted(&format!("[{}]", instead.as_str()), &[("/0", how)]);
                self.out.push_str(&alone[1..alone.len() - 1]);
            }
            None => {}
        }
        *some = true;
    }
}

fn written(doc: &Doc, rules: &[(String, How)]) -> (String, Vec<(String, Option<How>)>) {
    let mut writer = Writer { rules, out: String::new(), leaves: 0, marks: Vec::new() };
    writer.write(doc, &mut Vec::new(), None);
    (writer.out, writer.marks)
}

fn applied(text: &str, rules: &[(String, How)]) -> String {
    let rules: Vec<(&str, How)> = rules.iter().map(|(path, how)| (path.as_str(), *how)).collect();
    redacted(text, &rules)
}

proptest! {
    #[test]
    fn redacting_is_what_a_plain_implementation_does(doc in docs(), rules in rules()) {
        let (text, _) = written(&doc, &[]);
        let (expected, marks) = written(&doc, &rules);
        let redacted = applied(&text, &rules);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        prop_assert_eq!(value(&redacted), value(&expected), "{}", text);
        if rules.iter().all(|(_, how)| *how != How::Drop) {
            prop_assert_eq!(&redacted, &expected, "byte for byte");
        }
        for (mark, rule) in marks {
            prop_assert_eq!(redacted.contains(&mark), rule.is_none(), "{} in {} of {}", mark, redacted, text);
        }
    }

    #[test]
    fn what_is_redacted_already_stays_as_it_is(doc in docs(), rules in rules()) {
        let drops = rules.iter().any(|(_, how)| *how == How::Drop);
        let settled = |(path, how): &(String, How)| match how {
            // Behind an item that went another takes its place, so no place in an array can be named then.
            _ if drops && path.split('/').any(|step| ["0", "1"].contains(&step)) => false,
            How::Drop => true,
            How::Mask { keep_last } => *keep_last == 0,
            How::Tokenise => true,
            How::Hash => false,
        };
        let rules: Vec<_> = rules.into_iter().filter(settled).collect();
        let once = applied(&written(&doc, &[]).0, &rules);
        prop_assert_eq!(applied(&once, &rules), once);
    }

    #[test]
    fn nothing_panics_and_what_comes_out_is_json(text in "[\\[\\]{}\",:\\\\ua01b ]{0,60}", rules in rules()) {
        let parsed: Vec<(&str, How)> = rules.iter().map(|(path, how)| (path.as_str(), *how)).collect();
        if let Ok(out) = redactor(&parsed).apply(&Bytes::from(text)) {
            prop_assert!(Lookup::new([]).find(&out).is_ok());
        }
    }

    #[test]
    fn every_value_comes_back_from_its_token(text in any::<String>(), body in any::<Vec<u8>>()) {
        let json = serde_json::json!({ "a": text }).to_string();
        let token = at_a(&json, How::Tokenise);
        prop_assert_eq!(keys(&[OLD, NEW]).reveal(&token).unwrap(), Revealed::Text(text));
        let sealed = keys(&[NEW]).seal("a", &body).unwrap();
        prop_assert_eq!(keys(&[OLD, NEW]).open("a", &sealed).unwrap(), Bytes::from(body));
    }
}
