//! A CRM that wants access tokens: every event arrives once, whatever becomes of the tokens.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulator::platform::{self, Platform};

use crate::delivery::load;
use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// Issues tokens, and knows which are valid.
fn platform(change: impl FnOnce(&mut platform::Options)) -> Arc<Platform> {
    let mut options = platform::Options::default();
    change(&mut options);
    Arc::new(Platform::start(options).unwrap())
}

/// A CRM that takes what comes with a valid token.
fn crm(platform: &Arc<Platform>) -> Recorder {
    let platform = Arc::clone(platform);
    Recorder::start(move |request| {
        let accepted = request.headers.get("authorization").is_some_and(|text| platform.accepts(text));
        if accepted { 200 } else { 401 }
    })
}

fn site(platform: &Platform, crm: &Recorder, oauth: &str, more: &str) -> Site {
    let site = Site::new(&format!(
        r#"
[destinations.crm]
kind = "http"
url = "http://{}/outcomes"
order = "none"
backoff = {{ base = "20ms", cap = "200ms" }}
{more}
[destinations.crm.auth.oauth]
token_url = "{}"
client_id = "{}"
client_secret = "file:client-secret"
{oauth}
[[routes]]
destination = "crm"
"#,
        crm.address,
        platform.token_url(),
        platform::CLIENT_ID,
    ));
    fs::write(site.path("client-secret"), platform::CLIENT_SECRET).unwrap();
    site
}

/// How many deliveries the CRM has taken, and how many of them twice.
fn taken(crm: &Recorder) -> (usize, usize) {
    let mut ids: Vec<_> =
        crm.answered(200).into_iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    (ids.len(), all - ids.len())
}

fn send(server: &Server, events: u64) {
    let report = load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (1, 10, Some(events / 10));
    });
    assert_eq!(report.accepted, events);
}

fn one(server: &Server, id: &str) {
    server.post(format!(r#"{{"webhookEventId":"{id}","conversationId":"c-{id}"}}"#));
}

/// No secret and no token may be in a log, whatever went wrong.
fn nothing_is_shown(site: &Site, crm: &Recorder) {
    let logs = site.logs();
    assert!(!logs.contains("platform-client-secret") && !logs.contains("panicked"), "{logs}");
    for request in crm.requests() {
        let token = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap();
        assert!(!logs.contains(token), "a token is in the log");
    }
}

#[test]
fn a_thousand_events_arrive_once_over_expiry_revocation_and_rotation() {
    let platform = platform(|options| options.token_lifetime = Duration::from_secs(2));
    let crm = crm(&platform);
    let site = site(&platform, &crm, "", "rate = { per_second = 250 }");
    let server = site.start();
    send(&server, 1_000);
    let delivered = |least: u64| {
        waiting::until_so("deliveries go on", || server.consumer("crm")["delivered"].as_u64() >= Some(least));
    };
    delivered(300);
    // Every token is refused from one moment to the next.
    platform.revoke_tokens();
    delivered(600);
    // The secret is rotated: the old one is worth nothing, and neither are its tokens.
    platform.allow(platform::CLIENT_ID, "platform-client-secret_1");
    platform.withdraw(platform::CLIENT_ID, platform::CLIENT_SECRET);
    fs::write(site.path("client-secret"), "platform-client-secret_1").unwrap();
    platform.revoke_tokens();
    server.until_settled("crm");

    assert_eq!((server.count("dead_letters"), &server.consumer("crm")["delivered"]), (0, &1_000.into()));
    assert_eq!(taken(&crm), (1_000, 0), "each event once");
    let report = platform.report();
    assert_eq!(report.malformed, Vec::<String>::new());
    // Four seconds of tokens that live two, and two revocations: not one for each of the hundreds that were refused.
    assert!((3..=30).contains(&report.token_requests), "{report:?}");
    nothing_is_shown(&site, &crm);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn many_deliveries_at_once_share_one_token() {
    let platform = platform(|_| {});
    let crm = crm(&platform);
    let site = site(&platform, &crm, "", "");
    let server = site.start();
    send(&server, 1_000);
    server.until_settled("crm");
    assert_eq!(taken(&crm), (1_000, 0));
    assert_eq!(crm.requests().len(), 1_000, "none was sent without a token");
    assert_eq!(platform.report().token_requests, 1);
}

#[test]
fn a_wrong_secret_holds_deliveries_until_it_is_mended_and_loses_none() {
    let platform = platform(|_| {});
    let crm = crm(&platform);
    let site = site(&platform, &crm, "", "attempts = 1");
    fs::write(site.path("client-secret"), "platform-client-secret_wrong").unwrap();
    let server = site.start();
    for number in 0..20 {
        one(&server, &format!("w-{number}"));
    }
    waiting::until_so("the wrong secret was refused", || platform.report().credentials_refused > 0);
    waiting::until_so("attempts failed", || {
        server.status()["destinations"][0]["health"]["failed_transient"].as_u64() > Some(5)
    });
    let shown = site.run(&["status", "--console", &server.console.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("invalid_client"), "it says why: {shown}");
    assert_eq!((server.count("dead_letters"), crm.requests().len()), (0, 0));

    fs::write(site.path("client-secret"), platform::CLIENT_SECRET).unwrap();
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), taken(&crm)), (0, (20, 0)));
    nothing_is_shown(&site, &crm);
}

#[test]
fn a_token_endpoint_that_is_down_or_limits_holds_deliveries_and_loses_none() {
    let platform = platform(|options| (options.token_limit, options.window) = (0, Duration::from_millis(100)));
    let crm = crm(&platform);
    let site = site(&platform, &crm, "", "attempts = 1");
    let server = site.start();
    platform.fail_tokens(Some(503));
    (0..10).for_each(|number| one(&server, &format!("d-{number}")));
    waiting::until_so("the endpoint was down", || platform.report().token_requests > 1);
    platform.fail_tokens(None);
    waiting::until_so("the endpoint has limited", || platform.report().token_requests_limited > 0);
    platform.set_token_limit(300);
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), taken(&crm)), (0, (10, 0)));
}

#[test]
fn a_crm_that_refuses_every_token_holds_deliveries_and_does_not_flood_the_endpoint() {
    let platform = platform(|_| {});
    let crm = Recorder::start(|_| 401);
    let site = site(&platform, &crm, "", "attempts = 1\nbreaker = { pause = \"50ms\" }");
    let server = site.start();
    for number in 0..50 {
        one(&server, &format!("r-{number}"));
    }
    waiting::until_so("attempts failed until the destination counts as down, and probes too", || {
        server.status()["destinations"][0]["health"]["failed_transient"].as_u64() > Some(21)
    });
    assert_eq!(server.count("dead_letters"), 0);
    let requests = platform.report().token_requests;
    assert!(requests < 10, "{requests} requests for tokens");
}

#[test]
fn servers_on_one_machine_share_a_token_in_a_file() {
    let platform = platform(|_| {});
    let crm = crm(&platform);
    let path = tempfile::tempdir().unwrap();
    let oauth = format!("cache_file = \"{}/token.json\"", path.path().display());
    let sites: Vec<_> = (0..2).map(|_| site(&platform, &crm, &oauth, "")).collect();
    let servers: Vec<_> = sites.iter().map(Site::start).collect();
    for (number, server) in servers.iter().enumerate() {
        one(server, &format!("s-{number}"));
    }
    servers.iter().for_each(|server| server.until_settled("crm"));
    assert_eq!(platform.report().token_requests, 1);
    let kept: Value = serde_json::from_slice(&fs::read(path.path().join("token.json")).unwrap()).unwrap();
    assert_eq!(kept["version"], 1);
}
