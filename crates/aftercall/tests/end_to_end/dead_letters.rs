//! Dead letters as an operator meets them: in groups, in lists, one by one, and discarded.

use serde_json::Value;

use crate::client;
use crate::recorder::Recorder;
use crate::site::{Server, Site};

/// What a CRM takes: nothing without a name; and it refuses the events of one conversation.
const MAPPING: &str = r#"{ name: (.data.name // error("event \($event.id) has no name")) }"#;

struct Stage {
    site: Site,
    server: Server,
}

/// A server with 5 dead letters of the mapping and 2 that the CRM refuses, among 10 events.
fn stage() -> Stage {
    let crm = Recorder::start(|request| if request.body.ends_with(br#""nobody"}"#) { 422 } else { 200 });
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         [[routes]]\ndestination = \"crm\"\nmapping = '''{MAPPING}'''\n",
        crm.address
    ));
    let server = site.start();
    for number in 0..10 {
        let data = match number {
            0..5 => r#"{"no":"name"}"#,
            5..7 => r#"{"name":"nobody"}"#,
            _ => r#"{"name":"somebody"}"#,
        };
        let event = format!(r#"{{"webhookEventId":"l-{number}","conversationId":"c-{}","data":{data}}}"#, number % 5);
        assert_eq!(server.post(event).counts(), (1, 0));
    }
    server.until_settled("crm");
    Stage { site, server }
}

impl Stage {
    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> String {
        let console = self.server.console.to_string();
        let output = self.site.run(&[&["dead-letters"], args, &["--console", &console]].concat());
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat(), 0)).unwrap()
    }

    fn ids(&self, args: &[&str]) -> Vec<u64> {
        let letters = self.json(&[&["list"], args].concat());
        let letters = letters["dead_letters"].as_array().unwrap().clone();
        letters.iter().map(|letter| letter["id"].as_u64().unwrap()).collect()
    }
}

#[test]
fn those_that_failed_alike_are_one_group_and_lead_to_the_event() {
    let stage = stage();
    let groups = stage.json(&["groups"]);
    let groups = groups["groups"].as_array().unwrap();
    let short: Vec<_> = groups.iter().map(|group| (group["count"].as_u64(), group["stage"].as_str())).collect();
    assert_eq!(short, [(Some(5), Some("map")), (Some(2), Some("deliver"))]);
    assert!(groups[0]["message"].as_str().unwrap().contains("event # has no name"), "{}", groups[0]);
    assert_eq!(groups[1]["status"], 422);
    let print = groups[0]["fingerprint"].as_str().unwrap();
    let shown = stage.run(&["groups"], 0);
    assert!(shown.contains(print) && shown.contains("event … has no name"), "{shown}");

    // From the group to one of its letters, to what is wrong, to the event itself.
    let ids = stage.ids(&["--group", print]);
    assert_eq!(ids.len(), 5);
    let id = ids[0].to_string();
    let shown = stage.run(&["show", &id], 0);
    for part in ["crm", "c-0", "map (permanent)", "has no name", "1, 0 charged", print] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let body = stage.run(&["show", &id, "--body"], 0);
    assert_eq!(body, r#"{"webhookEventId":"l-0","conversationId":"c-0","data":{"no":"name"}}"#);
    let console = stage.server.console;
    let exact = client::get(console, &format!("/api/v1/dead-letters/{id}/body")).unwrap();
    assert_eq!(exact.body, body);
}

#[test]
fn lists_are_selected_and_paged() {
    let stage = stage();
    let all = stage.ids(&[]);
    assert_eq!(all.len(), 7);
    assert_eq!(stage.ids(&["--stage", "deliver"]).len(), 2);
    assert_eq!(stage.ids(&["--conversation", "c-0"]).len(), 2, "one of either kind");
    assert_eq!(stage.ids(&["--destination", "lake"]), [0; 0]);
    assert_eq!(stage.ids(&["--within", "1h"]), all);
    assert_eq!(stage.ids(&["--within", "0s"]), [0; 0]);
    assert_eq!(stage.ids(&["--limit", "3"]), all[..3]);
    assert_eq!(stage.ids(&["--limit", "3", "--after", &all[2].to_string()]), all[3..6]);
    let shown = stage.run(&["list", "--limit", "3"], 0);
    assert!(shown.contains(&format!("--after {}", all[2])), "{shown}");
    assert_eq!(stage.run(&["list", "--destination", "lake"], 0), "no dead letters\n");
}

#[test]
fn discarding_takes_a_reason_and_is_on_record() {
    let stage = stage();
    let ids = stage.ids(&["--stage", "map"]);
    let two = [ids[0].to_string(), ids[1].to_string()];
    stage.run(&["discard", &two[0]], 2);
    assert_eq!(stage.run(&["discard", &two[0], &two[1], "--reason", "test calls"], 0), "2 of 2 discarded\n");
    assert_eq!(stage.run(&["discard", &two[0], "--reason", "again"], 1), "0 of 1 discarded\n");
    assert_eq!((stage.ids(&["--stage", "map"]), stage.server.count("dead_letters")), (ids[2..].to_vec(), 5));
    let log = stage.site.logs();
    assert!(log.contains("a dead letter was discarded") && log.contains("test calls"), "{log}");
    // It stays so over a restart.
    let Stage { site, server } = stage;
    server.kill();
    let stage = Stage { server: site.start(), site };
    assert_eq!((stage.ids(&["--stage", "map"]), stage.server.count("dead_letters")), (ids[2..].to_vec(), 5));
}

#[test]
fn what_cannot_be_is_refused_with_the_cure() {
    let stage = stage();
    assert!(stage.run(&["show", "999"], 2).contains("there is no dead letter 999"));
    assert!(stage.run(&["show", "999", "--body"], 2).contains("there is no dead letter 999"));
    assert!(stage.run(&["list", "--group", "zz"], 2).contains("16 hexadecimal digits"));
    assert!(stage.run(&["list", "--stage", "lunch"], 2).contains("lunch"));
    let console = stage.server.console;
    for (path, status) in
        [("dead-letters?limt=1", 400), ("dead-letters?limit=x", 400), ("dead-letters/x", 400), ("dead-letter", 404)]
    {
        let answer = client::get(console, &format!("/api/v1/{path}")).unwrap();
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (status, Some(status.into())), "{path}");
    }
    // What a page of another site could have a browser send is refused: text instead of JSON, and a foreign name.
    let ask = |head: &str, body: &str| {
        let mut client = client::Client::connect(console).unwrap();
        let request = format!(
            "POST /api/v1/dead-letters/discard HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(request.as_bytes()).unwrap();
        client.answer().unwrap().status
    };
    let body = r#"{"ids":[1],"reason":"because"}"#;
    assert_eq!(ask("host: localhost\r\ncontent-type: text/plain", body), 415);
    assert_eq!(ask("host: evil.example\r\ncontent-type: application/json", body), 403);
    for wrong in [r#"{"ids":[],"reason":"x"}"#, r#"{"ids":[1],"reason":" "}"#, r#"{"ids":[1]}"#, "{"] {
        let status = ask("host: localhost\r\ncontent-type: application/json", wrong);
        assert!(matches!(status, 400 | 422), "{wrong}: {status}");
    }
    assert_eq!(stage.server.count("dead_letters"), 7);
}
