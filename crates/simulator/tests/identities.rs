//! What the contact centre calls the same event, the `event` crate must call the same, and nothing else.
//!
//! Without that, a run that counts doubles and losses by tags would count something else than the product promises.

use std::collections::HashMap;

use event::{EventId, SourceKind, SplitSettings, Splitter, content_hash};
use simulator::Tag;
use simulator::contact_centre::{ContactCentre, Knobs, Source};

#[test]
fn tags_and_identities_agree() {
    let webhooks = Splitter::new(&SplitSettings::new(SourceKind::Webhook));
    let envelopes = Splitter::new(&SplitSettings::new(SourceKind::EventBridge));
    let knobs = Knobs { events: 5_000, duplicated: 0.2, batched: 0.3, odd: 0.3, wrapped: 0.3, ..Knobs::default() };
    let mut by_tag: HashMap<Tag, (EventId, [u8; 16])> = HashMap::new();
    let mut by_id: HashMap<EventId, Tag> = HashMap::new();
    for request in ContactCentre::new(knobs).unwrap() {
        let splitter = if request.source == Source::Genesys { &webhooks } else { &envelopes };
        let events = splitter.split(&request.body).unwrap();
        assert_eq!(events.len(), request.events.len());
        for (event, &tag) in events.iter().zip(&request.events) {
            assert_eq!(Tag::find_in(&event.body), Some(tag), "an event's own bytes carry its tag");
            assert_eq!(event.conversation.as_deref(), Some(tag.conversation().to_string().as_str()));
            assert!(event.topic.contains("conversation"), "{}", event.topic);
            let known = (event.id, content_hash(&event.body));
            assert_eq!(*by_tag.entry(tag).or_insert(known), known, "{tag} keeps its identity and content");
            assert_eq!(*by_id.entry(event.id).or_insert(tag), tag, "{} names one event only", event.id);
        }
    }
    assert_eq!((by_tag.len(), by_id.len()), (5_000, 5_000));
}
