//! Events that no route takes, as an operator meets them: counted in groups, listed, explained, and delivered after all
//! when the route is there.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::client;
use crate::site::{Server, Site};

/// Takes calls that have ended, and nothing else.
const CALLS_ONLY: &str = r#"
[destinations.events]
kind = "file"
path = "events.ndjson"
[[routes]]
name = "calls"
destination = "events"
pattern = '{"eventType": ["call.ended"]}'
"#;
const CHATS_TOO: &str = r#"pattern = '{"eventType": ["call.ended", "chat.ended"]}'"#;

struct Stage {
    site: Site,
    server: Server,
}

/// A server that has accepted 2 events which its route takes, and 11 which it does not: of three kinds, by two sources.
fn stage() -> Stage {
    let site = Site::new(CALLS_ONLY);
    let server = site.start();
    let post = |number: usize, topic: &str| {
        let event =
            format!(r#"{{"webhookEventId":"u-{number}","conversationId":"c-{}","eventType":"{topic}"}}"#, number % 4);
        assert_eq!(server.post(event).counts(), (1, 0));
    };
    (0..7).for_each(|number| post(number, "chat.ended"));
    (7..9).for_each(|number| post(number, "call.ended"));
    let envelope = r#"{"version":"0","id":"e-1","detail-type":"v2.users.presence","source":"aws.partner/genesys.com",
        "account":"1","time":"2026-03-19T22:04:48Z","region":"eu-central-1","resources":[],"detail":{"presence":"away"}}"#;
    assert_eq!(server.post_eventbridge(envelope).counts(), (1, 0));
    (9..12).for_each(|number| post(number, "sms.ended"));
    server.until_settled("events");
    assert_eq!(server.count("unmatched"), 11);
    Stage { site, server }
}

impl Stage {
    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> String {
        let console = self.server.console.to_string();
        let output = self.site.run(&[args, &["--console", &console]].concat());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[&["unmatched"], args, &["--json"]].concat(), 0)).unwrap()
    }

    /// The ids of a list.
    #[track_caller]
    fn ids(&self, args: &[&str]) -> Vec<String> {
        ids(&self.json(&[&["list"], args].concat()))
    }

    #[track_caller]
    fn ask(&self, query: &str) -> Value {
        let answer = client::get(self.server.console, &format!("/api/v1/{query}")).unwrap();
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }
}

fn ids(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_no_route_takes_is_counted_by_kind_and_leads_to_the_field_that_decides() {
    let stage = stage();
    let groups = stage.json(&["groups"]);
    let short = |groups: &Value| {
        let groups = groups["groups"].as_array().unwrap();
        let short = |group: &Value| {
            let text = |field: &str| group[field].as_str().unwrap().to_owned();
            (group["count"].as_u64().unwrap(), text("source"), text("topic"))
        };
        groups.iter().map(short).collect::<Vec<_>>()
    };
    let expected = [(7, "genesys", "chat.ended"), (3, "genesys", "sms.ended"), (1, "eventbridge", "v2.users.presence")];
    let expected = expected.map(|(count, source, topic)| (count, source.to_owned(), topic.to_owned()));
    assert_eq!(short(&groups), expected);
    assert_eq!((&groups["looked_at"], &groups["more"]), (&11.into(), &false.into()));
    assert_eq!(short(&stage.json(&["groups", "--source", "eventbridge"])), expected[2..]);
    let shown = stage.run(&["unmatched", "groups"], 0);
    let sample = groups["groups"][0]["sample"].as_str().unwrap();
    assert!(shown.contains("chat.ended") && shown.contains(&format!("aftercall trace --event {sample}")), "{shown}");

    // From the group to its events, and from each to the field that decides.
    let listed = stage.run(&["unmatched", "list", "--topic", "chat.ended", "--conversation", "c-2"], 0);
    let of_conversation = stage.ids(&["--topic", "chat.ended", "--conversation", "c-2"]);
    assert_eq!(of_conversation.len(), 2);
    for id in of_conversation {
        assert!(listed.contains(&id), "{listed}");
        let story = stage.run(&["trace", "--event", &id], 0);
        for part in ["route calls to events does not match", "eventType", "chat.ended", "no route takes it now"] {
            assert!(story.contains(part), "{part}: {story}");
        }
    }
}

#[test]
fn lists_are_selected_and_paged() {
    let stage = stage();
    let all = stage.ids(&[]);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 11);
    let page = stage.json(&["list", "--limit", "1"]);
    let newest = &page["events"][0];
    assert_eq!((&newest["source"], &newest["topic"]), (&"genesys".into(), &"sms.ended".into()));
    assert_eq!(newest["conversation"], "c-3");
    assert_eq!(
        newest["body_bytes"],
        r#"{"webhookEventId":"u-11","conversationId":"c-3","eventType":"sms.ended"}"#.len()
    );
    for (args, count) in [
        (&["--source", "genesys"][..], 10),
        (&["--source", "eventbridge", "--topic", "v2.users.presence"], 1),
        (&["--topic", "call.ended"], 0),
        (&["--topic", ""], 0),
        (&["--conversation", "c-0", "--topic", "chat.ended"], 2),
        (&["--within", "1h"], 11),
        (&["--within", "0s"], 0),
        (&["--from", "2020-01-01", "--to", "2100-01-01"], 11),
        (&["--to", "2020-01-01T00:00:00Z"], 0),
    ] {
        assert_eq!(stage.ids(args).len(), count, "{args:?}");
    }
    // By hand, before the last that was seen.
    let (mut seen, mut before) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec!["list", "--limit", "4"];
        args.extend(before.iter().flat_map(|before| ["--before", before.as_str()]));
        let page = stage.json(&args);
        seen.extend(ids(&page));
        if page["next"].is_null() {
            break;
        }
        before = Some(page["next"].to_string());
    }
    assert_eq!(seen, all);
    let shown = stage.run(&["unmatched", "list", "--limit", "4"], 0);
    assert!(shown.contains("There may be more: --before ") && shown.lines().count() == 8, "{shown}");
    // By a program, at the cursors; and it stays so over a kill.
    let Stage { site, server } = stage;
    server.kill();
    let stage = Stage { server: site.start(), site };
    let (mut seen, mut query) = (Vec::new(), "unmatched?limit=3&source=genesys".to_owned());
    loop {
        let page = stage.ask(&query);
        assert!(ids(&page).len() <= 3 && page["damaged"] == Value::Array(Vec::new()), "{page}");
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("unmatched?limit=3&source=genesys&cursor={next}");
    }
    assert_eq!(seen, stage.ids(&["--source", "genesys"]));
    let groups = stage.ask("unmatched-groups?limit=1");
    assert_eq!((&groups["groups"][0]["count"], &groups["looked_at"]), (&3.into(), &3.into()), "{groups}");
    assert!(groups["next"].is_string());
}

#[test]
fn a_route_that_was_missing_takes_what_is_replayed() {
    let stage = stage();
    let id = stage.ids(&["--topic", "chat.ended"])[0].clone();
    let config = fs::read_to_string(stage.site.path("aftercall.toml")).unwrap();
    let mended = config.replace(r#"pattern = '{"eventType": ["call.ended"]}'"#, CHATS_TOO);
    assert_ne!(config, mended);
    fs::write(stage.site.path("aftercall.toml"), mended).unwrap();
    stage.run(&["reload"], 0);
    let story = stage.run(&["trace", "--event", &id], 0);
    assert!(story.contains("route calls to events matches"), "{story}");
    let replay = ["replay", "--from", "2020-01-01", "--to", "2100-01-01", "--destination", "events", "--yes"];
    stage.run(&[&replay[..], &["--pattern", r#"{"eventType": ["chat.ended"]}"#]].concat(), 0);
    stage.server.until_settled("events");
    assert_eq!(stage.site.events().iter().filter(|line| line.contains("chat.ended")).count(), 7);
    // They are still those that were led nowhere when they came.
    assert_eq!((stage.ids(&[]).len(), stage.server.count("unmatched")), (11, 11));
}

#[test]
fn what_cannot_be_is_refused_with_the_cure() {
    let site = Site::new(CALLS_ONLY);
    let stage = Stage { server: site.start(), site };
    for (query, parts) in [
        ("from=yesterday", ["from", "milliseconds of Unix time, such as"]),
        ("to=2026-03-19", ["to", "milliseconds of Unix time, such as"]),
        ("to=", ["to", "milliseconds of Unix time, such as"]),
        ("cursor=17", ["cursor", "take it as `next` of the page before"]),
        ("cursor=ffffffffffffffff", ["cursor", "take it as `next` of the page before"]),
        ("before=-1", ["before", "invalid digit"]),
        ("before=9007199254740992", ["before", "0 to 9007199254740991"]),
        ("limit=0", ["limit", "1 to 1000"]),
        ("limit=1001", ["limit", "1 to 1000"]),
        ("destination=crm", ["unknown field `destination`", "`conversation`"]),
    ] {
        for path in ["unmatched", "unmatched-groups"] {
            let answer = client::get(stage.server.console, &format!("/api/v1/{path}?{query}")).unwrap();
            let problem = answer.json();
            assert_eq!((answer.status, problem["code"].as_str()), (400, Some("bad-request")), "{query}: {problem}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(parts.iter().all(|part| detail.contains(part)), "{query}: {detail}");
        }
    }
    let refused = |args: &[&str]| stage.run(&[&["unmatched", "list"], args].concat(), 2);
    assert!(refused(&["--from", "yesterday"]).contains("write 2026-03-19T21:00:00Z or 2026-03-19"));
    assert!(refused(&["--from", "2026-03-20", "--to", "2026-03-19"]).contains("--from must be before --to"));
    assert!(refused(&["--limit", "0"]).contains("1..=1000"));

    // Nothing there is no failure, and says what it means.
    assert!(
        stage.run(&["unmatched", "list"], 0).starts_with("no events without a route: every event that the log has")
    );
    assert!(stage.run(&["unmatched", "groups"], 0).starts_with("no events without a route"));
    assert_eq!(stage.run(&["unmatched", "list", "--topic", "x"], 0), "no event without a route is of this choice\n");
    assert_eq!(stage.json(&["list"])["next"], Value::Null);
}
