//! Alarms as the person on call meets them: paged once, told what to do, and told when it is over.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::client;
use crate::recorder::{Recorder, Request};
use crate::site::{Server, Site};
use crate::waiting;

/// Everything within a second; a disk that is nearly full is not what these tests are about.
const QUICK: &str =
    "[alarms]\ninstance = \"here\"\nevery = \"50ms\"\nhold = \"200ms\"\ncool_down = \"1s\"\ndisk_free = 0\n";
/// Fails for every event.
const FAULTY: &str = r#"
[destinations.crm]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "crm"
mapping = '{ name: (.data.nam // error("event \($event.id) has no name")) }'
"#;

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// A site with these alarms and notifiers, and the secrets that they name.
fn site(alarms: &str, rest: &str) -> Site {
    let site = Site::new(&format!("{QUICK}{alarms}{rest}"));
    fs::write(site.path("pagerduty-key"), "the-routing-key\n").unwrap();
    site
}

fn pagerduty(recorder: &Recorder) -> String {
    format!(
        "[notifiers.pager]\nkind = \"pagerduty\"\nrouting_key = \"file:pagerduty-key\"\nurl = \"http://{}/v2/enqueue\"\n",
        recorder.address
    )
}

fn post(server: &Server, from: usize, to: usize) {
    for number in from..to {
        let event = format!(r#"{{"webhookEventId":"a-{number}","conversationId":"c-{number}","data":{{"name":"x"}}}}"#);
        assert_eq!(server.post(event).counts(), (1, 0));
    }
}

fn run(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--console", &console]].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

fn open(server: &Server) -> Vec<Value> {
    client::get(server.console, "/api/v1/alarms").unwrap().json()["open"].as_array().unwrap().clone()
}

fn notifier(server: &Server, name: &str) -> Value {
    let status = server.status();
    let all = status["alarms"]["notifiers"].as_array().unwrap();
    all.iter().find(|notifier| notifier["name"] == name).unwrap().clone()
}

#[test]
fn a_faulty_mapping_pages_once_says_what_to_do_and_is_resolved_when_it_is_dealt_with() {
    let pager = Recorder::start(|_| 202);
    let site = site("", &format!("{FAULTY}{}", pagerduty(&pager)));
    let server = site.start();
    post(&server, 0, 3);
    server.until_settled("crm");
    waiting::until_so("the page goes out", || pager.requests().len() == 1);
    post(&server, 3, 200);
    server.until_settled("crm");
    waiting::until_so("the alarm counts them all", || open(&server).first().is_some_and(|alarm| alarm["level"] == 200));
    let alarms = open(&server);
    assert_eq!((alarms.len(), pager.requests().len()), (1, 1), "200 dead letters of one group are one page");

    let page = json(&pager.requests()[0]);
    assert_eq!((&page["event_action"], &page["routing_key"]), (&"trigger".into(), &"the-routing-key".into()));
    assert_eq!(page["payload"]["severity"], "error");
    assert!(page["payload"]["summary"].as_str().unwrap().contains("dead letters at destination crm: "), "{page}");
    let details = &page["payload"]["custom_details"];
    assert!(details["events"].as_str().unwrap().starts_with("Nothing is lost"), "{page}");
    // The commands that it names are real ones.
    let steps = details["what_to_do"].as_array().unwrap().iter().map(|step| step.as_str().unwrap());
    let commands: Vec<_> = steps.filter(|step| step.starts_with("aftercall ")).collect();
    assert_eq!(commands.len(), 5, "{page}");
    // The last one would redrive them; the one before says that none would pass.
    for (command, code) in commands[..4].iter().zip([0, 0, 2, 1]) {
        let args: Vec<_> = command.split_whitespace().take_while(|word| !["#", ">"].contains(word)).skip(1).collect();
        let output = site.run(&args);
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
    }

    // It stands in the status and in the list.
    assert!(run(&site, &server, &["status"], 0).contains("ERROR for "), "in the status");
    let said = run(&site, &server, &["alarms"], 1);
    for part in ["200 dead letters at destination crm", "aftercall redrive --group", "Nothing is lost", "pager"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!site.logs().contains("the-routing-key"), "secrets stay out of the log");

    // A kill in between pages nobody a second time.
    server.kill();
    let server = site.start();
    let before = open(&server);
    assert_eq!((before.len(), &before[0]["key"]), (1, &alarms[0]["key"]));

    let letters: Value =
        serde_json::from_str(&run(&site, &server, &["dead-letters", "list", "--limit", "1000", "--json"], 0)).unwrap();
    let ids: Vec<_> =
        letters["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    run(&site, &server, &[&["dead-letters", "discard", "--reason", "test calls"], &ids[..]].concat(), 0);
    waiting::until_so("it is resolved", || pager.requests().len() >= 2);
    let end = json(&pager.requests()[1]);
    assert_eq!((&end["event_action"], &end["dedup_key"]), (&"resolve".into(), &page["dedup_key"]));
    waiting::until_so("it is told", || notifier(&server, "pager")["waiting"] == 0);
    assert_eq!((open(&server).len(), pager.requests().len()), (0, 2));
    assert!(run(&site, &server, &["alarms"], 0).starts_with("no open alarms\n"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn of_two_groups_the_one_that_is_redriven_ends_and_the_other_stays() {
    let crm = r#"
[destinations.crm]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "crm"
mapping = 'if .data.kind == "a" then error("no name") else error("no queue") end'
"#;
    let site = site("", crm);
    let server = site.start();
    for number in 0..6 {
        let kind = if number < 2 { "a" } else { "b" };
        assert_eq!(
            server.post(format!(r#"{{"webhookEventId":"g-{number}","data":{{"kind":"{kind}"}}}}"#)).counts(),
            (1, 0)
        );
    }
    waiting::until_so("both alarms are open", || {
        open(&server).iter().filter_map(|alarm| alarm["level"].as_u64()).sum::<u64>() == 6
    });
    // The first group is mended.
    assert_eq!(server.stop(), Some(0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace(r#"error("no name")"#, "{ name: 1 }")).unwrap();
    let server = site.start();
    // They say how many, and not the mapping's words: it may put values into them.
    assert!(!open(&server).iter().any(|alarm| alarm.to_string().contains("no name")));
    let alarm = |count: &str| open(&server).into_iter().find(|alarm| alarm["summary"].to_string().contains(count));
    let command = waiting::until("it says how", || {
        let steps = alarm("2 dead letters")?["todo"].as_array()?.clone();
        let last = steps.last()?.as_str()?.to_owned();
        last.contains(&server.console.to_string()).then_some(last)
    });
    let args: Vec<_> = command.split(' ').skip(1).collect();
    assert_eq!(site.run(&args).status.code(), Some(0), "{command}");
    waiting::until_so("the first is resolved", || alarm("2 dead letters").is_none());
    assert_eq!(alarm("4 dead letters").map(|alarm| alarm["level"].clone()), Some(4.into()));
    assert_eq!(site.events().len(), 2);
}

#[test]
fn a_notifier_that_fails_is_tried_again_and_shows_in_the_status() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let pager = Recorder::start(move |_| if is_mended.load(Ordering::SeqCst) { 202 } else { 500 });
    let other = Recorder::start(|_| 200);
    let hook = format!(
        "[notifiers.hook]\nkind = \"webhook\"\nurl = \"http://{}/\"\nsecret = \"file:hook-secret\"\n",
        other.address
    );
    let site = site("notifier_failing = \"0s\"\n", &format!("{FAULTY}{}{hook}", pagerduty(&pager)));
    fs::write(site.path("hook-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let server = site.start();
    post(&server, 0, 1);
    waiting::until_so("it fails", || notifier(&server, "pager")["failing_since"].is_i64());
    let said = run(&site, &server, &["status"], 0);
    assert!(said.contains("notifier pager has failed for") && said.contains("500"), "{said}");
    waiting::until_so("it is tried again", || pager.requests().len() >= 2);
    mended.store(true, Ordering::SeqCst);
    waiting::until_so("it is told in the end", || notifier(&server, "pager")["sent"] == 1);
    let bodies: Vec<_> = pager.requests().iter().map(|request| request.body.clone()).collect();
    assert!(bodies.len() >= 3 && bodies[..3].iter().all(|body| *body == bodies[0]), "the same each time");
    // The other notifier was told of the dead letters and that the pager fails, signed.
    waiting::until_so("the other is told", || other.requests().len() >= 2);
    let kinds: Vec<_> = other.requests().iter().map(|request| json(request)["data"]["alarm"]["kind"].clone()).collect();
    assert!(kinds.contains(&"dead-letters".into()) && kinds.contains(&"notifier-failing".into()), "{kinds:?}");
    assert!(other.requests().iter().all(|request| request.headers["webhook-signature"].starts_with("v1,")));
    let log = site.logs();
    assert!(log.contains("a notifier failed; it is tried again") && log.contains("a notifier works again"), "{log}");
}

#[test]
fn a_command_is_run_with_the_alarm_and_only_for_what_it_wants() {
    let notifiers = r#"
[notifiers.script]
kind = "command"
command = ["sh", "-c", "cat > told.part; echo \"$AFTERCALL_ALARM_CHANGE $AFTERCALL_ALARM_SUBJECT\" > env; mv told.part told"]
on = ["refused-signatures"]
[notifiers.never]
kind = "command"
command = ["sh", "-c", "touch never"]
severity = "critical"
"#;
    let site = site("refused_signatures = 5\n", &format!("{FAULTY}{notifiers}"));
    let server = site.start();
    post(&server, 0, 1);
    for _ in 0..6 {
        let headers =
            [("x-genesys-webhook-signature", "00".repeat(32)), ("content-type", "application/json".to_owned())];
        assert_eq!(server.client().post("/in/genesys", &headers, b"{}").unwrap().status, 401);
    }
    waiting::until_so("the command has run", || site.path("told").exists());
    let told: Value = serde_json::from_slice(&fs::read(site.path("told")).unwrap()).unwrap();
    assert_eq!(
        (&told["type"], &told["data"]["alarm"]["key"]),
        (&"alarm.opened".into(), &"refused-signatures/genesys".into())
    );
    assert_eq!(fs::read_to_string(site.path("env")).unwrap(), "opened genesys\n");
    waiting::until_so("both alarms are open", || open(&server).len() == 2);
    assert!(!site.path("never").exists());
}

#[test]
fn an_open_breaker_pauses_its_destination_calls_for_repair_and_ends_after_a_resume() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let crm = Recorder::start(move |_| if is_down.load(Ordering::SeqCst) { 503 } else { 200 });
    let repair = Recorder::start(|_| 200);
    let alarms = "breaker_open = \"0s\"\n[[alarms.actions]]\non = \"breaker-open\"\npause = true\ncall = \"repair\"\n";
    let rest = format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         breaker = {{ minimum = 5, pause = \"500ms\" }}\nbackoff = {{ base = \"50ms\", cap = \"100ms\" }}\n\
         [[routes]]\ndestination = \"crm\"\n\
         [notifiers.repair]\nkind = \"webhook\"\nurl = \"http://{}/fix\"\nsecret = \"file:hook-secret\"\non = []\n",
        crm.address, repair.address
    );
    let site = site(alarms, &rest);
    fs::write(site.path("hook-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let server = site.start();
    post(&server, 0, 30);
    waiting::until_so("repair is called", || !repair.requests().is_empty());
    let called = json(&repair.requests()[0]);
    assert_eq!(
        (&called["data"]["alarm"]["kind"], &called["data"]["alarm"]["subject"]),
        (&"breaker-open".into(), &"crm".into())
    );
    waiting::until_so("it is paused", || run(&site, &server, &["status"], 0).contains("PAUSED"));
    down.store(false, Ordering::SeqCst);
    let command = waiting::until("the alarm says how to go on", || {
        let alarm = open(&server).into_iter().find(|alarm| alarm["kind"] == "breaker-open")?;
        let steps: Vec<_> = alarm["todo"].as_array()?.iter().filter_map(Value::as_str).collect();
        steps
            .iter()
            .filter(|step| step.contains(" resume "))
            .find_map(|step| step.split_once(": "))
            .map(|(_, command)| command.to_owned())
    });
    assert!(command.starts_with("aftercall resume crm --console "), "{command}");
    assert_eq!(server.consumer("crm")["dead_letters"], 0);
    assert!(server.consumer("crm")["unsettled"].as_u64().unwrap() >= 25, "nothing went out");

    let args: Vec<_> = command.split(' ').skip(1).collect();
    assert_eq!(site.run(&args).status.code(), Some(0));
    server.until_settled("crm");
    waiting::until_so("it is resolved", || open(&server).is_empty());
    assert_eq!(server.consumer("crm")["dead_letters"], 0);
    assert_eq!(repair.requests().len(), 1, "called once, and not for the end");
    // By hand too.
    run(&site, &server, &["pause", "crm"], 0);
    waiting::until_so("it is paused", || run(&site, &server, &["status"], 0).contains("PAUSED"));
    assert!(run(&site, &server, &["pause", "crm"], 0).starts_with("crm is paused already until "));
    assert_eq!(run(&site, &server, &["resume", "crm"], 0), "crm goes on\n");
    assert!(run(&site, &server, &["resume", "crm"], 0).starts_with("crm was not paused, so nothing has changed"));
    assert!(run(&site, &server, &["resume", "lake"], 2).contains("there is no destination `lake`"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn one_outage_is_one_page_and_what_it_holds_up_names_it() {
    let crm = Recorder::start(|_| 503);
    let (pager, other) = (Recorder::start(|_| 202), Recorder::start(|_| 200));
    let alarms = "breaker_open = \"0s\"\nundelivered = \"500ms\"\n";
    let rest = format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         breaker = {{ minimum = 5, pause = \"500ms\" }}\nbackoff = {{ base = \"50ms\", cap = \"100ms\" }}\n\
         [[routes]]\ndestination = \"crm\"\n{}\
         [notifiers.late]\nkind = \"webhook\"\nurl = \"http://{}/late\"\nsecret = \"file:hook-secret\"\non = [\"undelivered\"]\n",
        crm.address,
        pagerduty(&pager),
        other.address
    );
    let site = site(alarms, &rest);
    fs::write(site.path("hook-secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let server = site.start();
    post(&server, 0, 30);
    // Whoever hears of late events alone is told of them.
    waiting::until_so("the second alarm is told", || !other.requests().is_empty());
    let told = json(&other.requests()[0]);
    let alarm = &told["data"]["alarm"];
    assert_eq!((&alarm["key"], &alarm["because"]), (&"undelivered/crm".into(), &"breaker-open/crm".into()));
    waiting::until_so("the page goes out", || notifier(&server, "pager")["sent"] == 1);
    let pages = pager.requests();
    assert_eq!(pages.len(), 1, "one outage is one page");
    assert_eq!(json(&pages[0])["payload"]["class"], "breaker-open");
    let said = run(&site, &server, &["alarms"], 1);
    for part in ["destination crm is down for ", ", because it is down\n", "The cause is the alarm breaker-open/crm."] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_page_that_was_not_taken_survives_a_kill() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let pager = Recorder::start(move |_| if is_up.load(Ordering::SeqCst) { 202 } else { 503 });
    let site = site("", &format!("{FAULTY}{}", pagerduty(&pager)));
    let server = site.start();
    post(&server, 0, 1);
    waiting::until_so("it is tried", || notifier(&server, "pager")["failing_since"].is_i64());
    waiting::until_so("it is saved", || {
        fs::read_to_string(site.path("data/alarms.json")).is_ok_and(|kept| kept.contains("\"opened\""))
    });
    server.kill();
    up.store(true, Ordering::SeqCst);
    let before = pager.requests().len();
    let server = site.start();
    waiting::until_so("it is told", || notifier(&server, "pager")["sent"] == 1);
    assert_eq!(pager.requests().len(), before + 1);
    assert_eq!(json(&pager.requests()[before]), json(&pager.requests()[0]), "the same page");
    assert_eq!(server.stop(), Some(0));
    // A file that cannot be read keeps nothing from starting.
    fs::write(site.path("data/alarms.json"), "{").unwrap();
    let server = site.start();
    waiting::until_so("it is told anew", || notifier(&server, "pager")["sent"] == 1);
    let (first, again) = (json(&pager.requests()[0]), json(&pager.requests()[before + 1]));
    assert_eq!(first["dedup_key"], again["dedup_key"], "PagerDuty knows it");
    assert!(site.logs().contains("they begin anew"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_queue_that_stops_pages_and_is_resolved_by_a_restart() {
    let pager = Recorder::start(|_| 202);
    let site = site("off = [\"commit-latency\"]\n", &format!("{}{}", crate::site::TO_FILE, pagerduty(&pager)));
    let breaks = site.path("breaks");
    let mut serve = site.serve();
    let server =
        site.start_with(crate::faults::preload(&mut serve, "sync:1:EIO").env("AFTERCALL_FAULT_WHILE", &breaks));
    fs::write(&breaks, "").unwrap();
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).status, 503);
    waiting::until_so("it pages", || {
        pager.requests().iter().any(|page| json(page)["payload"]["class"] == "queue-stopped")
    });
    let page = json(&pager.requests()[0]);
    assert_eq!(page["payload"]["severity"], "critical");
    assert!(run(&site, &server, &["status"], 1).contains("CRITICAL for "));
    server.kill();
    fs::remove_file(&breaks).unwrap();
    let server = site.start();
    waiting::until_so("it is resolved", || {
        pager
            .requests()
            .iter()
            .any(|end| json(end)["event_action"] == "resolve" && json(end)["dedup_key"] == page["dedup_key"])
    });
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).status, 200);
}

#[test]
fn every_notifier_can_be_tried_without_a_server() {
    let pager = Recorder::start(|_| 202);
    let broken = r#"
[notifiers.broken]
kind = "command"
command = ["sh", "-c", "echo no such number >&2; exit 4"]
"#;
    let site = site("", &format!("{FAULTY}{}{broken}", pagerduty(&pager)));
    let output = site.run(&["alarms", "test", "--config", "aftercall.toml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        said.contains("pager: sent") && said.contains("broken: FAILED") && said.contains("no such number"),
        "{said}"
    );
    let actions: Vec<_> = pager.requests().iter().map(|request| json(request)["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"], "no incident is left");
    let output = site.run(&["alarms", "test", "--config", "aftercall.toml", "--notifier", "pager", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!site.path("data").exists(), "nothing else is touched");
}

#[test]
fn an_acknowledged_group_pages_no_more_and_a_reopened_one_does() {
    let pager = Recorder::start(|_| 202);
    let site = site("", &format!("{FAULTY}{}", pagerduty(&pager)));
    let server = site.start();
    post(&server, 0, 3);
    server.until_settled("crm");
    waiting::until_so("the page goes out", || pager.requests().len() == 1);
    let groups: Value = serde_json::from_str(&run(&site, &server, &["dead-letters", "groups", "--json"], 0)).unwrap();
    let group = groups["groups"][0]["fingerprint"].as_str().unwrap().to_owned();
    run(&site, &server, &["dead-letters", "acknowledge", &group, "--note", "on it"], 0);
    let detail = |server: &Server| open(server)[0]["detail"].as_str().unwrap().to_owned();
    waiting::until_so("the alarm says so", || detail(&server).contains("It was acknowledged by local (on it)"));
    // Also after a kill; the alarm stays, and nobody is paged.
    server.kill();
    let server = site.start();
    waiting::until_so("the alarm says so again", || {
        open(&server).first().is_some_and(|alarm| alarm["detail"].as_str().unwrap().contains("acknowledged"))
    });
    assert_eq!(pager.requests().len(), 1);

    post(&server, 3, 4);
    server.until_settled("crm");
    waiting::until_so("the reopened group pages", || pager.requests().len() == 2);
    let page = json(&pager.requests()[1]);
    assert_eq!(page["event_action"], "trigger");
    assert!(page["payload"]["custom_details"].to_string().contains("open again: local dealt with it"), "{page}");

    run(&site, &server, &["dead-letters", "resolve", &group], 0);
    waiting::until_so("a resolved group ends the page", || {
        pager.requests().last().is_some_and(|last| json(last)["event_action"] == "resolve")
    });
    assert_eq!(server.count("dead_letters"), 4, "though its letters are there");
}

#[test]
fn a_resolved_group_is_opened_again_by_a_new_letter_after_a_kill_and_pages_once() {
    let pager = Recorder::start(|_| 202);
    let site = site("", &format!("{FAULTY}{}", pagerduty(&pager)));
    let server = site.start();
    post(&server, 0, 3);
    waiting::until_so("the page goes out", || pager.requests().len() == 1);
    let key = json(&pager.requests()[0])["dedup_key"].clone();
    let group = key.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    run(&site, &server, &["dead-letters", "resolve", &group, "--note", "mended"], 0);
    waiting::until_so("the page is over", || pager.requests().len() == 2);
    server.kill();
    let server = site.start();
    let groups = || client::get(server.console, "/api/v1/dead-letter-groups").unwrap().json()["groups"][0].clone();
    assert_eq!((&groups()["review"]["state"], &groups()["count"]), (&"resolved".into(), &3.into()), "{}", groups());
    // What is resolved pages nobody; a letter that dies of the same does.
    assert_eq!(open(&server).len(), 0);
    post(&server, 3, 4);
    // That it is over may be told once more after the kill.
    let pages =
        || pager.requests().iter().map(json).filter(|told| told["event_action"] == "trigger").collect::<Vec<_>>();
    waiting::until_so("it pages again", || pages().len() == 2);
    let again = pages().remove(1);
    assert_eq!((&again["event_action"], &again["dedup_key"]), (&"trigger".into(), &key));
    assert_eq!(
        (&groups()["review"]["state"], &groups()["review"]["reopened"]),
        (&"open".into(), &true.into()),
        "{}",
        groups()
    );
    assert!(again.to_string().contains("It is open again"), "{again}");
    assert_eq!(server.stop(), Some(0));
}

/// Somebody who is woken up late must not be sent to mend what works again.
#[test]
fn what_is_over_is_told_as_over_while_its_alarm_waits_to_end() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let crm = Recorder::start(move |_| if is_down.load(Ordering::SeqCst) { 503 } else { 200 });
    let site = Site::new(&format!(
        "[alarms]\nevery = \"50ms\"\nhold = \"1h\"\ndisk_free = 0\nbreaker_open = \"0s\"\n\
         [destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         breaker = {{ minimum = 5, pause = \"500ms\" }}\nbackoff = {{ base = \"50ms\", cap = \"100ms\" }}\n\
         [[routes]]\ndestination = \"crm\"\n",
        crm.address
    ));
    let server = site.start();
    post(&server, 0, 30);
    waiting::until_so("it pages", || open(&server).iter().any(|alarm| alarm["kind"] == "breaker-open"));
    let said = run(&site, &server, &["alarms"], 1);
    assert!(said.contains("ERROR destination crm is down for") && !said.contains("OVER"), "{said}");
    assert!(open(&server).iter().all(|alarm| alarm["gone_since"].is_null()));
    down.store(false, Ordering::SeqCst);
    server.until_settled("crm");
    waiting::until_so("it is over", || open(&server).iter().all(|alarm| alarm["gone_since"].is_i64()));
    for said in [run(&site, &server, &["alarms"], 1), run(&site, &server, &["status"], 0)] {
        assert!(said.contains("OVER for ") && said.contains("nothing to do, its alarm ends by itself"), "{said}");
        assert!(said.contains("it was: ") && !said.contains("mend crm") && !said.contains("What to do"), "{said}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_refused_configuration_is_an_alarm_until_it_is_mended() {
    let pager = Recorder::start(|_| 202);
    let site = site("", &format!("{FAULTY}{}", pagerduty(&pager)));
    let server = site.start();
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), format!("bogus = 1\n{config}")).unwrap();
    run(&site, &server, &["reload"], 3);
    waiting::until_so("it pages", || !pager.requests().is_empty());
    let said = run(&site, &server, &["alarms"], 1);
    assert!(said.contains("WARNING the changed configuration is refused; the one before is in force"), "{said}");
    assert!(said.contains("aftercall.toml:1:1: unknown field `bogus`") && said.contains("mend the file"), "{said}");
    assert!(said.contains("it does not start with this file"), "{said}");
    fs::write(site.path("aftercall.toml"), config).unwrap();
    run(&site, &server, &["reload"], 0);
    waiting::until_so("it is over", || open(&server).is_empty());
    waiting::until_so("that is told", || pager.requests().len() == 2);
    assert_eq!(server.stop(), Some(0));
}
