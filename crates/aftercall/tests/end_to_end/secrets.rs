//! Rotating a secret: it is known which one is used, also after a restart, so it is known when the old one may go.

use std::fs;

use serde_json::Value;
use simulator::sign::{Scheme, Signer};

use crate::site::{SECRET, Server, Site, TO_FILE};
use crate::waiting;

#[track_caller]
fn status(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[&["secrets", "status", "--console", &console], args].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

/// The keys of the webhook source: where each stands, and how often it was used.
fn keys(site: &Site, server: &Server) -> Vec<(String, u64)> {
    let told: Value = serde_json::from_str(&status(site, server, &["--source", "genesys", "--json"], 0)).unwrap();
    let keys = told["sources"][0]["keys"].as_array().unwrap();
    let of = |key: &Value| {
        let (origin, uses) = (key["origin"].as_str().unwrap().to_owned(), key["uses"].as_u64().unwrap());
        assert_eq!(key["last_used"].is_i64(), uses > 0, "{key}");
        assert!(key["read_at"].is_i64() && key["fingerprint"].as_str().unwrap().len() == 8, "{key}");
        (origin, uses)
    };
    keys.iter().map(of).collect()
}

fn post_with(server: &Server, secret: &str, id: &str) -> u16 {
    let body = format!(r#"{{"webhookEventId":"{id}"}}"#);
    let headers = Signer::new(Scheme::Genesys, secret).unwrap().headers(body.as_bytes(), "", 0);
    server.client().post("/in/genesys", &headers, body.as_bytes()).unwrap().status
}

fn name(line: u32) -> String {
    format!("file:webhook-secret#{line}")
}

#[test]
fn a_rotation_is_followed_key_by_key_and_over_restarts() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    assert_eq!(post_with(&server, SECRET, "r-1"), 200);
    assert_eq!(post_with(&server, SECRET, "r-2"), 200);
    assert_eq!(keys(&site, &server), [(name(1), 2)]);
    // The new secret is added in front; the sender is switched over.
    fs::write(site.path("webhook-secret"), format!("the-new-one\n{SECRET}\n")).unwrap();
    assert_eq!(post_with(&server, "the-new-one", "r-3"), 200);
    assert_eq!(keys(&site, &server), [(name(1), 1), (name(2), 2)]);
    assert_eq!(server.stop(), Some(0));

    let server = site.start();
    assert_eq!(keys(&site, &server), [(name(1), 1), (name(2), 2)], "known after a restart");
    assert_eq!(post_with(&server, "the-new-one", "r-4"), 200);
    let shown = status(&site, &server, &[], 0);
    assert!(shown.contains("file:webhook-secret#2") && shown.contains("never") && shown.contains("ago"), "{shown}");
    // The old one goes.
    fs::write(site.path("webhook-secret"), "the-new-one\n").unwrap();
    waiting::until_so("the file is read again", || keys(&site, &server) == [(name(1), 2)]);
    assert_eq!(post_with(&server, SECRET, "r-5"), 401);

    // A file that cannot be read is told, and its last secrets stay in force.
    fs::remove_file(site.path("webhook-secret")).unwrap();
    waiting::until_so("the file is missed", || server.log().contains("a secret file cannot be read"));
    let shown = status(&site, &server, &[], 1);
    assert!(shown.contains("No such file"), "{shown}");
    assert_eq!(post_with(&server, "the-new-one", "r-6"), 200);
    assert!(status(&site, &server, &["--source", "nobody"], 2).contains("no source `nobody`"));
    let everything = format!("{}{shown}", site.logs());
    assert!(!everything.contains("the-new-one") && !everything.contains(SECRET), "secrets are never shown");
}

#[test]
fn the_use_of_a_key_is_saved_while_the_server_runs() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    assert_eq!(post_with(&server, SECRET, "k-1"), 200);
    let saved = || {
        let wal = fs::read(site.path("data/quarantine.db-wal")).unwrap_or_default();
        let told: Value = serde_json::from_str(&status(&site, &server, &["--source", "genesys", "--json"], 0)).unwrap();
        let fingerprint = told["sources"][0]["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
        wal.windows(8).any(|part| part == fingerprint.as_bytes())
    };
    waiting::until_so("it is on disk", saved);
    server.kill();
    let server = site.start();
    assert_eq!(keys(&site, &server), [(name(1), 1)]);
}

#[test]
fn what_is_released_from_the_quarantine_is_no_use_of_a_key() {
    let site = Site::new(TO_FILE);
    fs::write(site.path("webhook-secret"), "mistyped").unwrap();
    let server = site.start();
    assert_eq!(post_with(&server, SECRET, "q-1"), 401);
    fs::write(site.path("webhook-secret"), format!("the-new-one\n{SECRET}\n")).unwrap();
    waiting::until_so("the file is read again", || post_with(&server, "the-new-one", "q-2") == 200);
    let console = server.console.to_string();
    for more in [&["--dry-run"][..], &[]] {
        let released = site.run(&[&["quarantine", "release", "--all", "--console", &console], more].concat());
        assert_eq!(released.status.code(), Some(0), "{released:?}");
        assert_eq!(keys(&site, &server), [(name(1), 1), (name(2), 0)], "the old secret may still be retired");
    }
    assert_eq!(server.count("accepted"), 2);
}

#[test]
fn a_use_that_nobody_can_know_is_not_called_never() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    assert!(status(&site, &server, &[], 0).contains("never"));
    assert_eq!(post_with(&server, SECRET, "u-1"), 200);
    assert_eq!(server.stop(), Some(0));
    fs::write(site.path("data/quarantine.db"), "\0".repeat(8_192)).unwrap();
    let server = site.start();
    let shown = status(&site, &server, &[], 0);
    assert!(shown.contains("unknown") && !shown.contains("never"), "{shown}");
    assert!(shown.contains("Do not retire a secret by this"), "{shown}");
    let told: Value = serde_json::from_str(&status(&site, &server, &["--json"], 0)).unwrap();
    assert_eq!(told["past_known"], false);
    assert_eq!(post_with(&server, SECRET, "u-2"), 200);
    assert_eq!(keys(&site, &server), [(name(1), 1)], "from now on it is known");
}
