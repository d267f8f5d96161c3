//! Requests of an HTTP API: answered as by a server, durable before the answer, and the destination is woken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::crm::{Crm, Does};
use crate::function::{ALL_DONE, Function};
use crate::site::{SECRET, Site, body, request, signed, signed_with, wake_ups};

/// The body of an answer, which is JSON in JSON.
pub(crate) fn inner(answer: &str) -> Value {
    let read: Value = serde_json::from_str(answer).unwrap();
    serde_json::from_str(read["body"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

#[track_caller]
pub(crate) fn counts(answer: &str) -> (u64, u64) {
    let inner = inner(answer);
    let count = |name: &str| inner[name].as_u64().unwrap_or_else(|| panic!("{answer}"));
    (count("accepted"), count("duplicates"))
}

#[test]
fn a_signed_request_is_durable_wakes_its_destination_and_is_delivered() {
    let crm = Crm::start(Does::Answer(200));
    let site = Site::to_crm(&crm.url(), "");
    let ingest = Function::start(&site, "ingest");
    let event = signed(&body("c-1", "e-1"));
    let answer = ingest.answer(&event);
    let id = inner(&answer)["events"][0].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"statusCode":200,"headers":{{"content-type":"application/json"}},"body":"{{\"accepted\":1,\"duplicates\":0,\"events\":[\"{id}\"]}}","isBase64Encoded":false}}"#
    );
    assert_eq!(answer, expected);
    assert_eq!(site.woken(), ["crm"]);
    // What was signed are the bytes that were sent.
    let mut encoded = event.clone();
    encoded["body"] = STANDARD.encode(body("c-1", "e-1")).into();
    encoded["isBase64Encoded"] = true.into();
    assert_eq!(counts(&ingest.answer(&encoded)), (0, 1));
    assert_eq!(counts(&ingest.answer(&event)), (0, 1));
    assert_eq!((ingest.metric("genesys", "Accepted"), ingest.metric("genesys", "Duplicates")), (Some(1), Some(2)));
    let deliver = Function::start(&site, "deliver");
    assert_eq!(deliver.answer(&wake_ups(&["crm", "crm", "gone"])), ALL_DONE);
    assert_eq!(crm.taken(), ["e-1"]);
    assert_eq!(deliver.metric("crm", "Delivered"), Some(1));
    assert!(!format!("{}{}", ingest.log(), deliver.log()).contains(SECRET));
}

#[test]
fn refusals_are_those_of_a_server() {
    let site = Site::to_crm("http://127.0.0.1:1/", "");
    let ingest = Function::start(&site, "ingest");
    let good = || signed(&body("c-1", "e-1"));
    let mut elsewhere = good();
    elsewhere["requestContext"]["http"]["sourceIp"] = "203.0.113.9".into();
    let mut text = good();
    text["headers"]["content-type"] = "text/plain".into();
    let mut got = good();
    got["requestContext"]["http"]["method"] = "GET".into();
    let mut nowhere = good();
    nowhere["rawPath"] = "/in/nobody".into();
    let mut queue = good();
    queue["rawPath"] = "/in/bus".into();
    let large = request("POST", "/in/genesys", &"x".repeat(6 * 1024 * 1024));
    let cases = [
        (signed_with("another", &body("c-1", "e-1")), 401, "auth-mismatch"),
        (request("POST", "/in/genesys", "{}"), 401, "auth-missing"),
        (elsewhere, 403, "address-not-allowed"),
        (nowhere, 404, "unknown-source"),
        (queue, 404, "unknown-source"),
        (request("POST", "/elsewhere", "{}"), 404, "not-found"),
        (got, 405, "method-not-allowed"),
        (large, 413, "body-too-large"),
        (text, 415, "content-type"),
    ];
    for (event, status, code) in cases {
        let answer = ingest.answer(&event);
        let told: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&told["statusCode"], &told["isBase64Encoded"]), (&status.into(), &false.into()), "{answer}");
        assert_eq!(told["headers"]["content-type"], "application/problem+json");
        assert!(told["headers"].get("connection").is_none(), "{answer}");
        assert_eq!(told["headers"].get("www-authenticate").is_some(), status == 401, "{answer}");
        let problem = inner(&answer);
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{answer}");
    }
    assert_eq!(ingest.metric("genesys", "Accepted"), Some(0));
    assert!(site.woken().is_empty());
    let live: Value = serde_json::from_str(&ingest.answer(&request("GET", "/health/live", ""))).unwrap();
    assert_eq!(live["statusCode"], 200);
    // What is no request at all is the failure of its invocation, and of no other.
    let id = ingest.give(&serde_json::json!({ "hello": 1 }), crate::function::TIMEOUT);
    let crate::lambda::Said::Failure(failure) = ingest.said(&id) else { panic!("it is no request") };
    assert_eq!(failure["errorType"], "Aftercall.Event");
    assert!(failure["errorMessage"].as_str().unwrap().contains("payload version 2.0"), "{failure}");
    assert_eq!(counts(&ingest.answer(&good())), (1, 0));
}

#[test]
fn an_unreadable_authentic_body_is_a_dead_letter_and_answered_200() {
    let site = Site::to_crm("http://127.0.0.1:1/", "");
    let ingest = Function::start(&site, "ingest");
    let answer = inner(&ingest.answer(&signed("this is no JSON")));
    assert!(answer["dead_letters"][0].is_number() || answer["dead_letters"][0].is_string(), "{answer}");
    let upkeep = Function::start(&site, "upkeep");
    assert_eq!(upkeep.answer(&serde_json::json!({})), r#"{"expired":0,"woken":[]}"#);
    assert_eq!(upkeep.metric("all", "AllDeadLetters"), Some(1));
}
