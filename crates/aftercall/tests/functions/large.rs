//! Bodies near what Lambda takes: one below goes through S3 to the CRM, byte by byte; one above is refused with the cure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::aws;
use crate::crm::{Crm, Does};
use crate::function::Function;
use crate::ingest::{counts, inner};
use crate::site::{Site, signed, to_crm};

/// A body of so many bytes.
fn body(id: &str, bytes: usize) -> String {
    let head = format!(r#"{{"webhookEventId":"{id}","conversationId":"c-{id}","number":"{id}","transcript":""#);
    let rest = "x".repeat(bytes - head.len() - 2);
    format!(r#"{head}{rest}"}}"#)
}

/// As API Gateway hands over what is no text to it.
fn encoded(body: &str) -> Value {
    let mut event = signed(body);
    event["body"] = STANDARD.encode(body).into();
    event["isBase64Encoded"] = true.into();
    event
}

#[test]
fn a_body_near_the_limit_goes_by_s3_to_the_crm_and_one_above_is_refused_with_the_cure() {
    /// As text it takes little more in an event.
    const TEXT: usize = 5_000_000;
    /// As base64 it takes 6.1 of the 6.29 million bytes of an event.
    const BINARY: usize = 4_600_000;
    let crm = Crm::start(Does::Answer(200));
    let bucket = aws::name("bodies");
    assert!(aws::request("s3", "PUT", &format!("/{bucket}"), &[], b"").0 < 300);
    let bodies = format!("[queue.bodies]\nurl = \"replaced\"\nendpoint = \"{}\"\n", aws::endpoint());
    let site = Site::new(&format!("{}{bodies}", to_crm(&crm.url(), "timeout = \"30s\"")));
    let more = [("AFTERCALL_BODIES_BUCKET", &*bucket)];
    let ingest = Function::start_with(&site, "ingest", &more);
    let (text, binary) = (body("text", TEXT), body("binary", BINARY));
    assert_eq!(counts(&ingest.answer(&signed(&text))), (1, 0));
    assert_eq!(counts(&ingest.answer(&encoded(&binary))), (1, 0));
    assert_eq!(counts(&ingest.answer(&encoded(&binary))), (0, 1), "a repetition is known");
    let (status, listed) = aws::request("s3", "GET", &format!("/{bucket}?list-type=2"), &[], b"");
    let listed = String::from_utf8_lossy(&listed).into_owned();
    assert!(status < 300 && listed.matches("<Key>").count() >= 2, "they are in the bucket: {listed}");
    let refused = ingest.answer(&encoded(&body("above", TEXT)));
    let told: Value = serde_json::from_str(&refused).unwrap();
    let problem = inner(&refused);
    assert_eq!((&told["statusCode"], &problem["code"]), (&413.into(), &"body-too-large".into()), "{refused}");
    assert!(problem["detail"].as_str().unwrap().contains("smaller batches"), "{refused}");
    let deliver = Function::start_with(&site, "deliver", &more);
    assert!(site.deliver(&deliver) > 0);
    let mut arrived: Vec<_> = crm.requests().into_iter().map(|request| request.body).collect();
    arrived.sort_by_key(String::len);
    assert!(arrived == [binary, text], "byte by byte: {:?}", arrived.iter().map(String::len).collect::<Vec<_>>());
}
