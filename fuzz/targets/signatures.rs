//! Signature headers: lines of `name: value`, an empty line, the body. Verification never panics, and nothing that was
//! not signed with the key is taken for good.
#![no_main]

use std::sync::OnceLock;

use event::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake::{Keyring, Secret, SecretSource, SignatureScheme};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    let now = Timestamp::from_millis(1_773_957_888_000);
    for (scheme, secret, keyring) in schemes() {
        let _ = Secret::parse(data, scheme.secrets);
        assert!(scheme.verify(&headers, body, keyring, now).is_err());
        let own: HeaderMap = scheme.sign(secret, "msg_1", body, now).into_iter().collect();
        assert!(scheme.verify(&own, body, keyring, now).is_ok());
    }
});

/// The presets, each with a secret that the fuzzer does not know.
fn schemes() -> &'static [(SignatureScheme, Secret, Keyring)] {
    static SCHEMES: OnceLock<Vec<(SignatureScheme, Secret, Keyring)>> = OnceLock::new();
    SCHEMES.get_or_init(|| {
        let presets = [
            ("genesys", "a secret that nobody guesses"),
            ("open-messaging", "another that nobody guesses"),
            ("standard-webhooks", "whsec_YSBzZWNyZXQgdGhhdCBub2JvZHkgZ3Vlc3Nlcw=="),
        ];
        let make = |(preset, text): (&str, &str)| {
            let scheme = SignatureScheme::preset(preset).expect("a preset");
            let secret = Secret::parse(text.as_bytes(), scheme.secrets).expect("a secret");
            let sources = [SecretSource::value(text.to_owned())];
            let keyring = Keyring::load(sources, scheme.secrets, &|_| None).expect("a keyring");
            (scheme, secret, keyring)
        };
        presets.into_iter().map(make).collect()
    })
}
