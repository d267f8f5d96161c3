//! Event patterns and events, a zero byte between them: neither parsing nor matching panics, and the set that is
//! compiled for speed agrees with the explanation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use routing::{MatchScratch, Pattern, PatternSet};

fuzz_target!(|data: &[u8]| {
    let split = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (pattern, event) = (&data[..split], data.get(split + 1..).unwrap_or_default());
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let Ok(pattern) = Pattern::parse(pattern) else { return };
    let explained = pattern.explain(event);
    let set = PatternSet::new(vec![pattern]);
    let mut scratch = MatchScratch::default();
    let matched = set.matches(event, &mut scratch);
    assert_eq!(matched.is_ok(), explained.is_ok());
    if let (Ok(matched), Ok(explained)) = (matched, explained) {
        assert_eq!(matched.contains(0), explained.is_match());
    }
});
