//! A body that is split as a stream becomes the same events as one in memory.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::json::Pointer;

/// A body in memory, read back in pieces of any size.
struct Kept<'a>(&'a [u8]);

impl Stored for Kept<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(usize::try_from(at).unwrap()..).unwrap_or_default();
        let read = rest.len().min(into.len()).min(7);
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

fn limits(window: usize) -> LargeLimits {
    LargeLimits { window, events: 3, ..LargeLimits::default() }
}

fn body_error(error: LargeError) -> BodyError {
    match error {
        LargeError::Body(error) => error,
        LargeError::Read(error) => panic!("{error}"),
    }
}

/// What a body becomes as a stream; `None` if it is not one for it.
fn streamed(splitter: &Splitter, body: &[u8], window: usize) -> Option<Result<Vec<NewEvent>, BodyError>> {
    let mut outline = match splitter.outline(Kept(body), limits(window)).map_err(body_error) {
        Err(BodyError::NoLargeBatch { .. }) => return None,
        Err(error) => return Some(Err(error)),
        Ok(outline) => outline,
    };
    let (expected, keys) = (outline.events(), outline.take_conversations().to_vec());
    let mut portions = splitter.portions(Kept(body), outline, [7; 32], limits(window));
    let mut events = Vec::new();
    while let Some(more) = portions.next_events().expect("what was passed can be split") {
        assert!(!more.is_empty());
        events.extend(more);
    }
    assert_eq!(events.len(), expected);
    let mut belong: Vec<u64> =
        events.iter().filter_map(|event| event.conversation.as_deref()).map(conversation_key).collect();
    belong.sort_unstable();
    belong.dedup();
    assert_eq!(keys, belong);
    Some(Ok(events))
}

/// Compares both ways.
fn alike(splitter: &Splitter, body: &[u8], window: usize) -> Result<(), TestCaseError> {
    let whole = splitter.split(&Bytes::copy_from_slice(body));
    match streamed(splitter, body, window) {
        None => {
            let small = whole.as_ref().map_or(true, |events| events.len() == 1);
            let payload = matches!(whole, Err(BodyError::PayloadNotAnEvent { .. }));
            prop_assert!(small || payload, "no batch for a stream, but {:?}", whole);
        }
        Some(Err(error)) => {
            let expected = whole.expect_err("the stream has refused it");
            // Of several things that are wrong, another may be found first.
            let other = matches!(expected, BodyError::NotUtf8 { .. })
                || matches!(error, BodyError::Syntax { .. } | BodyError::NotUtf8 { .. });
            prop_assert!(error == expected || other, "{} but {}", error, expected);
        }
        Some(Ok(events)) => {
            let whole = whole.expect("the stream has taken it");
            prop_assert_eq!(events.len(), whole.len());
            for (event, expected) in events.iter().zip(&whole) {
                prop_assert_eq!((&event.body, &event.topic), (&expected.body, &expected.topic));
                prop_assert_eq!(&event.conversation, &expected.conversation);
            }
        }
    }
    Ok(())
}

fn splitters() -> Vec<Splitter> {
    let at = |text: &str| Batch::At(text.parse().unwrap());
    let webhook = SplitSettings::new(SourceKind::Webhook);
    let settings = [
        SplitSettings { max_events_per_body: 9, ..webhook.clone() },
        SplitSettings { max_events_per_body: 4, ..SplitSettings::new(SourceKind::EventBridge) },
        SplitSettings { batch: at("/a/b"), ..webhook.clone() },
        SplitSettings { batch: at("/a/1/b"), ..webhook.clone() },
        SplitSettings { batch: at(""), ..webhook.clone() },
        SplitSettings { batch: Batch::Never, ..webhook.clone() },
        SplitSettings { topic: vec!["/data/1/t".parse::<Pointer>().unwrap()], ..webhook },
    ];
    settings.iter().map(Splitter::new).collect()
}

/// Text that often is a batch, and often is nearly one.
fn text() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        6 => Just("{}".to_owned()),
        4 => "[a-d]{1,9}".prop_map(|name| format!(r#"{{"webhookEventId":"{name}", "t":"{name}"}}"#)),
        2 => "[é😀\\\\]{0,3}".prop_map(|name| format!("{{\"conversationId\":\"{}\"}}", name.replace('\\', "\\u00e9"))),
        2 => Just(r#"{"detail-type":"v2.x","detail":{"eventBody":{"id":"1"}}}"#.to_owned()),
        2 => Just(r#"{"requestPayload":[{},{"a":1.50}]}"#.to_owned()),
        1 => Just(r#"{"requestPayload":{"a":[]}}"#.to_owned()),
        1 => Just("17".to_owned()),
        1 => Just("[true,null]".to_owned()),
        1 => Just("{\"a\":tru}".to_owned()),
        1 => Just("\n \t".to_owned()),
    ];
    let array = (prop::collection::vec(item, 0..8), "[ \n]{0,3}")
        .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},"))));
    let member = ("(data|a|b|requestPayload|detail-type|webhookEventId|eventType|d\\\\u0061ta)", array.clone());
    let object = |inner: BoxedStrategy<String>| {
        prop::collection::vec(("(data|a|b|requestPayload|detail-type|eventType)", inner), 0..4).prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    };
    let value = prop_oneof![4 => array.clone(), 1 => Just("\"w-1\"".to_owned()), 1 => Just("-12.5e3".to_owned())];
    let flat = object(value.clone().boxed());
    let nested =
        object(prop_oneof![flat.clone(), value.clone(), flat.clone().prop_map(|o| format!("[1,{o},2]"))].boxed());
    let odd = member.prop_map(|(name, value)| format!("{{\"webhookEventId\":5,\"{name}\":{value}, \"z\":[[]]}}"));
    let whole = prop_oneof![3 => array, 3 => flat, 3 => nested, 3 => odd, 1 => value];
    (whole, prop::sample::select(vec!["", " ", "\n\n", "\u{feff}", "x", "]"])).prop_map(|(text, end)| match end {
        "\u{feff}" => format!("{end}{text}"),
        end => text + end,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_stream_becomes_the_same_events(text in text(), window in 1_usize..80) {
        for splitter in splitters() {
            alike(&splitter, text.as_bytes(), window)?;
        }
    }

    #[test]
    fn a_damaged_stream_is_judged_alike(text in text(), at in any::<prop::sample::Index>(), byte in any::<u8>(), window in 1_usize..80) {
        let mut bytes = text.into_bytes();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for splitter in splitters() {
            alike(&splitter, &bytes, window)?;
        }
    }

    #[test]
    fn any_bytes_as_a_stream_get_an_answer(body in prop::collection::vec(any::<u8>(), 0..64), window in 1_usize..40) {
        for splitter in splitters() {
            alike(&splitter, &body, window)?;
        }
    }
}

fn webhook() -> Splitter {
    Splitter::new(&SplitSettings::new(SourceKind::Webhook))
}

#[test]
fn stated_ids_are_the_same_and_unstated_ones_go_by_the_bytes() {
    let stated = br#"{"webhookEventId":"w","data":[{"a":1},{"webhookEventId":"i"},{"a":1}]}"#;
    let whole = webhook().split(&Bytes::from_static(stated)).unwrap();
    assert_eq!(streamed(&webhook(), stated, 5).unwrap().unwrap(), whole);
    let unstated = br#"[{"a":1},{"webhookEventId":"i"},{"a":1}]"#;
    let whole = webhook().split(&Bytes::from_static(unstated)).unwrap();
    let events = streamed(&webhook(), unstated, 5).unwrap().unwrap();
    assert_eq!(events[1], whole[1]);
    assert_ne!(events[0].id, whole[0].id);
    assert_ne!(events[0].id, events[2].id, "equal items in different places");
    assert_eq!(events, streamed(&webhook(), unstated, 500).unwrap().unwrap(), "however it is read");
}

#[test]
fn pieces_have_a_limit() {
    let limits = LargeLimits { window: 16, piece: 64, around: 40, events: 3 };
    let outline = |body: &str| webhook().outline(Kept(body.as_bytes()), limits).map_err(body_error);
    let item = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
    let items = vec![item(40); 20].join(",");
    assert_eq!(outline(&format!("[{items}]")).unwrap().events(), 20);
    assert_eq!(
        outline(&format!("[{items},{}]", item(100))),
        Err(BodyError::PieceTooLarge { max: 64, offset: 1 + 41 * 20 })
    );
    let alone = Err(BodyError::NoLargeBatch { max: 64, around: 40 });
    assert_eq!(outline(&format!("{{\"data\":[{items}]}}")).unwrap().events(), 20);
    assert_eq!(outline(&format!("{{\"b\":{},\"data\":[{items}]}}", item(40))), alone);
    assert_eq!(outline(r#"{"data":[]}"#), alone);
    assert_eq!(outline(r#"{"a":1}"#), alone);
}

#[test]
fn a_fault_at_the_very_end_is_found_and_placed() {
    let items = vec!["{\"a\":\"é\"}"; 500].join(",\n");
    let body = format!("[{items}");
    let error = streamed(&webhook(), body.as_bytes(), 64).unwrap().unwrap_err();
    assert_eq!(error, webhook().split(&Bytes::from(body)).unwrap_err());
    assert!(matches!(error, BodyError::Syntax { line: 500, column: 10, .. }), "{error}");
}
