//! `aftercall genesys check`: whether the credentials work, and what is said if they do not.

use std::fs;

use serde_json::Value;
use simulator::platform::{self, Platform};

use crate::site::Site;

/// A site whose [genesys] is what `table` says; its secret is in a file.
fn site(table: &str) -> Site {
    let site = Site::with_head(
        &format!(
            "[genesys]\nclient_id = \"{}\"\nclient_secret = \"file:client-secret\"\n{table}\n",
            platform::CLIENT_ID
        ),
        crate::site::TO_FILE,
    );
    fs::write(site.path("client-secret"), platform::CLIENT_SECRET).unwrap();
    site
}

fn at(address: std::net::SocketAddr) -> String {
    format!("region = \"eu-central-1\"\nlogin_url = \"http://{address}\"\napi_url = \"http://{address}\"")
}

fn start(change: impl FnOnce(&mut platform::Options)) -> Platform {
    let mut options = platform::Options::default();
    change(&mut options);
    Platform::start(options).unwrap()
}

/// What the command said, on both ways.
#[track_caller]
fn check(site: &Site, args: &[&str], code: i32) -> String {
    let output = site.run(&[&["genesys", "check", "--config", "aftercall.toml"], args].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("platform-client-secret") && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn credentials_that_work_are_told_with_all_that_is_known_of_them() {
    let platform = start(|_| {});
    let site = site(&at(platform.address()));
    let said = check(&site, &[], 0);
    for part in [
        "eu-central-1 (mypurecloud.de)",
        "valid for 23h 59m",
        "Example Organisation (9d1c5bb0",
        "aftercall (5f0c7a52",
        "analytics:readonly, speech-and-text-analytics:readonly",
        "1 of 300 in this window, which ends in 60 s",
    ] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
    let told: Value = serde_json::from_str(&check(&site, &["--json"], 0)).unwrap();
    assert_eq!((&told["region"]["domain"], &told["requests"]["count"]), (&"mypurecloud.de".into(), &2.into()));
    assert!(told["expires_in_seconds"].as_u64().unwrap() > 86_000 && told["problem"].is_null(), "{told}");
    assert_eq!(platform.report().malformed, Vec::<String>::new());
}

#[test]
fn the_token_is_shared_through_the_cache_file() {
    let platform = start(|_| {});
    let site = site(&format!("{}\ncache_file = \"token.json\"", at(platform.address())));
    check(&site, &[], 0);
    check(&site, &[], 0);
    assert_eq!(platform.report().token_requests, 1);
    // One that was revoked is replaced, and the next run has the new one.
    platform.revoke_tokens();
    check(&site, &[], 0);
    check(&site, &[], 0);
    assert_eq!((platform.report().token_requests, platform.report().unauthorised), (2, 1));
}

#[test]
fn a_wrong_secret_is_a_no_that_asks_for_the_region() {
    let platform = start(|_| {});
    let site = site(&at(platform.address()));
    fs::write(site.path("client-secret"), "platform-client-secret_wrong").unwrap();
    let said = check(&site, &[], 1);
    assert!(said.contains("invalid_client (authentication failed)"), "{said}");
    assert!(said.contains("is it eu-central-1 (mypurecloud.de)?"), "{said}");
}

#[test]
fn an_api_url_of_something_else_is_a_no_that_names_it() {
    let platform = start(|_| {});
    platform.fail_api(404, 1);
    let said = check(&site(&at(platform.address())), &[], 1);
    assert!(said.contains("is not Genesys Cloud's API") && said.contains("api_url"), "{said}");
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let site = site("login_url = \"http://127.0.0.1:9\"\napi_url = \"http://127.0.0.1:9\"");
    let said = check(&site, &[], 2);
    assert!(said.contains("cannot be reached") && said.contains("it is http://127.0.0.1:9/oauth/token"), "{said}");
}

#[test]
fn rate_limits_say_when_to_try_again() {
    let platform = start(|options| options.token_limit = 0);
    let said = check(&site(&at(platform.address())), &[], 2);
    assert!(said.contains("rate limit exceeded") && said.contains("try again in 15 s"), "{said}");

    let platform = start(|options| options.api_limit = 0);
    let said = check(&site(&at(platform.address())), &[], 2);
    assert!(said.contains("GET /api/v2/tokens/me") && said.contains("try again in"), "{said}");
}

#[test]
fn a_client_that_may_not_ask_for_its_scopes_works_all_the_same() {
    let platform = start(|_| {});
    platform.fail_api(403, 1);
    let said = check(&site(&at(platform.address())), &[], 0);
    assert!(said.contains("valid for") && said.contains("scopes") && said.contains("unknown: "), "{said}");
}

#[test]
fn the_older_address_of_the_token_endpoint_is_taken_as_it_is() {
    let platform = start(|_| {});
    let address = platform.address();
    let table = format!("login_url = \"http://{address}/api/v2/oauth/token\"\napi_url = \"http://{address}\"");
    let said = check(&site(&table), &[], 0);
    assert!(said.contains("/api/v2/oauth/token") && !said.contains("region"), "{said}");
}

#[test]
fn what_is_wrong_with_the_table_is_said_with_its_key() {
    let said = check(&site("region = \"eu-central-9\""), &[], 3);
    assert!(said.contains("genesys.region") && said.contains("eu-central-1 (mypurecloud.de)"), "{said}");
    let said = check(&site("region = \"eu-central-1\"\nregions = 1"), &[], 3);
    assert!(said.contains("did you mean `region`?"), "{said}");
    let none = Site::new(crate::site::TO_FILE);
    let said = check(&none, &[], 2);
    assert!(said.contains("has no [genesys]"), "{said}");
    // It is refused at the start too, not only when somebody looks.
    let output = site("region = \"eu-central-9\"").run(&["serve", "--config", "aftercall.toml", "--check-config"]);
    assert_eq!(output.status.code(), Some(3));
}
