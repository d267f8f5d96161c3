//! What comes behind a dead letter, what is redriven, and what is paused: in the right order, also over kills.

use std::fs;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::recorder::Recorder;
use crate::site::{Server, Site};
use crate::waiting;

/// A CRM that refuses what has `bad` in it while `refusing`, and a site with it as its destination.
fn stage(rest: &str) -> (Recorder, Arc<AtomicBool>, Site) {
    let refusing = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&refusing);
    let crm = Recorder::start(move |request| {
        let bad = String::from_utf8_lossy(&request.body).contains("bad");
        if bad && refuses.load(Ordering::Relaxed) { 422 } else { 200 }
    });
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n{rest}\n\
         [[routes]]\ndestination = \"crm\"\nmapping = '.data'\n",
        crm.address
    ));
    (crm, refusing, site)
}

fn publish(server: &Server, conversation: &str, name: &str) {
    let event = format!(r#"{{"webhookEventId":"o-{name}","conversationId":"{conversation}","data":"{name}"}}"#);
    assert_eq!(server.client().post_signed(event.as_bytes()).unwrap().counts(), (1, 0));
}

fn run(site: &Site, server: &Server, args: &[&str]) -> String {
    let output: Output = site.run(&[args, &["--console", &server.console.to_string()]].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

/// What the CRM got, in order.
fn got(crm: &Recorder) -> Vec<String> {
    let body = |body: Vec<u8>| String::from_utf8_lossy(&body).trim_matches('"').to_owned();
    crm.requests().into_iter().map(|request| body(request.body)).collect()
}

#[test]
fn a_held_conversation_waits_over_a_kill_and_its_redriven_event_goes_first() {
    let (crm, refusing, site) = stage("behind_dead = \"hold\"");
    let server = site.start();
    for (conversation, name) in [("a", "bad-1"), ("a", "a-2"), ("b", "b-1"), ("a", "a-3")] {
        publish(&server, conversation, name);
    }
    waiting::until_so("one is dead and the others wait", || {
        server.count("dead_letters") == 1 && got(&crm).contains(&"b-1".to_owned())
    });
    server.kill();
    let server = site.start();
    publish(&server, "b", "b-2");
    waiting::until_so("the other conversation goes on", || got(&crm).contains(&"b-2".to_owned()));
    waiting::until_so("the others wait", || server.consumer("crm")["held"] == 2);
    let story = run(&site, &server, &["trace", "a"]);
    assert_eq!(story.matches("waits behind dead letter 1 of its conversation").count(), 2, "{story}");
    assert!(story.contains("aftercall dead-letters show 1"), "{story}");
    let said = run(&site, &server, &["status"]);
    assert!(said.contains("crm: 1 conversations with 2 events wait behind dead letters"), "{said}");
    let said = run(&site, &server, &["dead-letters", "show", "1"]);
    assert!(said.contains("2 events wait behind this one"), "{said}");
    assert!(!got(&crm).iter().any(|name| name.starts_with("a-")), "{:?}", got(&crm));
    refusing.store(false, Ordering::Relaxed);
    run(&site, &server, &["redrive", "--all"]);
    server.until_settled("crm");
    let order: Vec<_> = got(&crm).into_iter().filter(|name| !name.starts_with("b-")).collect();
    let last = order.iter().rposition(|name| name == "bad-1").unwrap();
    assert_eq!(order[last..], ["bad-1", "a-2", "a-3"], "{order:?}");
    assert_eq!(server.count("dead_letters"), 0);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_conversation_goes_on_flagged_and_holds_after_a_reload() {
    let (crm, _refusing, site) = stage("");
    let server = site.start();
    publish(&server, "a", "bad-1");
    waiting::until_so("it is dead", || server.count("dead_letters") == 1);
    publish(&server, "a", "a-2");
    publish(&server, "b", "b-1");
    server.until_settled("crm");
    let flagged = |name: &str| {
        let requests = crm.requests();
        let of = |body: &[u8]| String::from_utf8_lossy(body).contains(name);
        requests.iter().find(|request| of(&request.body)).unwrap().headers.contains_key("aftercall-behind-dead-letter")
    };
    assert!(flagged("a-2") && !flagged("b-1") && !flagged("bad-1"));
    publish(&server, "a", "bad-3");
    waiting::until_so("it is dead too", || server.count("dead_letters") == 2);
    let said = run(&site, &server, &["dead-letters", "show", "2"]);
    assert!(said.contains("An earlier event of its conversation is a dead letter"), "{said}");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let held = config.replace("method = \"PUT\"", "method = \"PUT\"\nbehind_dead = \"hold\"");
    fs::write(site.path("aftercall.toml"), held).unwrap();
    run(&site, &server, &["reload"]);
    publish(&server, "a", "a-4");
    waiting::until_so("it waits", || server.consumer("crm")["held"] == 1);
    run(&site, &server, &["dead-letters", "discard", "1", "2", "--reason", "not needed"]);
    waiting::until_so("it goes on", || got(&crm).contains(&"a-4".to_owned()));
}

#[test]
fn a_hold_without_an_order_is_refused() {
    let (_crm, _refusing, site) = stage("order = \"none\"\nbehind_dead = \"hold\"");
    let output = site.run(&["serve", "--config", "aftercall.toml", "--check-config"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("behind_dead") && said.contains("order"), "{said}");
}

#[test]
fn live_events_go_before_redriven_ones_after_a_kill() {
    let (crm, refusing, site) = stage("concurrency = 2\nadaptive = false");
    let server = site.start();
    for number in 0..300 {
        publish(&server, &format!("d-{number}"), &format!("bad-{number}"));
    }
    waiting::until_so("all are dead", || server.count("dead_letters") == 300);
    refusing.store(false, Ordering::Relaxed);
    run(&site, &server, &["pause", "crm"]);
    run(&site, &server, &["redrive", "--all"]);
    for number in 0..20 {
        publish(&server, &format!("l-{number}"), &format!("live-{number}"));
    }
    let before = got(&crm).len();
    server.kill();
    let server = site.start();
    assert_eq!(got(&crm).len(), before, "it is still paused");
    let said = run(&site, &server, &["status"]);
    assert!(said.contains("PAUSED by local since"), "{said}");
    assert_eq!(server.status()["destinations"][0]["paused"]["by"], "local");
    run(&site, &server, &["resume", "crm"]);
    server.until_settled("crm");
    let after = got(&crm).split_off(before);
    assert_eq!(after.len(), 320);
    assert!(after[..20].iter().all(|name| name.starts_with("live")), "{after:?}");
    server.kill();
    let server = site.start();
    assert!(!run(&site, &server, &["status"]).contains("PAUSED"), "it was resumed");
}

#[test]
fn a_limit_a_day_counts_what_went_out_before_a_kill() {
    let (crm, _refusing, site) = stage("rate = { per_day = 5 }");
    let server = site.start();
    for number in 0..4 {
        publish(&server, "a", &format!("first-{number}"));
    }
    server.until_settled("crm");
    let counted = || fs::read_to_string(site.path("data/destinations.json")).unwrap_or_default();
    let four = || {
        let kept: serde_json::Value = serde_json::from_str(&counted()).unwrap_or_default();
        let slots = kept["day"]["crm"].as_array().cloned().unwrap_or_default();
        slots.iter().filter_map(|slot| slot[1].as_u64()).sum::<u64>() == 4
    };
    waiting::until_so("the count is saved", four);
    server.kill();
    let server = site.start();
    for number in 0..3 {
        publish(&server, "b", &format!("second-{number}"));
    }
    waiting::until_so("the limit is reached", || run(&site, &server, &["status"]).contains("rate limit reached"));
    assert_eq!((got(&crm).len(), server.consumer("crm")["unsettled"].as_u64()), (5, Some(2)));
}
