//! Messages of SQS: which come again, what becomes of those that nobody can use, and of those that come twice.

use serde_json::{Value, json};

use crate::aws;
use crate::crm::{Crm, Does};
use crate::function::{ALL_DONE, Function, TIMEOUT, again, record, records};
use crate::lambda::Said;
use crate::site::{Site, body, envelope, signed, to_crm};
use crate::waiting;

/// With a second source that is a queue, a FIFO one, so that messages of any other queue belong nowhere.
fn two_queues(crm: &Crm) -> (Site, String) {
    let fifo = format!("{}.fifo", aws::name("other"));
    let source =
        format!("[sources.other]\nkind = \"sqs\"\nqueue_url = \"https://sqs.us-east-1.amazonaws.com/1/{fifo}\"\n");
    (Site::new(&format!("{source}{}", to_crm(&crm.url(), ""))), fifo)
}

fn dead_letters(site: &Site) -> u64 {
    let upkeep = Function::start(site, "upkeep");
    upkeep.answer(&json!({}));
    upkeep.metric("all", "AllDeadLetters").unwrap()
}

#[test]
fn one_bad_message_of_a_batch_comes_again_alone_and_in_the_end_is_a_dead_letter() {
    let crm = Crm::start(Does::Answer(200));
    let (site, _) = two_queues(&crm);
    let route = Function::start(&site, "route");
    let bad = record("m-3", "unknown", &envelope("c", "e-3"));
    let batch = [
        site.message("m-1", &envelope("c", "e-1")),
        // No event at all is a dead letter at once: to come again would not help.
        site.message("m-2", "this is no JSON"),
        bad.clone(),
        site.message("m-4", &envelope("c", "e-4")),
    ];
    assert_eq!(route.answer(&records(&batch)), again(&["m-3"]));
    let deliver = Function::start(&site, "deliver");
    assert_eq!(site.deliver(&deliver), 1);
    assert_eq!(crm.taken(), ["e-1", "e-4"]);
    assert_eq!(dead_letters(&site), 1);
    // SQS has tried it often enough.
    let review = Function::start(&site, "review");
    let mut came_from_source = site.message("m-5", &envelope("c", "e-5"));
    came_from_source["eventSourceARN"] = "arn:aws:sqs:us-east-1:1:dead".into();
    came_from_source["attributes"]["DeadLetterQueueSourceArn"] =
        format!("arn:aws:sqs:us-east-1:1:{}", site.intake).into();
    assert_eq!(review.answer(&records(&[bad, came_from_source])), ALL_DONE);
    assert_eq!(dead_letters(&site), 2);
    assert!(site.deliver(&deliver) > 0, "it was woken");
    assert_eq!(crm.taken(), ["e-1", "e-4", "e-5"]);
}

#[test]
fn behind_the_first_failure_of_a_fifo_queue_nothing_is_done() {
    let crm = Crm::start(Does::Answer(200));
    let (site, fifo) = two_queues(&crm);
    let route = Function::start(&site, "route");
    let good = |number: u32| record(&format!("m-{number}"), &fifo, &envelope("c", &format!("e-{number}")));
    let bad = record("m-2", "unknown.fifo", &envelope("c", "e-2"));
    assert_eq!(route.answer(&records(&[good(1), bad, good(3)])), again(&["m-2", "m-3"]));
    let deliver = Function::start(&site, "deliver");
    site.deliver(&deliver);
    assert_eq!(crm.taken(), ["e-1"]);
    assert_eq!(route.answer(&records(&[good(3)])), ALL_DONE);
    site.deliver(&deliver);
    assert_eq!(crm.taken(), ["e-1", "e-3"]);
}

#[test]
fn messages_that_come_twice_and_out_of_order_are_each_delivered_once() {
    const EVENTS: usize = 30;
    let crm = Crm::start(Does::Answer(200));
    let site = Site::to_crm(&crm.url(), "");
    let message = |number: usize| {
        site.message(&format!("m-{number}"), &envelope(&format!("c-{}", number % 7), &format!("e-{number}")))
    };
    let mut batches: Vec<Vec<Value>> =
        (0..EVENTS).collect::<Vec<_>>().chunks(10).map(|some| some.iter().map(|n| message(*n)).collect()).collect();
    let functions = [Function::start(&site, "route"), Function::start(&site, "route")];
    // Both get all, one of them backwards, at the same time.
    let given: Vec<_> = functions
        .iter()
        .map(|function| {
            let ids: Vec<_> = batches.iter().map(|batch| function.give(&records(batch), TIMEOUT)).collect();
            batches.iter_mut().for_each(|batch| batch.reverse());
            batches.reverse();
            ids
        })
        .collect();
    for (function, ids) in functions.iter().zip(given) {
        for id in ids {
            let Said::Answer(answer) = function.said(&id) else { panic!("{}", function.log()) };
            // Two that publish the same at the same time: one may be told to come again.
            let answer: Value = serde_json::from_str(&answer).unwrap();
            for failed in answer["batchItemFailures"].as_array().unwrap() {
                let number: usize = failed["itemIdentifier"].as_str().unwrap()[2..].parse().unwrap();
                waiting::until_so("it is taken", || function.answer(&records(&[message(number)])) == ALL_DONE);
            }
        }
    }
    let deliver = Function::start(&site, "deliver");
    waiting::until_so("all have arrived", || {
        site.deliver(&deliver);
        crm.taken().len() >= EVENTS
    });
    site.deliver(&deliver);
    let mut taken = crm.taken();
    taken.sort();
    let mut expected: Vec<_> = (0..EVENTS).map(|number| format!("e-{number}")).collect();
    expected.sort();
    assert_eq!(taken, expected);
}

#[test]
fn people_decide_about_a_group_of_dead_letters() {
    let crm = Crm::start(Does::Answer(422));
    let site = Site::to_crm(&crm.url(), "");
    let ingest = Function::start(&site, "ingest");
    for id in ["e-1", "e-2", "e-3"] {
        ingest.answer(&signed(&body(id, id)));
    }
    let deliver = Function::start(&site, "deliver");
    site.deliver(&deliver);
    let review = Function::start(&site, "review");
    let ask = |asked: &Value| serde_json::from_str::<Value>(&review.answer(asked)).unwrap();
    let groups = ask(&json!({ "action": "groups" }));
    let group = groups["groups"][0]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1, "{groups}");
    crm.now_does(Does::Answer(200));
    let decide = |action: &str| json!({ "action": action, "group": group, "by": "ann", "reason": "mended" });
    let done = ask(&decide("redrive"));
    let expected = json!({
        "action": "redrive", "group": group, "done": 3, "refused": 0, "reasons": [], "more": false
    });
    assert_eq!(done, expected);
    assert!(site.deliver(&deliver) > 0, "the destination was woken");
    let mut taken = crm.taken();
    taken.sort();
    assert_eq!(taken, ["e-1", "e-2", "e-3"]);
    assert_eq!(ask(&decide("redrive"))["done"], 0);

    crm.now_does(Does::Answer(422));
    ingest.answer(&signed(&body("e-4", "e-4")));
    site.deliver(&deliver);
    let id = review.give(&json!({ "action": "discard", "group": group, "by": "ann" }), TIMEOUT);
    let Said::Failure(failure) = review.said(&id) else { panic!("nothing is discarded without a reason") };
    assert!(failure["errorMessage"].as_str().unwrap().contains("reason"), "{failure}");
    assert_eq!(dead_letters(&site), 1);
    assert_eq!(ask(&decide("discard"))["done"], 1);
    assert_eq!(dead_letters(&site), 0);
    let id = review.give(&json!({ "action": "delete", "group": group, "by": "ann" }), TIMEOUT);
    let Said::Failure(failure) = review.said(&id) else { panic!("it is no decision") };
    assert!(failure["errorMessage"].as_str().unwrap().contains("redrive"), "{failure}");
}
