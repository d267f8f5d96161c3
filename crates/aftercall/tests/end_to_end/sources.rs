//! Every way in which a source can prove itself, and its limits, as configured in the file.

use simulator::sign::{Scheme, Signer};

use crate::client::Answer;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

/// A source for each way, and the file that gets everything.
fn every_way() -> Site {
    let sources = r#"
[sources.open-messaging]
auth = { signature = "open-messaging", secrets = ["file:hub"] }
[sources.standard]
auth = { signature = "standard-webhooks", secrets = ["file:standard"] }
[sources.own]
auth = { signature = { header = "x-own", prefix = "v1=", encoding = "base64url", signed_headers = ["x-when"], separator = "." }, secrets = ["file:hub"] }
[sources.key]
auth = { api_key = "x-api-key", secrets = ["file:hub"] }
[sources.basic]
auth = { basic = true, secrets = ["file:basic"] }
[sources.open]
auth = { open = true }
"#;
    let site = Site::new(&(sources.to_owned() + TO_FILE));
    std::fs::write(site.path("hub"), "hub-secret\n").unwrap();
    std::fs::write(site.path("standard"), "whsec_U29tbWVycmVnZW4tU29tbWVycmVnZW4=\n").unwrap();
    std::fs::write(site.path("basic"), "user:password\n").unwrap();
    site
}

fn post(server: &Server, source: &str, mut headers: Vec<(&'static str, String)>, body: &str) -> Answer {
    headers.push(("content-type", "application/json".to_owned()));
    server.client().post(&format!("/in/{source}"), &headers, body.as_bytes()).unwrap()
}

#[test]
fn send_proves_itself_to_every_source() {
    let site = every_way();
    let server = site.start();
    let url = format!("http://{}", server.intake);
    for source in ["genesys", "eventbridge", "open-messaging", "standard", "key", "basic", "open"] {
        std::fs::write(site.path("event.json"), format!(r#"{{"webhookEventId":"{source}"}}"#)).unwrap();
        let sent = site.run(&["send", "event.json", "--config", "aftercall.toml", "--source", source, "--url", &url]);
        assert_eq!(sent.status.code(), Some(0), "{source}: {sent:?}");
        let said = String::from_utf8_lossy(&sent.stdout).into_owned();
        assert_eq!(said, "1 request: 1 event accepted, 0 duplicates, 0 refused\n", "{source}");
    }
    assert_eq!(server.count("accepted"), 7);
}

#[test]
fn signatures_that_others_compute_are_good_and_wrong_ones_are_not() {
    let site = every_way();
    let server = site.start();
    let now = clock();
    let presets = [
        ("open-messaging", Scheme::OpenMessaging, "hub-secret"),
        ("standard", Scheme::StandardWebhooks, "whsec_U29tbWVycmVnZW4tU29tbWVycmVnZW4="),
    ];
    for (source, scheme, secret) in presets {
        let body = format!(r#"{{"webhookEventId":"{source}"}}"#);
        let signer = Signer::new(scheme, secret).unwrap();
        let headers = signer.headers(body.as_bytes(), "msg_1", now);
        assert_eq!(post(&server, source, headers.clone(), &body).counts(), (1, 0), "{source}");
        let other = body.replace(source, "something else");
        assert_eq!(post(&server, source, headers, &other).code(), "auth-mismatch", "{source}");
        assert_eq!(post(&server, source, Vec::new(), &body).code(), "auth-missing", "{source}");
    }
    let signer = Signer::new(presets[1].1, presets[1].2).unwrap();
    let old = signer.headers(b"{}", "msg_1", now - 3_600);
    assert_eq!(post(&server, "standard", old, "{}").code(), "auth-time");
    for (source, headers) in [
        ("key", vec![("x-api-key", "hub-secre".to_owned())]),
        ("key", vec![("x-api-key", String::new())]),
        ("basic", vec![("authorization", "Basic dXNlcjpwYXNzd29yRA==".to_owned())]),
        ("basic", vec![("authorization", "Bearer user:password".to_owned())]),
        ("own", vec![("x-own", "v1=AAAA".to_owned()), ("x-when", "1".to_owned())]),
    ] {
        assert_eq!(post(&server, source, headers.clone(), "{}").status, 401, "{source} {headers:?}");
    }
    assert_eq!(server.count("accepted"), 2);
}

/// The time, in seconds, as a file that was just written tells it.
fn clock() -> i64 {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().unwrap().metadata().unwrap().mtime()
}

#[test]
fn a_source_has_its_own_limits() {
    let sources = r#"
[sources.far]
auth = { open = true }
allow = ["192.0.2.0/24"]
[sources.near]
auth = { open = true }
allow = ["127.0.0.1"]
max_body = "1KiB"
max_events_per_body = 3
max_requests_per_second = 5
"#;
    let site = Site::new(&(sources.to_owned() + TO_FILE));
    let server = site.start();
    let refused = post(&server, "far", Vec::new(), "{}");
    assert_eq!((refused.status, refused.code().as_str()), (403, "address-not-allowed"));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(2_000));
    assert_eq!(post(&server, "near", Vec::new(), &large).code(), "body-too-large");
    let many = post(&server, "near", Vec::new(), "[{},{},{},{}]").json();
    assert_eq!((&many["accepted"], many["dead_letters"].as_array().unwrap().len()), (&0.into(), 1), "{many}");
    let limited = waiting::until("the rate is limited", || {
        let answer = post(&server, "near", Vec::new(), "{}");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((limited.status, limited.code().as_str()), (429, "rate-limited"));
    assert!(limited.headers["retry-after"].parse::<u64>().unwrap() >= 1);
    assert_eq!(post(&server, "genesys", Vec::new(), "{}").status, 401, "others are not limited");
}
