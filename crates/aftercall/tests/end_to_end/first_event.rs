//! The first minute: no configuration, an empty directory, a request to paste.

use std::fs;
use std::process::Command;

use crate::site::{Server, Site};
use crate::waiting;

/// A server without a configuration, on free ports.
fn trial(site: &Site) -> Server {
    let args = ["serve", "--log", "json", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    site.start_with(&mut site.command(&args))
}

/// The command that the server printed to be pasted.
fn printed_curl(site: &Site) -> String {
    let printed = waiting::until("the server prints its greeting", || {
        let printed = site.stdout();
        printed.contains("aftercall send FILE").then_some(printed)
    });
    let begin = printed.find("curl ").unwrap();
    let end = begin + printed[begin..].find("\n\n").unwrap();
    printed[begin..end].to_owned()
}

fn paste(command: &str) -> serde_json::Value {
    let output = Command::new("bash").args(["-c", command]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn events(site: &Site) -> Vec<String> {
    let text = fs::read_to_string(site.path("aftercall-data/events.ndjson")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_printed_request_arrives_once_and_everything_stays_over_a_restart() {
    let site = Site::new("");
    let server = trial(&site);
    let curl = printed_curl(&site);

    let answer = paste(&curl);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &0.into()), "{answer}");
    waiting::until_so("the event is in the file", || events(&site).len() == 1);
    assert!(events(&site)[0].contains("conversation.analytics.completed"));
    let answer = paste(&curl);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&0.into(), &1.into()), "{answer}");

    fs::write(site.path("own.json"), r#"{"webhookEventId":"own-1","conversationId":"c-1"}"#).unwrap();
    let url = format!("http://{}", server.intake);
    let sent = site.run(&["send", "own.json", "--repeat", "3", "--url", &url]);
    assert_eq!(
        String::from_utf8_lossy(&sent.stdout),
        "3 requests: 1 event accepted, 2 duplicates, 0 refused\n",
        "{sent:?}"
    );
    waiting::until_so("the second event is in the file", || events(&site).len() == 2);
    server.until_settled("events");

    let console = server.console.to_string();
    let shown = site.run(&["status", "--console", &console]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("ready\n2 events accepted, 3 duplicates refused,"), "{shown}");
    assert!(shown.contains("genesys") && shown.contains("eventbridge"), "{shown}");
    let json = site.run(&["status", "--json", "--console", &console]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["queue"]["accepted"], 2);
    assert_eq!(json["queue"]["consumers"][0]["delivered"], 2);

    let secret = fs::read_to_string(site.path("aftercall-data/webhook-secret")).unwrap();
    assert_eq!(server.stop(), Some(0));
    let server = trial(&site);
    assert_eq!(fs::read_to_string(site.path("aftercall-data/webhook-secret")).unwrap(), secret);
    // The same signature, at the new port.
    let (_, signature) = curl.split_once("x-genesys-webhook-signature: ").unwrap();
    assert!(printed_curl(&site).contains(&signature[..64]));
    let answer = paste(&printed_curl(&site));
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&0.into(), &1.into()), "{answer}");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(events(&site).len(), 2);
    assert!(!site.logs().contains("panicked"));
}

#[test]
fn generated_secrets_are_for_their_owner_only_and_never_logged() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new("");
    let server = trial(&site);
    for name in ["webhook-secret", "eventbridge-token"] {
        let path = site.path("aftercall-data").join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let secret = fs::read_to_string(&path).unwrap();
        assert!(!site.logs().contains(secret.trim()) && !site.stdout().contains(secret.trim()), "{name}");
    }
    let events = fs::metadata(site.path("aftercall-data/events.ndjson")).unwrap();
    assert_eq!(events.permissions().mode() & 0o777, 0o600, "whole events stand in it");
    let data = fs::metadata(site.path("aftercall-data")).unwrap();
    assert_eq!(data.permissions().mode() & 0o777, 0o700, "and others need not even see what is there");
    let token = fs::read_to_string(site.path("aftercall-data/eventbridge-token")).unwrap();
    let headers = [("authorization", format!("Bearer {}", token.trim())), ("content-type", "application/json".into())];
    let body = br#"{"id":"e-1","detail-type":"t","detail":{"conversationId":"c"}}"#;
    let answer = server.client().post("/in/eventbridge", &headers, body).unwrap();
    assert_eq!(answer.counts(), (1, 0));
}
