//! Outcomes: as a payload, under patterns, and violations at the quality team before anything that waits elsewhere.

use std::fs;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use simulator::crm::Fault;

use crate::client::Client;
use crate::delivery::{crm, load, to_crm};
use crate::kept;
use crate::recorder::Recorder;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

const WEBHOOK: &str = r#"{"webhookEventId":"w-1","eventType":"conversation.analysis.completed",
    "timestamp":"2026-03-02T08:15:00Z","conversationId":"c-1","data":{"agentId":"a-7",
    "sentiment":{"overall":-40,"mood":"grim"},"intents":[{"name":"billing","confidence":0.910}],
    "complianceViolations":[{"code":"card_number_spoken","severity":"High"},"no_greeting"]}}"#;
const ACW: &str = r#"{"detail-type":"v2.detail.events.conversation.{id}.acw","source":"genesys","detail":{"eventBody":{
    "eventTime":1773957888128,"conversationId":"c-2","sessionId":"s-1","userId":"u-1","wrapupCode":"ININ-WRAP-UP-TIMEOUT",
    "wrapupDurationMs":15000}}}"#;
const VIOLATIONS: &str = r#"{"compliance": {"count": [{"numeric": [">", 0]}]}}"#;

/// The quality team, which gets violations as they are in the outcome.
fn to_quality(quality: &Recorder) -> String {
    format!(
        r#"
[destinations.quality]
kind = "http"
url = "http://{}/violations"
[[routes]]
name = "violations"
destination = "quality"
on = "outcome"
pattern = '{VIOLATIONS}'
mapping = 'outcome | {{conversation: .conversation_id, compliance}}'
"#,
        quality.address
    )
}

fn violation(number: u32, severity: &str) -> String {
    format!(
        r#"{{"webhookEventId":"violation-{number}","conversationId":"c-{number}","data":{{"complianceViolations":[{{"code":"x","severity":"{severity}"}}]}}}}"#
    )
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Waits until the quality team has got the violation of this severity.
fn until_told(quality: &Recorder, severity: &str) -> Value {
    waiting::until("the violation is at the quality team", || {
        let bodies =
            quality.requests().into_iter().map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
        bodies.into_iter().find(|body| body["compliance"]["severity"] == severity)
    })
}

#[test]
fn a_mapping_can_give_the_outcome() {
    let site = Site::new("");
    fs::write(site.path("webhook.json"), WEBHOOK).unwrap();
    fs::write(site.path("acw.json"), ACW).unwrap();
    let map = |mapping: &str, event: &str| -> Value {
        serde_json::from_str(&expect(&site.run(&["map", "--mapping", mapping, "--event", event]), 0)).unwrap()
    };
    let told = map("outcome", "@webhook.json");
    assert_eq!(
        (&told["schema"], &told["conversation_id"], &told["agent_id"]),
        (&json!(1), &json!("c-1"), &json!("a-7"))
    );
    assert_eq!((&told["sentiment"]["score"], &told["sentiment"]["scale"]), (&json!(-0.4), &json!("percent")));
    assert_eq!((&told["compliance"]["count"], &told["compliance"]["severity"]), (&json!(2), &json!("high")));
    assert_eq!(told["extra"], json!({"/webhookEventId": "w-1", "/data/sentiment/mood": "grim"}));
    let told = map("outcome | {id: .conversation_id, agent_id, at: .occurred_at, wrapup}", "@acw.json");
    let wrapup = json!({"code": "ININ-WRAP-UP-TIMEOUT", "kind": "reserved", "notes": null, "duration_ms": 15_000});
    assert_eq!(told, json!({"id": "c-2", "agent_id": "u-1", "at": "2026-03-19T22:04:48.128Z", "wrapup": wrapup}));
    let said = expect(&site.run(&["map", "--mapping", "outcome.intents[0]", "--event", WEBHOOK]), 0);
    assert_eq!(said, "{\"name\":\"billing\",\"confidence\":0.910}\n", "digits are kept");
}

#[test]
fn match_looks_at_the_outcome_if_it_is_told_to() {
    let site = Site::new("");
    let run = |event: &str, more: &[&str]| {
        site.run(&[&["match", "--on", "outcome", "--pattern", VIOLATIONS, "--event", event], more].concat())
    };
    assert_eq!(expect(&run(WEBHOOK, &[]), 0), "match\n  compliance.count: wants a number > 0, found 2\n");
    assert_eq!(expect(&run(ACW, &[]), 1), "no match\n  compliance.count: wants a number > 0, found null\n");
    let said: Value = serde_json::from_str(&expect(&run(WEBHOOK, &["--json"]), 0)).unwrap();
    assert_eq!((&said["match"], &said["fields"][0]["path"]), (&json!(true), &json!("compliance.count")));
    let event = site.run(&["match", "--pattern", VIOLATIONS, "--event", WEBHOOK]);
    assert!(expect(&event, 1).contains("found nothing"), "without it the event itself is looked at");
    let nested = r#"{"compliance": {"violations": {"code": ["no_greeting"], "severity": [null]}}}"#;
    expect(&site.run(&["match", "--on", "outcome", "--pattern", nested, "--event", WEBHOOK]), 0);
    expect(&run("[]", &[]), 2);
}

#[test]
fn a_pattern_on_the_outcome_must_name_what_an_outcome_has() {
    let site = Site::new(TO_FILE);
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let check = |route: &str| {
        fs::write(site.path("aftercall.toml"), format!("{config}{route}\n")).unwrap();
        site.run(&["serve", "--config", "aftercall.toml", "--check-config"])
    };
    let good = format!("on = \"outcome\"\npattern = '{VIOLATIONS}'");
    expect(&check(&good), 0);
    expect(&check("on = \"outcome\"\npattern = '{\"extra\": {\"/data/team\": [\"a\"]}}'"), 0);
    for (route, told) in [
        ("on = \"outcome\"", "routes[1].on: means nothing without a pattern"),
        ("on = \"outcome\"\npattern = '{\"detail\": {\"userId\": [\"u\"]}}'", "no outcome has a field `detail.userId`"),
        ("on = \"outcome\"\npattern = '{\"compliance\": {\"cuont\": [1]}}'", "did you mean `compliance.count`?"),
        ("on = \"outcome\"\npattern = '{\"sentiment\": [\"negative\"]}'", "sentiment.score, sentiment.label"),
        ("on = \"body\"\npattern = '{\"a\": [1]}'", "event"),
    ] {
        let said = expect(&check(route), 3);
        assert!(said.contains(told), "{route}: {said}");
    }
}

#[test]
fn violations_go_to_the_quality_team_and_trace_says_which_field_decided() {
    let quality = Recorder::start(|_| 200);
    let site = Site::new(&(to_quality(&quality) + TO_FILE));
    let server = site.start();
    assert_eq!(server.post(WEBHOOK).counts(), (1, 0));
    assert_eq!(
        server.post(r#"{"webhookEventId":"w-2","conversationId":"c-3","data":{"complianceViolations":[]}}"#).counts(),
        (1, 0)
    );
    assert_eq!(server.post_eventbridge(ACW).counts(), (1, 0));
    // An item of a batch has the conversation of its batch.
    let batch =
        r#"{"webhookEventId":"w-4","conversationId":"c-4","data":[{"complianceViolations":["late"]},{"agentId":"a"}]}"#;
    assert_eq!(server.post(batch).counts(), (2, 0));
    server.until_settled("quality");
    server.until_settled("events");
    let mut told: Vec<Value> =
        quality.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    told.sort_by_key(|body| body["conversation"].to_string());
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["conversation"], &told[0]["compliance"]["severity"]), (&json!("c-1"), &json!("high")));
    assert_eq!((&told[1]["conversation"], &told[1]["compliance"]["count"]), (&json!("c-4"), &json!(1)));
    assert_eq!(site.events().len(), 5, "and everything goes where it went before");

    let console = server.console.to_string();
    let story = |conversation: &str| expect(&site.run(&["trace", conversation, "--console", &console]), 0);
    let said = story("c-1");
    assert!(
        said.contains(
            "route violations to quality matches: of its outcome, compliance.count: wants a number > 0, found 2"
        ),
        "{said}"
    );
    let said = story("c-3");
    assert!(
        said.contains(
            "route violations to quality does not match: of its outcome, compliance.count: wants a number > 0, found 0"
        ),
        "{said}"
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_not_recognised_is_counted_in_the_status() {
    let quality = Recorder::start(|_| 200);
    let everything = "[destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n[[routes]]\ndestination = \"lake\"\nmapping = \"outcome\"\n";
    for config in [everything.to_owned(), to_quality(&quality) + everything] {
        let site = Site::new(&config);
        let server = site.start();
        let post = |id: &str, data: &str| {
            let body = format!(r#"{{"webhookEventId":"{id}","conversationId":"c","data":{data}}}"#);
            assert_eq!(server.post(body).counts(), (1, 0));
        };
        post("u-1", r#"{"sentiment":{"overall":"grumpy"},"intents":[1,"a",true]}"#);
        post("u-2", r#"{"sentiment":{"overall":"furious"},"other":1}"#);
        post("u-3", r#"{"sentiment":{"overall":"mixed"}}"#);
        server.until_settled("lake");
        let counts = server.status()["unrecognised"].clone();
        assert_eq!(counts.as_array().unwrap().len(), 2, "{counts}");
        assert_eq!((&counts[0]["path"], &counts[0]["values"]), (&json!("/data/intents/*"), &json!(2)), "{counts}");
        assert_eq!(
            (&counts[1]["path"], &counts[1]["values"]),
            (&json!("/data/sentiment/overall"), &json!(2)),
            "{counts}"
        );
        let lines: Vec<Value> = site.events().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.iter().find(|outcome| outcome["unrecognised"][0]["value"] == "\"furious\"").unwrap();
        assert_eq!(counts[1]["last_event"], last["event_id"]);
        let shown = expect(&site.run(&["status", "--console", &server.console.to_string()]), 0);
        assert!(
            shown.contains(
                "not recognised in outcomes since the start: 2 values of /data/sentiment/overall, last in event"
            ),
            "{shown}"
        );
        assert!(!site.logs().contains("grumpy") && !shown.contains("grumpy"), "values are not shown");
    }
}

#[test]
fn a_redrive_is_tried_with_the_outcome_before_it_is_done() {
    let crm = Recorder::start(|_| 200);
    let config = |mapping: &str| {
        format!(
            "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\n[[routes]]\ndestination = \"crm\"\nmapping = '{mapping}'\n",
            crm.address
        )
    };
    let (faulty, mended) = ("outcome | .score / 2", "outcome | .sentiment.score / 2");
    let site = Site::new(&config(faulty));
    let server = site.start();
    assert_eq!(server.post(WEBHOOK).counts(), (1, 0));
    server.until_settled("crm");
    assert_eq!(server.count("dead_letters"), 1);
    assert_eq!(server.stop(), Some(0));
    assert!(kept::dead_letters(&site.path("data"))[0].failure.message.contains("failed: "));
    let text = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), text.replace(faulty, mended)).unwrap();
    let server = site.start();
    let console = server.console.to_string();
    let said = expect(&site.run(&["redrive", "--all", "--dry-run", "--console", &console]), 0);
    assert!(said.starts_with("1 would pass, 0 would fail") && said.contains("-0.2"), "{said}");
    expect(&site.run(&["redrive", "--all", "--console", &console]), 0);
    server.until_settled("crm");
    assert_eq!(crm.requests()[0].body, b"-0.2");
}

/// Nothing has gone through at the CRM, and this much waits there.
fn still_waits(server: &Server, events: u64) {
    let crm = server.consumer("crm");
    assert_eq!((&crm["delivered"], &crm["dead_letters"]), (&json!(0), &json!(0)), "{crm}");
    assert!(crm["unsettled"].as_u64() >= Some(events), "{crm}");
}

#[test]
fn a_violation_is_at_the_quality_team_while_the_backlog_of_a_crm_that_hangs_still_waits() {
    let crm = crm();
    crm.fail(Fault::Timeout { written: false });
    let quality = Recorder::start(|_| 200);
    let site = Site::new(&(to_crm(crm.address(), "timeout = \"10m\"\norder = \"none\"") + &to_quality(&quality)));
    let server = site.start();
    let backlog = load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (2, 500, Some(10));
    });
    assert_eq!(backlog.accepted, 5_000);
    waiting::until_so("every attempt at the CRM hangs", || server.consumer("crm")["leased"] == 50);
    assert_eq!(server.post(violation(1, "critical")).counts(), (1, 0));
    assert_eq!(until_told(&quality, "critical")["conversation"], "c-1");
    still_waits(&server, 5_001);

    // After a crash the backlog has to be read from the log.
    server.kill();
    let server = site.start();
    waiting::until_so("every attempt at the CRM hangs again", || server.consumer("crm")["leased"] == 50);
    assert_eq!(server.post(violation(2, "high")).counts(), (1, 0));
    assert_eq!(until_told(&quality, "high")["conversation"], "c-2");
    still_waits(&server, 5_002);
}

#[test]
fn a_violation_is_at_the_quality_team_while_what_is_replayed_to_a_crm_that_is_down_still_waits() {
    let crm = crm();
    crm.fail(Fault::UNAVAILABLE);
    let quality = Recorder::start(|_| 200);
    let site = Site::new(&(to_crm(crm.address(), "order = \"none\"") + &to_quality(&quality)));
    let server = site.start();
    load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (2, 500, Some(6));
    });
    let console = server.console.to_string();
    let all = ["replay", "--destination", "crm", "--source", "store", "--from", "2020-01-01", "--to", "2100-01-01"];
    let mut replay = site.command(&[&all[..], &["--rate", "100000", "--yes", "--console", &console]].concat());
    let mut replay = replay.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    waiting::until_so("events are being replayed", || server.count("replayed") > 0);
    assert_eq!(server.post(violation(1, "critical")).counts(), (1, 0));
    assert_eq!(until_told(&quality, "critical")["conversation"], "c-1");
    still_waits(&server, 3_001);
    waiting::until("the replay ends", || replay.try_wait().unwrap());
    assert_eq!(server.post(violation(2, "low")).counts(), (1, 0));
    assert_eq!(until_told(&quality, "low")["conversation"], "c-2");
    still_waits(&server, 6_002);
}

#[test]
fn a_violation_is_at_the_quality_team_while_what_is_redriven_to_a_crm_still_waits() {
    let crm = crm();
    crm.fail(Fault::Status { code: 422, retry_after: None });
    let quality = Recorder::start(|_| 200);
    let site = Site::new(&(to_crm(crm.address(), "timeout = \"10m\"\norder = \"none\"") + &to_quality(&quality)));
    let server = site.start();
    load(server.intake, |load| {
        (load.connections, load.events_per_request, load.requests_max) = (2, 500, Some(4));
    });
    server.until_settled("crm");
    assert_eq!(server.count("dead_letters"), 2_000);
    crm.fail(Fault::Timeout { written: false });
    let mut redrive = site.command(&["redrive", "--all", "--console", &server.console.to_string()]);
    let mut redrive = redrive.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    waiting::until_so("events are being redriven", || server.count("redriven") > 0);
    let mut client: Client = server.client();
    for number in 0..20 {
        let severity = if number == 19 { "critical" } else { "low" };
        assert_eq!(client.post_signed(violation(number, severity).as_bytes()).unwrap().counts(), (1, 0));
    }
    until_told(&quality, "critical");
    waiting::until_so("all violations are there", || quality.requests().len() == 20);
    let waiting = server.consumer("crm");
    assert_eq!(waiting["delivered"], 0, "{waiting}");
    assert!(waiting["unsettled"].as_u64() > Some(20), "{waiting}");
    let _ = redrive.kill();
    let _ = redrive.wait();
}
