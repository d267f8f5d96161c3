//! Functions that are killed in the middle: nothing is lost, and what is repeated is a repetition of the same delivery.

use std::time::Duration;

use serde_json::json;

use crate::crm::{Crm, Does};
use crate::function::{Function, TIMEOUT};
use crate::site::{Site, body, signed, wake_ups};
use crate::waiting;

/// Two events of one conversation, of which the first is being delivered by a function, until `so`; then it is killed.
/// Returns when both are delivered by another one.
fn killed_when(crm: &Crm, so: impl Fn() -> bool) {
    let site = Site::to_crm(&crm.url(), "");
    let ingest = Function::start(&site, "ingest");
    ingest.answer(&signed(&body("c", "e-1")));
    ingest.answer(&signed(&body("c", "e-2")));
    // Those get lost with the function.
    site.woken();
    let function = Function::start(&site, "deliver");
    function.give(&wake_ups(&["crm"]), TIMEOUT);
    waiting::until_so("a delivery is under way", so);
    function.kill();
    crm.now_does(Does::Answer(200));
    let (upkeep, deliver) = (Function::start(&site, "upkeep"), Function::start(&site, "deliver"));
    waiting::until_so("what it owned and had leased is free, and both are delivered", || {
        // As often as somebody looks is enough: it takes minutes.
        std::thread::park_timeout(Duration::from_secs(2));
        upkeep.answer(&json!({}));
        site.deliver(&deliver);
        crm.taken().len() >= 2
    });
    assert_eq!(crm.taken(), ["e-1", "e-2"], "in order, and each once");
}

#[test]
fn a_function_killed_between_lease_and_send_loses_nothing() {
    let crm = Crm::start(Does::ReadNothing);
    killed_when(&crm, || crm.connections() > 0);
    assert_eq!(crm.came(), ["e-1", "e-2"]);
}

#[test]
fn a_function_killed_between_send_and_settle_repeats_the_same_delivery() {
    let crm = Crm::start(Does::Hang);
    killed_when(&crm, || !crm.requests().is_empty());
    assert_eq!(crm.came(), ["e-1", "e-1", "e-2"]);
    let keys: Vec<_> = crm.requests().iter().map(|request| request.headers.get("idempotency-key").cloned()).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
}
