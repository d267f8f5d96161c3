use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::*;
use crate::Uuid;

const CONVERSATION: &str = "11111111-1111-4111-8111-111111111111";
const LEG: &str = "22222222-2222-4222-8222-222222222222";

/// Status, head and body of an answer to a request that is written by hand.
fn ask(platform: &Platform, line: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(platform.address()).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

const FORM: &str = "content-type: application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";

fn token(platform: &Platform) -> String {
    let (status, _, body) = ask(platform, "POST /oauth/token", &[FORM, &basic(CLIENT_ID, CLIENT_SECRET)], GRANT);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"bearer".into(), &86_399.into()));
    format!("authorization: Bearer {}", body["access_token"].as_str().unwrap())
}

fn platform(change: impl FnOnce(&mut Options)) -> Platform {
    let mut options = Options::default();
    change(&mut options);
    let platform = Platform::start(options).unwrap();
    let transcript = Transcript { bytes: 200_000, after_requests: 2, after: Duration::ZERO, recordings: 1 };
    platform.add(Conversation {
        id: CONVERSATION.into(),
        communications: vec![Communication { id: LEG.into(), recorded: true, transcript: Some(transcript) }],
    });
    platform
}

#[test]
fn credentials_are_checked_and_malformed_requests_are_written_down() {
    let platform = platform(|_| {});
    let good = basic(CLIENT_ID, CLIENT_SECRET);
    let form_secret = format!("{GRANT}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}");
    let refused = [
        ("GET /oauth/token", vec![FORM, good.as_str()], GRANT, 400),
        ("POST /oauth/token?x=y", vec![FORM, &good], GRANT, 400),
        ("POST /oauth/token", vec![good.as_str()], GRANT, 400),
        ("POST /oauth/token", vec![FORM], GRANT, 400),
        ("POST /oauth/token", vec![FORM, "authorization: Bearer x"], GRANT, 400),
        ("POST /oauth/token", vec![FORM, &good, &good], GRANT, 400),
        ("POST /oauth/token", vec![FORM, &good], "", 400),
        ("POST /oauth/token", vec![FORM, &good], "grant_type=password", 400),
        ("POST /oauth/token", vec![FORM, &good], "grant_type=client_credentials&grant_type=client_credentials", 400),
        ("POST /oauth/token", vec![FORM, &good], "grant_type=client%ZZcredentials", 400),
        ("POST /oauth/token", vec![FORM], &form_secret, 400),
        ("POST /oauth/token", vec![FORM, &good], &form_secret, 400),
    ];
    for (line, headers, body, expected) in &refused {
        let (status, _, answer) = ask(&platform, line, headers, body);
        assert_eq!(status, *expected, "{line} {body}: {answer}");
        assert!(answer.contains("invalid_request"), "{answer}");
    }
    let report = platform.report();
    assert_eq!((report.malformed.len(), report.malformed_count), (refused.len(), refused.len() as u64));
    let wrong = basic(CLIENT_ID, "wrong");
    let (status, _, answer) = ask(&platform, "POST /oauth/token", &[FORM, &wrong], GRANT);
    assert!(status == 401 && answer.contains("invalid_client"), "{answer}");
    token(&platform);
    let report = platform.report();
    assert_eq!((report.tokens_issued, report.credentials_refused), (1, 1));
    assert_eq!(report.token_requests, refused.len() as u64 + 2);
}

#[test]
fn several_secrets_are_valid_in_a_rotation() {
    let platform = platform(|_| {});
    let status = |secret: &str| ask(&platform, "POST /oauth/token", &[FORM, &basic(CLIENT_ID, secret)], GRANT).0;
    assert_eq!((status(CLIENT_SECRET), status("second:one")), (200, 401));
    platform.allow(CLIENT_ID, "second:one");
    assert_eq!((status(CLIENT_SECRET), status("second%3Aone")), (200, 200));
    platform.withdraw(CLIENT_ID, CLIENT_SECRET);
    assert_eq!((status(CLIENT_SECRET), status("second:one")), (401, 200));
}

#[test]
fn too_many_requests_for_tokens_get_400_as_from_the_real_one() {
    let platform = platform(|options| options.token_limit = 1);
    token(&platform);
    let (status, head, body) = ask(&platform, "POST /oauth/token", &[FORM, &basic(CLIENT_ID, CLIENT_SECRET)], GRANT);
    assert_eq!(status, 400);
    assert!(body.contains("rate limit exceeded") && !head.to_lowercase().contains("retry-after"), "{head} {body}");
    assert_eq!(platform.report().token_requests_limited, 1);
}

#[test]
fn the_api_wants_a_valid_token_and_tells_its_limits() {
    let platform = platform(|_| {});
    let path = format!("GET /api/v2/speechandtextanalytics/conversations/{CONVERSATION}");
    let bearer = token(&platform);
    let (status, head, body) = ask(&platform, &path, &[&bearer], "");
    assert_eq!(status, 200, "{body}");
    for part in ["inin-ratelimit-count: 1", "inin-ratelimit-allowed: 300", "inin-ratelimit-reset: 60"] {
        assert!(head.contains(part), "{head}");
    }
    assert!(head.contains("inin-correlation-id"), "{head}");
    assert_eq!(ask(&platform, &path, &[], "").0, 400);
    assert_eq!(ask(&platform, &path, &["authorization: Bearer made-up"], "").0, 401);
    assert_eq!(ask(&platform, "GET /api/v2/nothing", &[&bearer], "").0, 400);
    assert_eq!(ask(&platform, "GET /api/v2/conversations/no-id", &[&bearer], "").0, 400);
    assert_eq!(ask(&platform, &path.replace("1111-4111", "1111-4000"), &[&bearer], "").0, 404);
    platform.revoke_tokens();
    let (status, head, body) = ask(&platform, &path, &[&bearer], "");
    assert!(status == 401 && body.contains("bad.credentials") && head.contains("inin-ratelimit-count: 7"), "{head}");
    assert_eq!((platform.report().unauthorised, platform.report().malformed_count), (2, 3));
}

#[test]
fn the_limit_of_the_api_answers_429_with_a_time() {
    let platform = platform(|options| options.api_limit = 2);
    let bearer = token(&platform);
    let statuses: Vec<u16> = (0..3).map(|_| ask(&platform, "GET /api/v2/tokens/me", &[&bearer], "").0).collect();
    assert_eq!(statuses, [200, 200, 429]);
    let (_, head, body) = ask(&platform, "GET /api/v2/tokens/me", &[&bearer], "");
    assert!(head.contains("retry-after: ") && body.contains("too.many.requests"), "{head} {body}");
}

#[test]
fn a_late_transcript_is_behind_an_address_that_takes_no_token() {
    let platform = platform(|_| {});
    let bearer = token(&platform);
    let base = format!("GET /api/v2/speechandtextanalytics/conversations/{CONVERSATION}/communications/{LEG}");
    assert_eq!(ask(&platform, &format!("{base}/transcripturl"), &[&bearer], "").0, 404);
    assert_eq!(ask(&platform, &format!("{base}/transcripturls"), &[&bearer], "").0, 404);
    let (status, _, body) = ask(&platform, &format!("{base}/transcripturl"), &[&bearer], "");
    assert_eq!(status, 200, "the third time");
    let body: Value = serde_json::from_str(&body).unwrap();
    let path = body["url"].as_str().unwrap().split_once(&platform.address().to_string()).unwrap().1.to_owned();
    assert_eq!(ask(&platform, &format!("GET {path}"), &[&bearer], "").0, 400);
    assert_eq!(ask(&platform, &format!("GET {path}0"), &[], "").0, 403);
    let (status, _, body) = ask(&platform, &format!("GET {path}"), &[], "");
    assert_eq!((status, body.len()), (200, 200_000));
    let transcript: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(transcript["communicationId"], LEG);
    assert_eq!((platform.report().downloads, platform.report().malformed_count), (1, 2));
}

#[test]
fn an_address_of_a_transcript_ends() {
    let platform = platform(|options| options.url_lifetime = Duration::ZERO);
    let bearer = token(&platform);
    let path = format!("GET /api/v2/speechandtextanalytics/conversations/{CONVERSATION}/communications/{LEG}");
    let asked = || ask(&platform, &format!("{path}/transcripturls"), &[&bearer], "").2;
    let [_, _, urls] = [asked(), asked(), asked()];
    let urls: Value = serde_json::from_str(&urls).unwrap();
    let url = urls["urls"][0]["url"].as_str().unwrap();
    let path = url.split_once(&platform.address().to_string()).unwrap().1;
    let (status, _, body) = ask(&platform, &format!("GET {path}"), &[], "");
    assert!(status == 403 && body.contains("expired"), "{body}");
}

#[test]
fn a_token_ends() {
    let platform = platform(|options| options.token_lifetime = Duration::ZERO);
    let (_, _, body) = ask(&platform, "POST /oauth/token", &[FORM, &basic(CLIENT_ID, CLIENT_SECRET)], GRANT);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(!platform.accepts(&format!("Bearer {}", body["access_token"].as_str().unwrap())));
}

#[test]
fn ids_are_uuids() {
    assert!(CLIENT_ID.parse::<Uuid>().is_ok() && CONVERSATION.parse::<Uuid>().is_ok());
}
