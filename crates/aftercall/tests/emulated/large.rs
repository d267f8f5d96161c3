//! A body that is too large for the table, from the sender to the CRM.

use crate::recorder::Recorder;
use crate::stage::{said, site_with_bucket, table_name, until_so_long};

/// A body of so many bytes.
fn body(id: &str, bytes: usize) -> String {
    let head = format!(r#"{{"webhookEventId":"{id}","conversationId":"c-{id}","transcript":""#);
    let rest = "x".repeat(bytes - head.len() - 2);
    format!(r#"{head}{rest}"}}"#)
}

#[test]
fn five_megabytes_arrive_byte_by_byte_and_go_with_their_conversation() {
    let crm = Recorder::start(|_| 200);
    let site = site_with_bucket(
        &table_name(),
        &format!(
            "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\ntimeout = \"30s\"\n\
             [[routes]]\ndestination = \"crm\"\n",
            crm.address
        ),
    );
    let made = site.run(&["aws", "table", "create", "--config", "aftercall.toml"]);
    assert!(made.status.success(), "{}", said(&made));
    let server = site.start();
    let large = body("large", 5_000_000);
    assert_eq!(server.post(&large).counts(), (1, 0));
    assert_eq!(server.post(body("small", 1_000)).counts(), (1, 0));
    assert_eq!(server.post(&large).counts(), (0, 1), "a repetition is known");
    until_so_long("both are delivered", || crm.requests().len() == 2);
    let arrived = crm.requests();
    assert!(arrived.iter().any(|request| request.body == large.as_bytes()), "byte by byte");
    server.until_settled("crm");
    let console = server.console.to_string();
    let erase = ["erase", "--conversation", "c-large", "--reason", "asked for", "--yes", "--console", &console];
    let erased = site.run(&erase);
    assert!(erased.status.success(), "{}", said(&erased));
    assert_eq!(server.stop(), Some(0));
}
