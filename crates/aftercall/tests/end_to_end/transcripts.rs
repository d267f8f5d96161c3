//! Transcripts from end to end: an event comes in, and a transcript is in the store, however late, broken off or killed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::platform::{self, Communication, Conversation, Fault, Platform, Transcript};

use crate::site::{Server, Site};
use crate::waiting;

pub(crate) const LEG: &str = "32222222-2222-4222-8222-222222222222";

/// The id of a conversation.
pub(crate) fn conversation(number: u32) -> String {
    format!("31111111-1111-4111-8111-{number:012}")
}

/// A site that fetches transcripts, with everything else and the update events in a file, and the outcomes of update events
/// in another one.
pub(crate) fn site(platform: &Platform, schedule: &str) -> Site {
    let address = platform.address();
    let head = format!(
        "[genesys]\nclient_id = \"{}\"\nclient_secret = \"file:client-secret\"\nregion = \"eu-central-1\"\n\
         login_url = \"http://{address}\"\napi_url = \"http://{address}\"\n",
        platform::CLIENT_ID
    );
    let rest = format!(
        r#"
[destinations.transcripts]
kind = "transcripts"
url = "store"
schedule = {{ first = "0s", {schedule} }}
[[routes]]
destination = "transcripts"
[destinations.events]
kind = "file"
path = "events.ndjson"
[[routes]]
destination = "events"
[destinations.outcomes]
kind = "file"
path = "outcomes.ndjson"
[[routes]]
destination = "outcomes"
sources = ["transcripts"]
on = "outcome"
pattern = '{{"transcript_uri": [{{"prefix": "file://"}}]}}'
mapping = 'outcome'
"#
    );
    let site = Site::with_head(&head, &rest);
    fs::write(site.path("client-secret"), platform::CLIENT_SECRET).unwrap();
    site
}

pub(crate) fn start(change: impl FnOnce(&mut platform::Options)) -> Platform {
    let mut options = platform::Options::default();
    change(&mut options);
    Platform::start(options).unwrap()
}

pub(crate) fn add(platform: &Platform, number: u32, transcript: Option<Transcript>) {
    let leg = Communication { id: LEG.to_owned(), recorded: true, transcript };
    platform.add(Conversation { id: conversation(number), communications: vec![leg] });
}

/// Work after a call of this conversation.
pub(crate) fn send(server: &Server, number: u32) {
    let body = json!({
        "version": "0", "id": format!("41111111-1111-4111-8111-{number:012}"),
        "detail-type": "v2.detail.events.conversation.{id}.acw", "source": "aws.partner/genesys.com/cloud/x/y",
        "account": "123456789012", "time": "2026-11-27T09:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": {"topicName": format!("v2.detail.events.conversation.{}.acw", conversation(number)), "version": "2",
            "eventBody": {"eventTime": 1_795_770_000_000u64 + u64::from(number), "conversationId": conversation(number),
                "participantId": LEG, "sessionId": LEG, "mediaType": "VOICE", "wrapupCode": "ININ-WRAP-UP-TIMEOUT"}},
    });
    let answer = server.post_eventbridge(body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

pub(crate) fn file(site: &Site, number: u32) -> PathBuf {
    site.path(&format!("store/transcripts/{}/{LEG}/{LEG}.json", conversation(number)))
}

/// The update events that have come to the file.
pub(crate) fn told(site: &Site) -> Vec<Value> {
    let events = site.events();
    let events = events.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["eventType"] == "transcript.stored").collect()
}

fn destination(server: &Server) -> Value {
    let status = server.status();
    let all = status["destinations"].as_array().unwrap();
    all.iter().find(|destination| destination["name"] == "transcripts").unwrap().clone()
}

#[test]
fn a_late_transcript_arrives_on_the_third_try_and_delays_nobody() {
    let platform = start(|_| {});
    let late = Transcript { bytes: 300_000, after_requests: 2, ..Transcript::default() };
    add(&platform, 1, Some(late));
    let site = site(&platform, r#"base = "300ms", cap = "300ms""#);
    let server = site.start();
    send(&server, 1);
    waiting::until_so("the event itself", || site.events().len() == 1);
    waiting::until_so("the update event", || told(&site).len() == 1);
    server.until_settled("transcripts");
    let told = told(&site).remove(0);
    let stored = fs::read(file(&site, 1)).unwrap();
    let hash = hex(&stored);
    assert_eq!((told["bytes"].as_u64(), told["sha256"].as_str()), (Some(300_000), Some(hash.as_str())));
    assert_eq!((&told["conversationId"], &told["communicationId"]), (&conversation(1).into(), &LEG.into()));
    let outcome = || fs::read_to_string(site.path("outcomes.ndjson")).unwrap_or_default();
    waiting::until_so("the outcome", || outcome().ends_with('\n'));
    let outcome: Value = serde_json::from_str(outcome().trim_end()).unwrap();
    assert_eq!(outcome["transcript_uri"], told["transcriptUri"]);
    assert_eq!((&outcome["topic"], &outcome["source"]), (&"transcript.stored".into(), &"transcripts".into()));
    let health = destination(&server)["health"].clone();
    assert_eq!(health["failed_transient"], 0, "{health}");
    assert!(health["not_yet"].as_u64() >= Some(2) && health["last_error"].is_null(), "{health}");
    assert_eq!(server.status()["alarms"]["open"].as_array().map_or(0, Vec::len), 0);
    assert_eq!((platform.report().downloads, platform.report().malformed), (1, Vec::new()));
    assert_eq!(server.stop(), Some(0));
    assert!(!site.logs().contains("signature="), "an address of a transcript is in the log");
}

#[test]
fn what_something_before_the_platform_answers_costs_no_event() {
    let platform = start(|_| {});
    add(&platform, 1, Some(Transcript { bytes: 1_000, ..Transcript::default() }));
    platform.fail_api(302, 3);
    let site = site(&platform, r#"base = "300ms", cap = "300ms""#);
    let server = site.start();
    send(&server, 1);
    waiting::until_so("the update event", || told(&site).len() == 1);
    server.until_settled("transcripts");
    let health = destination(&server)["health"].clone();
    assert_eq!((&health["dead"], health["failed_transient"].as_u64() >= Some(1)), (&0.into(), true), "{health}");
}

#[test]
fn a_transcript_that_never_comes_is_a_dead_letter_that_says_so_and_can_be_redriven() {
    let platform = start(|_| {});
    add(&platform, 1, None);
    let site = site(&platform, r#"base = "100ms", cap = "100ms", give_up = "1s""#);
    let server = site.start();
    send(&server, 1);
    server.until_settled("transcripts");
    let console = server.console.to_string();
    let list = |extra: &[&str]| {
        let output = site.run(&[&["dead-letters", "list", "--json", "--console", &console], extra].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    // It is told of as settled a moment before it can be listed.
    waiting::until_so("the dead letter", || list(&[])["dead_letters"].as_array().is_some_and(|all| !all.is_empty()));
    let letters = list(&[]).to_string();
    assert!(letters.contains("the transcript never came") && letters.contains("not there yet (404)"), "{letters}");
    add(&platform, 1, Some(Transcript { bytes: 5_000, ..Transcript::default() }));
    let output = site.run(&["redrive", "--destination", "transcripts", "--console", &console]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    waiting::until_so("the update event", || told(&site).len() == 1);
}

#[test]
fn an_address_that_ends_before_it_is_used_is_replaced() {
    let platform = start(|options| options.url_lifetime = Duration::ZERO);
    add(&platform, 1, Some(Transcript { bytes: 50_000, ..Transcript::default() }));
    let site = site(&platform, r#"base = "100ms", cap = "100ms""#);
    let server = site.start();
    send(&server, 1);
    waiting::until_so("several addresses were asked for", || platform.report().api_requests > 4);
    assert!(told(&site).is_empty() && !file(&site, 1).exists());
    platform.set_url_lifetime(Duration::from_secs(3_600));
    waiting::until_so("the update event", || told(&site).len() == 1);
    assert_eq!(fs::metadata(file(&site, 1)).unwrap().len(), 50_000);
    assert_eq!(server.consumer("transcripts")["dead_letters"], 0);
}

#[test]
fn a_kill_in_the_middle_of_an_upload_leaves_nothing_half_and_tells_once() {
    let platform = start(|_| {});
    add(&platform, 1, Some(Transcript { bytes: 20_000_000, ..Transcript::default() }));
    platform.fail_downloads(Fault::Stalls(12_000_000), 1);
    let site = site(&platform, r#"base = "100ms", cap = "100ms""#);
    let server = site.start();
    send(&server, 1);
    let part = file(&site, 1).with_extension("json#1");
    waiting::until_so("two parts are written", || fs::metadata(&part).is_ok_and(|part| part.len() > 10_000_000));
    server.kill();
    assert!(part.exists() && !file(&site, 1).exists());
    let server = site.start();
    waiting::until_so("the update event", || told(&site).len() == 1);
    server.until_settled("transcripts");
    let stored = fs::read(file(&site, 1)).unwrap();
    assert_eq!(told(&site)[0]["sha256"], hex(&stored));
    assert!(stored.len() == 20_000_000 && !part.exists());
    // Killed when all is told and before it is noted, it would be fetched again: as after a restore of the store.
    fs::remove_dir_all(site.path("store/transcripts")).unwrap();
    send(&server, 1);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(told(&site).len(), 1);
}

#[test]
fn the_limit_of_the_platform_is_kept_and_whoever_waits_for_it_fails_nothing() {
    let platform = start(|options| options.api_limit = 10);
    let site = site(&platform, r#"base = "1s", cap = "1s""#);
    for number in 0..12 {
        add(&platform, number, Some(Transcript { bytes: 2_000, ..Transcript::default() }));
    }
    let server = site.start();
    (0..12).for_each(|number| send(&server, number));
    // Each takes two requests, so five come within a minute at most.
    waiting::until_so("some have come", || told(&site).len() >= 3);
    waiting::until_so("the others live", || site.events().len() == 12 + told(&site).len());
    let health = destination(&server)["health"].clone();
    assert_eq!((&health["failed_transient"], &health["dead"]), (&0.into(), &0.into()), "{health}");
    assert_eq!(health["gate"]["breaker"]["state"], "closed");
    // The window is a minute, and it has hardly begun.
    let report = platform.report();
    assert!(report.api_requests <= 10 && report.api_requests_limited == 0, "{report:?}");
}

#[cfg(feature = "postgres")]
#[test]
fn the_row_of_a_conversation_gets_its_transcript_late_and_keeps_what_it_has() {
    use local_postgres::Server as Database;
    let database = Database::start_with("fsync = off\n", &[]).unwrap_or_else(|error| panic!("{error}"));
    let table = "CREATE TABLE calls (conversation_id text PRIMARY KEY, updated_at timestamptz, wrapup text, transcript_uri text)";
    database.sql("postgres", table).unwrap();
    let platform = start(|_| {});
    add(&platform, 1, Some(Transcript { bytes: 5_000, after_requests: 1, ..Transcript::default() }));
    let site = site(&platform, r#"base = "100ms", cap = "100ms""#);
    let warehouse = format!(
        r#"
[destinations.warehouse]
kind = "postgres"
url = "{}"
password = "file:password"
sslmode = "disable"
table = "calls"
key = "conversation_id"
version = "updated_at"
keep = "present"
[[routes]]
destination = "warehouse"
mapping = 'outcome | {{conversation_id, updated_at: .occurred_at, wrapup: .wrapup.code, transcript_uri}}'
"#,
        database.url("postgres")
    );
    fs::write(site.path("password"), Database::PASSWORD).unwrap();
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap() + &warehouse;
    fs::write(site.path("aftercall.toml"), config).unwrap();
    let server = site.start();
    send(&server, 1);
    waiting::until_so("the update event", || told(&site).len() == 1);
    server.until_settled("warehouse");
    let row = database.sql("postgres", "SELECT conversation_id, wrapup, transcript_uri FROM calls").unwrap();
    let uri = told(&site)[0]["transcriptUri"].as_str().unwrap().to_owned();
    assert_eq!(row, format!("{}|ININ-WRAP-UP-TIMEOUT|{uri}", conversation(1)));
}

#[test]
fn a_reload_changes_when_it_is_asked_and_keeps_the_budget_and_refuses_what_the_queue_was_not_opened_for() {
    let platform = start(|_| {});
    add(&platform, 1, Some(Transcript { bytes: 5_000, ..Transcript::default() }));
    let site = site(&platform, r#"base = "1h", cap = "1h""#);
    let path = site.path("aftercall.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("first = \"0s\"", "first = \"30m\"")).unwrap();
    let server = site.start();
    send(&server, 1);
    waiting::until_so("it is too early", || destination(&server)["health"]["not_yet"] == 1);
    let console = server.console.to_string();
    let reload = |config: &str| {
        fs::write(&path, config).unwrap();
        let output = site.run(&["reload", "--console", &console]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = reload(&config.replace("cap = \"1h\"", "cap = \"30h\""));
    assert!(code == Some(3) && said.contains("how long its deliveries wait"), "{code:?} {said}");
    // The one that is parked stays so; the next event of the conversation finds it all the same.
    let (code, said) = reload(&config);
    assert_eq!(code, Some(0), "{said}");
    let again = json!({
        "eventType": "conversation.analytics.completed", "webhookEventId": "w-1", "conversationId": conversation(1),
    });
    assert_eq!(server.post(again.to_string()).status, 200);
    waiting::until_so("the update event", || told(&site).len() == 1);
    assert_eq!(platform.report().token_requests, 1, "the client is the one of before");
}

#[test]
fn a_command_tells_what_is_waited_for_and_why_then_where_it_is_and_reads_it_until_it_is_erased() {
    let platform = start(|_| {});
    add(&platform, 1, None);
    let site = site(&platform, r#"base = "1h", cap = "1h""#);
    let server = site.start();
    let console = server.console.to_string();
    let ask = |code: i32, args: &[&str]| {
        let output = site.run(&[args, &["--console", &console]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    let id = conversation(1);
    assert!(ask(1, &["transcript", &id]).contains("no event asks for its transcripts"));
    send(&server, 1);
    waiting::until_so("it was tried", || destination(&server)["health"]["not_yet"] == 1);
    let said = waiting::until("it is noted", || {
        let said = ask(1, &["transcript", &id]);
        said.contains("1 attempts").then_some(said)
    });
    assert!(said.contains("waits until ") && said.contains("not there yet (404)"), "{said}");
    // Another event of the conversation, by which time the transcript is there.
    add(&platform, 1, Some(Transcript { bytes: 6_000_000, ..Transcript::default() }));
    let again = json!({"eventType": "conversation.analytics.completed", "webhookEventId": "w-1", "conversationId": id});
    assert_eq!(server.post(again.to_string()).status, 200);
    waiting::until_so("the update event", || told(&site).len() == 1);
    let found = waiting::until("it is noted", || {
        let found = site.run(&["transcript", &id, "--json", "--console", &console]);
        found.status.success().then(|| serde_json::from_slice::<Value>(&found.stdout).unwrap())
    });
    let stored = &found["stored"][0];
    assert_eq!((stored["bytes"].as_u64(), &stored["present"]), (Some(6_000_000), &true.into()));
    assert_eq!((&stored["destination"], &stored["sha256"]), (&"transcripts".into(), &told(&site)[0]["sha256"]));
    assert_eq!(found["waiting"][0]["attempts"], 1, "{found}");
    ask(0, &["transcript", &id, "--out", "text.json"]);
    assert_eq!(stored["sha256"], hex(&fs::read(site.path("text.json")).unwrap()));
    ask(2, &["transcript", &id, "--out", "text.json"]);
    let said = ask(0, &["erase", "--conversation", &id, "--reason", "asked", "--yes"]);
    assert!(said.contains("1, 6000000 bytes"), "{said}");
    assert!(!file(&site, 1).exists());
    let said = ask(1, &["transcript", &id]);
    assert!(!said.contains("stored"), "{said}");
    server.until_settled("events");
    waiting::until_so("nothing is asked for any more", || !ask(1, &["transcript", &id]).contains("waits"));
}

fn hex(data: &[u8]) -> String {
    audit::Digest::of(data).to_string()
}
