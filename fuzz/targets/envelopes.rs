//! EventBridge bodies: splitting never panics, and an event that is posted alone has the identity that it had in its
//! batch.
#![no_main]

use bytes::Bytes;
use event::{SourceKind, SplitSettings, Splitter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let splitter = Splitter::new(&SplitSettings::new(SourceKind::EventBridge));
    let Ok(events) = splitter.split(&Bytes::copy_from_slice(data)) else { return };
    for event in events {
        let alone = splitter.split(&event.body).expect("an event of a batch is an event");
        // An envelope may itself wrap another one; then posting it alone unwraps it.
        if let [alone] = &alone[..]
            && alone.body == event.body
        {
            assert_eq!(alone.id, event.id);
        }
    }
});
