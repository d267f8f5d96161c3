//! URL templates and the JSON pointers in them.

use proptest::prelude::*;
use url::Url;

use super::super::UrlTemplate;
use super::super::pointer::Pointer;
use super::delivery;
use crate::OutgoingDelivery;

fn template(text: &str) -> UrlTemplate {
    text.parse().unwrap()
}

fn address(text: &str, delivery: &OutgoingDelivery) -> Result<String, String> {
    template(text).address(delivery).map(|uri| uri.to_string())
}

#[test]
fn values_stand_where_their_placeholders_are() {
    let delivery = delivery(r#"{"data":{"id":17.50,"tags":["a&b=c"]}}"#);
    let made = address("https://crm.example/v1/{topic}/{/data/id}.json?t={/data/tags/0}&s={source}", &delivery);
    assert_eq!(made.unwrap(), "https://crm.example/v1/acw/17.50.json?t=a%26b%3Dc&s=calls");
    assert_eq!(address("http://crm.example", &delivery).unwrap(), "http://crm.example/");
    assert_eq!(address("http://crm.example?id={conversation}", &delivery).unwrap(), "http://crm.example/?id=c-1");
}

#[test]
fn a_value_cannot_leave_its_segment() {
    for hostile in ["", ".", ".."] {
        let mut delivery = delivery("{}");
        delivery.conversation = Some(hostile.into());
        assert!(address("http://crm.example/a/{conversation}/b", &delivery).is_err(), "{hostile:?}");
    }
    let mut delivery = delivery("{}");
    delivery.conversation = Some(".".into());
    for text in ["http://h/%2e{conversation}", "http://h/%2E{conversation}", "http://h/.{conversation}/x"] {
        assert!(address(text, &delivery).is_err(), "{text}");
    }
    assert_eq!(address("http://h/a?c={conversation}", &delivery).unwrap(), "http://h/a?c=.");
    delivery.conversation = Some("%2e%2e/\\?#\r\nx".into());
    assert_eq!(address("http://h/{conversation}", &delivery).unwrap(), "http://h/%252e%252e%2F%5C%3F%23%0D%0Ax");
}

#[test]
fn a_missing_value_is_named() {
    let mut delivery = delivery(r#"{"a":null,"b":{},"c":[1]}"#);
    for (pointer, says) in [("/z", "nothing"), ("/a", "null"), ("/b", "object"), ("/c", "array"), ("/c/1", "nothing")] {
        let error = address(&format!("http://h/{{{pointer}}}"), &delivery).unwrap_err();
        assert!(error.contains(&format!("`{pointer}`")) && error.contains(says), "{error}");
    }
    delivery.conversation = None;
    assert!(address("http://h/{conversation}", &delivery).unwrap_err().contains("conversation"));
    delivery.payload = "not json".into();
    assert!(address("http://h/{/a}", &delivery).unwrap_err().contains("not JSON"));
}

#[test]
fn faulty_templates_are_refused_with_the_place() {
    for (text, says) in [
        ("crm.example/x", "https://host/path"),
        ("ftp://crm.example/", "scheme `ftp`"),
        ("https://{source}.crm.example/", "byte 8"),
        ("https://user:pw@crm.example/", "credentials"),
        ("https://crm.example/{id}", "`{id}` at byte 20"),
        ("https://crm.example/{/a~2}", "byte 20"),
        ("https://crm.example/{topic", "byte 20"),
        ("https://crm.example/topic}", "byte 25"),
        ("https://crm.example/#{topic}", "fragment"),
        ("https://crm.example/a b", "byte 21"),
        ("https://crm.example/a/../b", "segment `..`"),
        ("https://crm.example:port/", "not a URL"),
        ("https:///path", "not a URL"),
        ("https://crm.example/caf\u{e9}", "byte 23"),
    ] {
        let error = text.parse::<UrlTemplate>().unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    assert!("".parse::<UrlTemplate>().is_err());
}

#[test]
fn pointers() {
    let scalar = |pointer, json: &str| Pointer::parse(pointer).unwrap().scalar(json.as_bytes());
    assert_eq!(scalar("/a~1b/m~0n", r#"{"a/b":{"m~n":"x"}}"#).unwrap(), "x");
    assert_eq!(scalar("/", r#"{"":"empty key"}"#).unwrap(), "empty key");
    assert_eq!(scalar("/n", r#"{"n": 12345678901234567890.10 }"#).unwrap(), "12345678901234567890.10");
    assert_eq!(scalar("/s", r#"{"s":"\u00e4\n"}"#).unwrap(), "ä\n");
    assert_eq!(scalar("/d", r#"{"d":1,"d":2}"#).unwrap(), "2", "of repeated keys the last counts");
    assert!(scalar("/a/00", r#"{"a":["x"]}"#).is_err());
    assert!(scalar("/a/b", r#"{"a":"text"}"#).is_err());
    assert!(scalar("/a", r#"{"a":1} tail"#).is_err());
    assert!(scalar("/s", r#"{"s":"\ud800"}"#).is_err(), "a lone surrogate is no text");
    assert!(Pointer::parse("a").is_err() && Pointer::parse("/~").is_err());
    assert!(Pointer::parse(&"/a".repeat(33)).is_err());
}

#[test]
fn depth_beside_the_path_costs_no_stack() {
    let deep = format!(r#"{{"deep":{}{},"id":"x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Pointer::parse("/id").unwrap().scalar(deep.as_bytes()).unwrap(), "x");
    let deeper = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(Pointer::parse("/a/a").unwrap().scalar(deeper.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_value_comes_back_out_of_its_place(conversation in any::<String>(), topic in any::<String>()) {
        let mut delivery = delivery("{}");
        delivery.conversation = Some(conversation.as_str().into());
        delivery.topic = topic.as_str().into();
        let made = template("https://crm.example/v1/{conversation}/tail?t={topic}&u=1").address(&delivery);
        if matches!(conversation.as_str(), "" | "." | "..") {
            prop_assert!(made.is_err());
            return Ok(());
        }
        let url: Url = made.unwrap().to_string().parse().unwrap();
        prop_assert_eq!(url.host_str(), Some("crm.example"));
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 3);
        let decoded = percent_encoding::percent_decode_str(segments[1]).decode_utf8().unwrap();
        prop_assert_eq!(decoded, conversation);
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, [("t".to_owned(), topic), ("u".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn any_template_is_read_or_refused(text in "(https?://h)?[a-z{}/?#%.:@~\\\\ 0-9_]{0,40}") {
        if let Ok(template) = text.parse::<UrlTemplate>() {
            let _ = template.address(&delivery("{}"));
        }
    }

    #[test]
    fn any_payload_is_scanned(payload in any::<Vec<u8>>()) {
        let _ = Pointer::parse("/a/0").unwrap().scalar(&payload);
    }
}
