//! Secrets of Secrets Manager: rotated while requests come, and sent by destinations.

use serde_json::Value;

use crate::aws;
use crate::crm::{Crm, Does};
use crate::function::Function;
use crate::site::{Site, body, signed_with, to_crm, wake_ups};
use crate::waiting;

fn status(answer: &str) -> u64 {
    serde_json::from_str::<Value>(answer).unwrap()["statusCode"].as_u64().unwrap()
}

#[test]
fn a_secret_is_rotated_while_requests_come_and_none_is_refused() {
    const REQUESTS: usize = 40;
    let secret = aws::name("webhook");
    aws::set_secret(&secret, "one");
    let site = Site::with_secrets(&format!("secretsmanager:{secret}"), &to_crm("http://127.0.0.1:1/", ""));
    let ingest = Function::start(&site, "ingest");
    let post = |with: &str, id: &str| status(&ingest.answer(&signed_with(with, &body("c", id))));
    let rotating = std::thread::scope(|scope| {
        for number in 0..REQUESTS / 4 {
            assert_eq!(post("one", &format!("before-{number}")), 200);
        }
        let rotating = scope.spawn(|| aws::set_secret(&secret, "two"));
        for number in 0..REQUESTS / 4 {
            assert_eq!(post("one", &format!("meanwhile-{number}")), 200, "the sender has the old one");
        }
        rotating.join()
    });
    rotating.unwrap();
    for number in 0..REQUESTS / 4 {
        assert_eq!(post("two", &format!("new-{number}")), 200, "the sender has the new one");
        assert_eq!(post("one", &format!("old-{number}")), 200, "a sender has the old one still");
    }
    aws::set_secret(&secret, "three");
    waiting::until_so("the next one is in use", || post("three", "next") == 200);
    assert_eq!(post("two", "e-2"), 200);
    assert_eq!(post("one", "e-1"), 401, "the one before the one before is no good any more");
    let log = ingest.log();
    for value in ["\"one\"", "\"two\"", "\"three\""] {
        assert!(!log.contains(value), "{log}");
    }
}

#[test]
fn a_destination_sends_the_part_of_a_secret_that_is_in_use() {
    let crm = Crm::start(Does::Answer(200));
    let secret = aws::name("crm");
    aws::set_secret(&secret, r#"{"token":"t-1","other":"x"}"#);
    let site = Site::to_crm(&crm.url(), &format!("auth = {{ bearer = \"secretsmanager:{secret}#token\" }}\n"));
    let ingest = Function::start(&site, "ingest");
    let answer = ingest.answer(&signed_with(crate::site::SECRET, &body("c", "e-1")));
    assert_eq!(status(&answer), 200);
    let deliver = Function::start(&site, "deliver");
    deliver.answer(&wake_ups(&["crm"]));
    assert_eq!(crm.requests()[0].headers["authorization"], "Bearer t-1");
    // It is rotated, and the CRM takes the new one only: what is kept is asked for again, and no event is blamed.
    aws::set_secret(&secret, r#"{"token":"t-2","other":"x"}"#);
    crm.now_does(Does::Want("Bearer t-2"));
    ingest.answer(&signed_with(crate::site::SECRET, &body("c", "e-2")));
    waiting::until_so("the new one is sent", || {
        deliver.answer(&wake_ups(&["crm"]));
        crm.taken() == ["e-1", "e-2"]
    });
    assert_eq!(deliver.metric("crm", "Died"), Some(0));
}

#[test]
fn a_secret_that_is_not_there_is_told_with_its_place() {
    let site = Site::with_secrets("secretsmanager:nobody-has-made-it", &to_crm("http://127.0.0.1:1/", ""));
    let (failure, code) = Function::spawn(&site, "ingest", &[]).init_failure();
    let told = failure["errorMessage"].as_str().unwrap();
    assert!(told.contains("sources.genesys.auth.secrets"), "{told}");
    assert!(told.contains("secretsmanager:nobody-has-made-it"), "{told}");
    assert!(told.contains("ResourceNotFoundException"), "{told}");
    assert_ne!(code, Some(0));
}
