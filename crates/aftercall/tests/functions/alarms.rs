//! Alarms of the configuration, evaluated by `upkeep`: each is told once, over cold starts, concurrent functions, kills and
//! a notifier that is down.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crm::{Crm, Does};
use crate::function::{ALL_DONE, Function, TIMEOUT, records};
use crate::lambda::Said;
use crate::site::{Site, body, signed, to_crm, wake_ups};
use crate::waiting;

/// Alarms end in the second round without what they are about.
const ALARMS: &str =
    "[alarms]\ninstance = \"the-table\"\nhold = \"1ms\"\ncool_down = \"1ms\"\nbreaker_open = \"1ms\"\n";
/// Less than upkeep keeps for its other work: it tells for five seconds, and others wait for as long.
const SHORT: Duration = Duration::from_secs(25);
/// A delivering function's time: enough for several probes, and for one attempt and the settlement after them.
const PROBES: Duration = Duration::from_secs(12);

fn site(crm: &Crm, pager: &Crm, more: &str) -> Site {
    let notifier = "[notifiers.pager]\nkind = \"slack\"\nurl = \"file:pager-url\"\n";
    let site = Site::new(&format!("{}{ALARMS}{notifier}", to_crm(&crm.url(), more)));
    fs::write(site.path("pager-url"), pager.url()).unwrap();
    site
}

/// What the notifier has taken.
fn told(pager: &Crm) -> Vec<String> {
    let taken = pager.requests().into_iter().filter(|request| request.status == Some(200));
    let text = |body: &str| serde_json::from_str::<Value>(body).unwrap()["text"].as_str().unwrap().to_owned();
    taken.map(|request| text(&request.body)).collect()
}

fn a_dead_letter(site: &Site) {
    let route = Function::start(site, "route");
    assert_eq!(route.answer(&records(&[site.message("m-1", "this is no JSON")])), ALL_DONE);
}

/// A round of a function that has just been started.
fn cold_round(site: &Site) {
    let upkeep = Function::start(site, "upkeep");
    upkeep.answer(&json!({}));
    assert!(!upkeep.log().contains("alarms cannot be evaluated"), "{}", upkeep.log());
}

#[test]
fn an_alarm_is_told_once_by_many_functions_and_is_resolved() {
    let (crm, pager) = (Crm::start(Does::Answer(200)), Crm::start(Does::Answer(200)));
    let site = site(&crm, &pager, "");
    cold_round(&site);
    assert_eq!(told(&pager), [""; 0], "nothing is wrong");
    a_dead_letter(&site);
    // At the same time, each as cold as the other.
    let functions: Vec<_> = (0..4).map(|_| Function::start(&site, "upkeep")).collect();
    let asked: Vec<_> = functions.iter().map(|function| function.give(&json!({}), TIMEOUT)).collect();
    for (function, id) in functions.iter().zip(&asked) {
        let Said::Answer(_) = function.said(id) else { panic!("{}", function.log()) };
    }
    cold_round(&site);
    let [text] = &told(&pager)[..] else { panic!("{:?}", told(&pager)) };
    assert!(text.contains("intake") && text.contains("the-table"), "{text}");
    let review = Function::start(&site, "review");
    let groups: Value = serde_json::from_str(&review.answer(&json!({ "action": "groups" }))).unwrap();
    let group = &groups["groups"][0]["fingerprint"];
    review.answer(&json!({ "action": "discard", "group": group, "by": "ann", "reason": "a test" }));
    (0..4).for_each(|_| cold_round(&site));
    let told = told(&pager);
    assert!(told.len() == 2 && told[1].contains("RESOLVED"), "{told:?}");
}

#[test]
fn a_notifier_that_is_down_or_a_function_that_is_killed_while_it_tells_loses_no_alarm() {
    let (crm, pager) = (Crm::start(Does::Answer(200)), Crm::start(Does::Answer(503)));
    let site = site(&crm, &pager, "");
    a_dead_letter(&site);
    cold_round(&site);
    assert_eq!((told(&pager).len(), pager.requests().len()), (0, 1), "one attempt in a round");
    pager.now_does(Does::Hang);
    let upkeep = Function::start(&site, "upkeep");
    upkeep.give(&json!({}), SHORT);
    waiting::until_so("it is being told", || pager.requests().len() == 2);
    upkeep.kill();
    pager.now_does(Does::Answer(200));
    waiting::until_so("the killed function's time is over, and another one tells", || {
        cold_round(&site);
        !told(&pager).is_empty()
    });
    cold_round(&site);
    assert_eq!(told(&pager).len(), 1);
}

#[test]
fn an_open_breaker_is_an_alarm_until_the_destination_is_back() {
    let (crm, pager) = (Crm::start(Does::Answer(503)), Crm::start(Does::Answer(200)));
    let more = "timeout = \"1s\"\nattempts = 2\nbackoff = { base = \"50ms\", cap = \"200ms\" }\nbreaker = { minimum = 4, window = \"2s\", pause = \
                \"50ms\" }\n";
    let site = site(&crm, &pager, more);
    let (ingest, deliver) = (Function::start(&site, "ingest"), Function::start(&site, "deliver"));
    for number in 0..12 {
        ingest.answer(&signed(&body(&format!("c-{number}"), &format!("e-{number}"))));
    }
    // It goes on probing for as long as it has.
    let run = || drop(deliver.said(&deliver.give(&wake_ups(&["crm"]), PROBES)));
    waiting::until_so("the breaker opens, and that is told", || {
        run();
        cold_round(&site);
        told(&pager).iter().any(|text| text.contains("crm"))
    });
    crm.now_does(Does::Answer(200));
    waiting::until_so("it is closed, and that is told", || {
        run();
        cold_round(&site);
        told(&pager).iter().any(|text| text.contains("RESOLVED"))
    });
    let told = told(&pager);
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_notifier_without_its_secret_keeps_upkeep_from_nothing_and_is_said() {
    let (crm, pager) = (Crm::start(Does::Answer(200)), Crm::start(Does::Answer(200)));
    let site = site(&crm, &pager, "");
    fs::remove_file(site.path("pager-url")).unwrap();
    a_dead_letter(&site);
    let ingest = Function::start(&site, "ingest");
    ingest.answer(&signed(&body("c-1", "e-1")));
    let upkeep = Function::start(&site, "upkeep");
    assert_eq!(upkeep.answer(&json!({})), r#"{"expired":0,"woken":["crm"]}"#);
    assert!(upkeep.log().contains("notifiers.pager.url"), "{}", upkeep.log());
    // The same function finds it when it is there.
    fs::write(site.path("pager-url"), pager.url()).unwrap();
    upkeep.answer(&json!({}));
    assert_eq!(told(&pager).len(), 1);
}
