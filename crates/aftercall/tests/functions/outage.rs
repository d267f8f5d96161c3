//! Destinations that are down or slow: wake-ups are acknowledged all the same, and no function runs beyond its time.

use std::time::Duration;

use serde_json::json;

use crate::crm::{Crm, Does};
use crate::function::{ALL_DONE, Function};
use crate::lambda::Said;
use crate::site::{Site, body, signed, wake_ups};
use crate::waiting;

#[test]
fn an_outage_burns_no_receive_counts_and_kills_no_event() {
    const EVENTS: usize = 12;
    /// As often as a queue with a usual limit would have given up.
    const WOKEN: usize = 6;
    let crm = Crm::start(Does::Answer(503));
    let more = "attempts = 2\nbackoff = { base = \"50ms\", cap = \"200ms\" }\nbreaker = { minimum = 4, window = \"2s\", pause = \
                \"60s\" }\n";
    let site = Site::to_crm(&crm.url(), more);
    let ingest = Function::start(&site, "ingest");
    for number in 0..EVENTS {
        ingest.answer(&signed(&body(&format!("c-{number}"), &format!("e-{number}"))));
    }
    site.woken();
    let (upkeep, deliver) = (Function::start(&site, "upkeep"), Function::start(&site, "deliver"));
    for _ in 0..WOKEN {
        assert_eq!(upkeep.answer(&json!({})), r#"{"expired":0,"woken":["crm"]}"#);
        assert_eq!(site.woken(), ["crm"]);
        assert_eq!(deliver.answer(&wake_ups(&["crm"])), ALL_DONE, "acknowledged");
    }
    assert!(crm.taken().is_empty() && !crm.came().is_empty());
    assert!(deliver.metric("crm", "BreakerOpen").unwrap() > 0);
    crm.now_does(Does::Answer(200));
    waiting::until_so("all have arrived", || {
        upkeep.answer(&json!({}));
        site.deliver(&deliver);
        crm.taken().len() >= EVENTS
    });
    assert_eq!(crm.taken().len(), EVENTS, "each once");
    assert_eq!(upkeep.metric("all", "AllDeadLetters"), Some(0));
    assert_eq!(deliver.metric("crm", "Died"), Some(0));
}

#[test]
fn a_function_ends_in_time_and_wakes_the_next_one() {
    const EVENTS: usize = 40;
    /// Less than all of them take, one after the other.
    const TIME: Duration = Duration::from_secs(10);
    let crm = Crm::start(Does::Slow(Duration::from_millis(300)));
    let site = Site::to_crm(&crm.url(), "concurrency = 1\ntimeout = \"3s\"\n");
    let ingest = Function::start(&site, "ingest");
    for number in 0..EVENTS {
        ingest.answer(&signed(&body(&format!("c-{number}"), &format!("e-{number}"))));
    }
    site.woken();
    let deliver = Function::start(&site, "deliver");
    let Said::Answer(answer) = deliver.said(&deliver.give(&wake_ups(&["crm"]), TIME)) else { panic!("it fails") };
    assert_eq!(answer, ALL_DONE);
    let taken = crm.taken().len();
    assert!((1..EVENTS).contains(&taken), "{taken}");
    assert_eq!(site.woken(), ["crm"], "there is more to do");
    crm.now_does(Does::Answer(200));
    assert_eq!(deliver.answer(&wake_ups(&["crm"])), ALL_DONE);
    assert_eq!((crm.taken().len(), crm.came().len()), (EVENTS, EVENTS), "what was under way was settled");
    assert!(site.woken().is_empty());
    // Of less time than one attempt needs nothing is begun.
    let id = deliver.give(&wake_ups(&["crm"]), Duration::from_secs(5));
    let Said::Answer(answer) = deliver.said(&id) else { panic!("it fails") };
    assert_eq!(answer, crate::function::again(&["w-0"]));
    assert!(deliver.log().contains("the function's timeout is too short"), "{}", deliver.log());
}
