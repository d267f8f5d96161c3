use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::secret::{Secret, SecretSource};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const BODY: &[u8] = br#"{"webhookEventId":"e-1"}"#;

fn keyring(scheme: &SignatureScheme, secrets: &[&str]) -> Keyring {
    let sources = secrets.iter().map(|secret| SecretSource::value((*secret).to_owned()));
    Keyring::load(sources, scheme.secrets, &|_| None).unwrap()
}

fn secret_for(scheme: &SignatureScheme) -> &'static str {
    if scheme.secrets == SecretFormat::Whsec { "whsec_c2VjcmV0LXNlY3JldA==" } else { "secret-secret" }
}

fn signed(scheme: &SignatureScheme, now: Timestamp) -> HeaderMap {
    let secret = Secret::parse(secret_for(scheme).as_bytes(), scheme.secrets).unwrap();
    scheme.sign(&secret, "msg_1", BODY, now).into_iter().collect()
}

fn verify(scheme: &SignatureScheme, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureFailure> {
    scheme.verify(headers, body, &keyring(scheme, &[secret_for(scheme)]), NOW)
}

fn presets() -> [SignatureScheme; 3] {
    ["genesys", "open-messaging", "standard-webhooks"].map(|name| SignatureScheme::preset(name).unwrap())
}

/// The values were made with `openssl dgst -sha256 -hmac secret-secret`, with `-binary | base64` for the last two.
#[test]
fn signatures_of_another_implementation_are_right() {
    let values = [
        "41fc525922e609559e318a1cf3091bda7fe24ae5ef2c22e609b7fc80b810e9f9",
        "sha256=QfxSWSLmCVWeMYoc8wkb2n/iSuXvLCLmCbf8gLgQ6fk=",
        "v1,+wf34CDwyKmNsh1M/OwZQKLHkjl7BSCVK7gBuJ5m0Fk=",
    ];
    for (scheme, value) in presets().into_iter().zip(values) {
        let headers = signed(&scheme, NOW);
        assert_eq!(headers[&scheme.header], value);
        assert_eq!(verify(&scheme, &headers, BODY), Ok(()));
    }
}

#[test]
fn every_preset_verifies_what_it_signs_and_nothing_else() {
    for scheme in presets() {
        let headers = signed(&scheme, NOW);
        assert_eq!(verify(&scheme, &headers, BODY), Ok(()));
        assert_eq!(verify(&scheme, &headers, b"{}"), Err(SignatureFailure::Mismatch));
        let other = keyring(&scheme, &[if scheme.list { "whsec_b3RoZXI=" } else { "other" }]);
        assert_eq!(scheme.verify(&headers, BODY, &other, NOW), Err(SignatureFailure::Mismatch));
    }
}

#[test]
fn any_key_of_the_ring_will_do() {
    let scheme = SignatureScheme::genesys();
    let ring = keyring(&scheme, &["first", "secret-secret", "third"]);
    assert_eq!(scheme.verify(&signed(&scheme, NOW), BODY, &ring, NOW), Ok(()));
    let used: Vec<bool> = ring.status().iter().map(|key| key.last_used.is_some()).collect();
    assert_eq!(used, [false, true, false]);
}

#[test]
fn hexadecimal_digits_and_prefixes_in_either_case() {
    let scheme = SignatureScheme::genesys();
    let mut headers = signed(&scheme, NOW);
    let upper = headers[&scheme.header].to_str().unwrap().to_ascii_uppercase();
    headers.insert(&scheme.header, upper.parse().unwrap());
    assert_eq!(verify(&scheme, &headers, BODY), Ok(()));

    let scheme = SignatureScheme::open_messaging();
    let mut headers = signed(&scheme, NOW);
    let value = headers[&scheme.header].to_str().unwrap().replace("sha256=", "SHA256=");
    headers.insert(&scheme.header, value.trim_end_matches('=').parse().unwrap());
    assert_eq!(verify(&scheme, &headers, BODY), Ok(()), "padding may be missing");
}

#[test]
fn a_missing_repeated_or_malformed_header_is_told_apart() {
    let scheme = SignatureScheme::genesys();
    let header = scheme.header.clone();
    let good = signed(&scheme, NOW)[&header].clone();
    let failure = |values: &[HeaderValue]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&header, value.clone());
        }
        verify(&scheme, &headers, BODY).unwrap_err()
    };
    assert_eq!(failure(&[]), SignatureFailure::Missing { header: header.clone() });
    let repeated = SignatureFailure::Repeated { header: header.clone() };
    assert_eq!(failure(&[good.clone(), good.clone()]), repeated);
    let text = good.to_str().unwrap();
    for bad in ["", "00", "zz", &text[1..], &format!("{text}00"), &format!("{text}, {text}"), &format!("sha256={text}")]
    {
        let malformed = SignatureFailure::Malformed { header: header.clone() };
        assert_eq!(failure(&[bad.parse().unwrap()]), malformed, "{bad}");
    }
}

#[test]
fn an_old_request_cannot_be_sent_again() {
    let scheme = SignatureScheme::standard_webhooks();
    let minutes = |n: u64| Duration::from_secs(n * 60);
    assert_eq!(verify(&scheme, &signed(&scheme, NOW.minus(minutes(5))), BODY), Ok(()));
    assert_eq!(verify(&scheme, &signed(&scheme, NOW.plus(minutes(5))), BODY), Ok(()));
    let old = verify(&scheme, &signed(&scheme, NOW.minus(minutes(6))), BODY);
    assert!(matches!(old, Err(SignatureFailure::TooOld { by, .. }) if by == minutes(6)));
    let ahead = verify(&scheme, &signed(&scheme, NOW.plus(minutes(6))), BODY);
    assert!(matches!(ahead, Err(SignatureFailure::TooNew { .. })));

    let mut moved = signed(&scheme, NOW.minus(minutes(6)));
    moved.insert("webhook-timestamp", HeaderValue::from(NOW.as_millis() / 1000));
    assert_eq!(verify(&scheme, &moved, BODY), Err(SignatureFailure::Mismatch), "the time is signed");
    for bad in ["", "-1", "1e9", " 1", "soon", "99999999999999999999"] {
        moved.insert("webhook-timestamp", bad.parse().unwrap());
        assert!(matches!(verify(&scheme, &moved, BODY), Err(SignatureFailure::Malformed { .. })), "{bad}");
    }
}

#[test]
fn one_right_signature_of_several_is_enough() {
    let scheme = SignatureScheme::standard_webhooks();
    let mut headers = signed(&scheme, NOW);
    let good = headers[&scheme.header].to_str().unwrap().to_owned();
    let wrong = format!("v1,{}", "A".repeat(43));
    headers.insert(&scheme.header, format!("v1a,xyz {wrong} {good}").parse().unwrap());
    assert_eq!(verify(&scheme, &headers, BODY), Ok(()));
    headers.insert(&scheme.header, format!("v1a,xyz {wrong}").parse().unwrap());
    assert_eq!(verify(&scheme, &headers, BODY), Err(SignatureFailure::Mismatch));
    headers.insert(&scheme.header, vec![wrong; MAX_SIGNATURES + 1].join(" ").parse().unwrap());
    assert!(matches!(verify(&scheme, &headers, BODY), Err(SignatureFailure::Malformed { .. })));
}

#[test]
fn free_settings_join_text_headers_and_body() {
    let mut scheme = SignatureScheme::of_body(HeaderName::from_static("x-sig"), "v0=", Encoding::Base64Url);
    scheme.content = "v0:{x-time}:{body}:end".parse().unwrap();
    scheme.timestamp =
        Some(SignedTime { header: HeaderName::from_static("x-time"), tolerance: Duration::from_secs(60) });
    assert_eq!(scheme.validate(), Ok(()));
    let headers = signed(&scheme, NOW);
    assert_eq!(verify(&scheme, &headers, BODY), Ok(()));

    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret-secret");
    let plain = [b"v0:1800000000:", BODY, b":end"].concat();
    let tag = aws_lc_rs::hmac::sign(&key, &plain);
    assert_eq!(headers["x-sig"], format!("v0={}", Encoding::Base64Url.encode(tag.as_ref())));

    scheme.content = SignedContent::body();
    assert!(matches!(scheme.validate(), Err(ContentError::TimeNotSigned { .. })));
}

#[test]
fn wrong_templates_are_refused() {
    let parse = |text: &str| text.parse::<SignedContent>();
    assert_eq!(parse("{body}"), Ok(SignedContent::body()));
    assert_eq!(parse("x"), Err(ContentError::Body { bodies: 0 }));
    assert_eq!(parse("{body}{body}"), Err(ContentError::Body { bodies: 2 }));
    assert!(matches!(parse("{body"), Err(ContentError::NotClosed { .. })));
    assert!(matches!(parse("{a b}{body}"), Err(ContentError::NoHeader { .. })));
}

proptest! {
    #[test]
    fn arbitrary_headers_are_refused_without_a_panic(
        signature in prop::collection::vec(any::<u8>(), 0..200),
        time in "[ -~]{0,20}",
        prefix in any::<bool>(),
    ) {
        for scheme in presets() {
            let mut headers = HeaderMap::new();
            let mut value = if prefix { scheme.prefix.clone().into_bytes() } else { Vec::new() };
            value.extend_from_slice(&signature);
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(&scheme.header, value);
            }
            headers.insert("webhook-id", HeaderValue::from_static("m"));
            if let Ok(time) = HeaderValue::from_str(&time) {
                headers.insert("webhook-timestamp", time);
            }
            prop_assert!(verify(&scheme, &headers, BODY).is_err());
        }
    }

    #[test]
    fn a_changed_bit_is_a_mismatch(at in 0usize..BODY.len() * 8) {
        let mut body = BODY.to_vec();
        body[at / 8] ^= 1 << (at % 8);
        for scheme in presets() {
            prop_assert_eq!(verify(&scheme, &signed(&scheme, NOW), &body), Err(SignatureFailure::Mismatch));
        }
    }
}
