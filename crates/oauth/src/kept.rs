//! What stands in a cache file, and whether it can be trusted; pure.
//!
//! Version 1 is one JSON object. Nothing in it is a secret but the token: whose it is says the endpoint, the client's id
//! and what was asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Options;
use crate::answer::Grant;
use crate::limits::LIFETIME_MAX;
use crate::state::ahead;
use crate::token::TokenText;

/// The version that this code writes and reads.
const VERSION: u32 = 1;
/// A token that was issued later than now by more than this is not believed: the clock was set, or the file is made up.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    whose: String,
    access_token: String,
    /// Milliseconds of Unix time.
    issued_ms: u64,
    lifetime_ms: u64,
}

/// The version alone: of other versions nothing else is known.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What a file is good for.
#[derive(Debug)]
pub(crate) enum Found {
    /// A token that need not be renewed yet.
    Token(Grant),
    /// Nothing; it may be written over.
    Nothing(&'static str),
    /// It was written by another version of this program and is left alone.
    Foreign,
}

/// Whose tokens these are: what differs for two sets of settings that must not share one.
pub(crate) fn whose(options: &Options) -> String {
    let Options { token_url, client_id, scope, audience, parameters, .. } = options;
    serde_json::json!([token_url.as_str(), client_id, scope, audience, parameters]).to_string()
}

/// Reads the text of a file; `now` is in milliseconds of Unix time.
pub(crate) fn read(text: &[u8], whose: &str, now: u64) -> Found {
    match serde_json::from_slice(text) {
        Ok(Version { version: VERSION }) => {}
        Ok(_) => return Found::Foreign,
        Err(_) => return Found::Nothing("it is damaged"),
    }
    let Ok(kept) = serde_json::from_slice::<Kept>(text) else { return Found::Nothing("it is damaged") };
    if kept.whose != whose {
        return Found::Nothing("it holds the token of other credentials");
    }
    let Some(token) = TokenText::new(&kept.access_token) else { return Found::Nothing("it is damaged") };
    let lifetime = Duration::from_millis(kept.lifetime_ms);
    let not_yet = Duration::from_millis(kept.issued_ms.saturating_sub(now));
    if lifetime > LIFETIME_MAX || not_yet > CLOCK_SLACK {
        return Found::Nothing("it cannot be true");
    }
    let age = Duration::from_millis(now.saturating_sub(kept.issued_ms));
    if age + ahead(lifetime) >= lifetime {
        return Found::Nothing("its token ends soon");
    }
    Found::Token(Grant { text: token, lifetime, age })
}

/// The text of a file with this token; `now` as in [`read`].
pub(crate) fn write(grant: &Grant, whose: &str, now: u64) -> Vec<u8> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let kept = Kept {
        version: VERSION,
        whose: whose.to_owned(),
        access_token: grant.text.as_str().to_owned(),
        issued_ms: now.saturating_sub(millis(grant.age)),
        lifetime_ms: millis(grant.lifetime),
    };
    // Numbers and texts always have a JSON form.
    serde_json::to_vec(&kept).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn grant(lifetime_ms: u64, age_ms: u64) -> Grant {
        Grant {
            text: TokenText::new("t0ken").unwrap(),
            lifetime: Duration::from_millis(lifetime_ms),
            age: Duration::from_millis(age_ms),
        }
    }

    fn nothing(text: &str) -> &'static str {
        match read(text.as_bytes(), "me", NOW) {
            Found::Nothing(why) => why,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_file_of_version_1_stays_readable() {
        let text =
            r#"{"version":1,"whose":"me","access_token":"t0ken","issued_ms":1799999990000,"lifetime_ms":300000}"#;
        match read(text.as_bytes(), "me", NOW) {
            Found::Token(grant) => {
                assert_eq!((grant.text.as_str(), grant.lifetime.as_secs(), grant.age.as_secs()), ("t0ken", 300, 10));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(String::from_utf8(write(&grant(300_000, 10_000), "me", NOW)).unwrap(), text);
    }

    #[test]
    fn what_is_expired_malformed_or_anothers_is_not_trusted() {
        let with = |whose: &str, token: &str, issued: u64, lifetime: u64| {
            serde_json::json!({"version": 1, "whose": whose, "access_token": token, "issued_ms": issued,
                "lifetime_ms": lifetime})
            .to_string()
        };
        assert_eq!(nothing(""), "it is damaged");
        assert_eq!(nothing(r#"{"version":1}"#), "it is damaged");
        assert_eq!(nothing(&with("me", "a b", NOW, 300_000)), "it is damaged");
        assert_eq!(nothing(&with("other", "t", NOW, 300_000)), "it holds the token of other credentials");
        assert_eq!(nothing(&with("me", "t", NOW - 300_000, 300_000)), "its token ends soon");
        assert_eq!(nothing(&with("me", "t", NOW - 226_000, 300_000)), "its token ends soon");
        assert_eq!(nothing(&with("me", "t", NOW + 61_000, 300_000)), "it cannot be true");
        assert_eq!(nothing(&with("me", "t", NOW, u64::MAX)), "it cannot be true");
        assert_eq!(nothing(&with("me", "t", u64::MAX, 300_000)), "it cannot be true");
        assert!(matches!(read(br#"{"version":2,"token":{}}"#, "me", NOW), Found::Foreign));
    }

    #[test]
    fn settings_that_ask_for_other_tokens_do_not_share_one() {
        let options = Options::new("https://a.b/token", "id", outbound::Secret::fixed("hunter2")).unwrap();
        let mut other = options.clone();
        other.scope = Some("read".into());
        assert_ne!(whose(&options), whose(&other));
        assert!(!whose(&options).contains("hunter2"));
    }

    proptest! {
        /// What is written is read back as long as it lives, and not a moment longer; damage is never a token's.
        #[test]
        fn only_what_is_whole_and_in_its_time_is_believed(
            lifetime in 1_000u64..1_000_000_000,
            later in 0u64..2_000_000_000,
            cut in 0usize..200,
        ) {
            let text = write(&grant(lifetime, 0), "me", NOW);
            let found = read(&text, "me", NOW + later);
            let in_its_time = Duration::from_millis(later) + ahead(Duration::from_millis(lifetime))
                < Duration::from_millis(lifetime);
            prop_assert_eq!(matches!(found, Found::Token(_)), in_its_time);
            if cut < text.len() {
                prop_assert!(matches!(read(&text[..cut], "me", NOW), Found::Nothing(_)));
            }
        }
    }
}
