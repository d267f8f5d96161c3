//! Webhook bodies: splitting never panics, every event's bytes are a piece of the body, and splitting twice gives the
//! same identities.
#![no_main]

use bytes::Bytes;
use event::{SourceKind, SplitSettings, Splitter, content_hash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let splitter = Splitter::new(&SplitSettings::new(SourceKind::Webhook));
    assert_eq!(content_hash(&body), content_hash(&body));
    let Ok(events) = splitter.split(&body) else { return };
    let range = body.as_ptr_range();
    for event in &events {
        let piece = event.body.as_ptr_range();
        assert!(range.start <= piece.start && piece.end <= range.end);
    }
    let again = splitter.split(&body).expect("splits again");
    assert!(events.iter().map(|event| event.id).eq(again.iter().map(|event| event.id)));
});
