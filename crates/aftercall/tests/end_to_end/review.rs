//! Dealing with dead letters: edited copies, the state of a group, and export.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::client::{self, Client};
use crate::recorder::Recorder;
use crate::site::{Server, Site};

/// Fails for an event without a name.
const MAPPING: &str = r#"{ name: (.data.name // error("event \($event.id) has no name")) }"#;

struct Stage {
    crm: Recorder,
    site: Site,
    server: Server,
}

/// A server with dead letters of so many events without a name.
fn stage(events: usize) -> Stage {
    stage_with("", events)
}

/// The same, with tables in front of its configuration.
fn stage_with(head: &str, events: usize) -> Stage {
    let crm = Recorder::start(|request| if request.body.ends_with(br#""nobody"}"#) { 422 } else { 200 });
    let site = Site::with_head(
        head,
        &format!(
            "[destinations.crm]\nkind = \"http\"\nmethod = \"PUT\"\nurl = \"http://{}/{{event_id}}\"\n\
         [[routes]]\ndestination = \"crm\"\nmapping = '''{MAPPING}'''\n",
            crm.address
        ),
    );
    let server = site.start();
    let stage = Stage { crm, site, server };
    (0..events).for_each(|number| stage.post(number));
    stage.server.until_settled("crm");
    stage
}

impl Stage {
    fn post(&self, number: usize) {
        let event = format!(r#"{{"webhookEventId":"v-{number}","conversationId":"c-{number}","data":{{"no": 1.50}}}}"#);
        assert_eq!(self.server.post(event).counts(), (1, 0));
    }

    /// kill -9, and another server.
    fn restart(self) -> Self {
        let Self { crm, site, server } = self;
        server.kill();
        Self { server: site.start(), crm, site }
    }

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
    fn letters(&self, args: &[&str], code: i32) -> String {
        self.run(&[&["dead-letters"], args].concat(), code)
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.letters(&[args, &["--json"]].concat(), 0)).unwrap()
    }

    fn ids(&self) -> Vec<u64> {
        let list = self.json(&["list", "--limit", "1000"]);
        list["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_u64().unwrap()).collect()
    }

    fn groups(&self) -> Vec<Value> {
        self.json(&["groups"])["groups"].as_array().unwrap().clone()
    }
}

#[test]
fn a_copy_is_edited_and_redriven_and_the_original_stays() {
    let stage = stage(3);
    let id = stage.ids()[0].to_string();
    let original = r#"{"webhookEventId":"v-0","conversationId":"c-0","data":{"no": 1.50}}"#;
    let said = stage.letters(&["edit", &id, "--set", r#"/data/nam="x""#, "--reason", "a try"], 0);
    assert!(said.contains("the mapping would still fail") && said.contains("has no name"), "{said}");
    let said =
        stage.letters(&["edit", &id, "--set", r#"/data/name="somebody""#, "--reason", "the sender forgot it"], 0);
    assert!(said.contains("is kept; a redrive delivers it"), "{said}");
    let shown = stage.letters(&["show", &id], 0);
    for part in ["by local", "the sender forgot it", r#"/data/name: (nothing) → "somebody""#, "/data/nam: (nothing)"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(stage.letters(&["show", &id, "--body"], 0), original);
    let edited = r#"{"webhookEventId":"v-0","conversationId":"c-0","data":{"no": 1.50,"nam":"x","name":"somebody"}}"#;
    assert_eq!(stage.letters(&["show", &id, "--edited"], 0), edited);

    // From a file, in place of the copy before; and over a kill.
    let copy = original.replace("1.50", r#"1.50, "name": "nobody""#);
    fs::write(stage.site.path("copy.json"), &copy).unwrap();
    stage.letters(&["edit", &id, "--file", "copy.json", "--reason", "better"], 0);
    let stage = stage.restart();
    assert_eq!(stage.letters(&["show", &id, "--edited"], 0), copy);
    let said = stage.run(&["redrive", "--all", "--dry-run"], 1);
    assert!(said.starts_with("1 would pass, 2 would fail") && said.contains(r#"{"name":"nobody"}"#), "{said}");
    stage.run(&["redrive", "--conversation", "c-0"], 0);
    stage.server.until_settled("crm");
    let sent = stage.crm.requests();
    assert_eq!((sent.len(), sent[0].body.as_slice()), (1, &br#"{"name":"nobody"}"#[..]));

    // The CRM refuses it, so it is a dead letter again: the same event, and known to be altered.
    let again = stage.json(&["list", "--conversation", "c-0"])["dead_letters"][0].clone();
    assert!(sent[0].path.ends_with(again["event"].as_str().unwrap()), "{again}");
    let id = again["id"].to_string();
    let shown = stage.letters(&["show", &id], 0);
    assert!(shown.contains("altered") && shown.contains(r#"/data/name: (nothing) → "nobody""#), "{shown}");
    stage.letters(&["edit", &id, "--set", r#"/data/name="somebody""#, "--reason", "its real name"], 0);
    stage.run(&["redrive", "--conversation", "c-0"], 0);
    stage.server.until_settled("crm");
    assert_eq!(stage.crm.requests()[1].body, br#"{"name":"somebody"}"#);
    assert_eq!(stage.server.count("dead_letters"), 2);
    assert_eq!(stage.server.post(original).counts(), (0, 1), "sent again, the original is still a duplicate");
    let log = stage.site.logs();
    assert!(log.contains("a dead letter's body was edited") && log.contains("its real name"), "on record");
    assert_eq!(stage.server.stop(), Some(0));
    assert_eq!(stage.site.check().0, 0);
}

#[test]
fn a_copy_is_dropped_and_the_original_is_what_is_delivered() {
    let stage = stage(1);
    let id = stage.ids()[0].to_string();
    assert!(stage.letters(&["edit", &id, "--drop"], 2).contains("has no edited copy"));
    stage.letters(&["edit", &id, "--set", r#"/data/name="somebody""#, "--reason", "x"], 0);
    assert!(stage.letters(&["edit", &id, "--drop"], 0).contains("is dropped"));
    assert!(stage.letters(&["show", &id, "--edited"], 2).contains("has no edited copy"));
    assert!(stage.run(&["redrive", "--all", "--dry-run"], 1).contains("has no name"));
}

#[test]
fn a_copy_that_could_never_be_delivered_is_refused_with_the_cure() {
    let stage = stage_with("[intake.limits]\nbody = \"1KiB\"\n", 1);
    let id = stage.ids()[0].to_string();
    let edit = |body: &str, code| {
        fs::write(stage.site.path("copy.json"), body).unwrap();
        stage.letters(&["edit", &id, "--file", "copy.json", "--reason", "x"], code)
    };
    assert!(edit("{\"a\":", 2).contains("not valid JSON"));
    assert!(edit("[1]", 2).contains("the body is an array"));
    assert!(edit("", 2).contains("the body is empty"));
    assert!(
        edit(&format!("{{\"a\":\"{}\"}}", "x".repeat(1_100)), 2).contains("longer than 1024 bytes"),
        "as by intake"
    );
    let cases: [(&[&str], &str); 6] = [
        (&["edit", &id, "--set", "/data/name=Ann", "--reason", "x"], "needs quotes"),
        (&["edit", &id, "--set", "name=1", "--reason", "x"], "begin with `/`"),
        (&["edit", &id, "--set", "/a/b/c=1", "--reason", "x"], "there is no `/a/b`"),
        (&["edit", &id, "--reason", "x"], "needs a terminal"),
        (&["edit", &id, "--set", "/a=1"], "--reason"),
        (&["edit", "999", "--set", "/a=1", "--reason", "x"], "there is no dead letter 999"),
    ];
    for (args, expected) in cases {
        let said = stage.letters(args, 2);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    assert_eq!(stage.json(&["show", &id])["edit"], Value::Null, "nothing was kept");

    // Who may only look may not edit, and a page of another site may not have it done.
    let put = |head: &str| {
        let mut client = Client::connect(stage.server.console).unwrap();
        let path = format!("/api/v1/dead-letters/{id}/edit?reason=x");
        client.send(format!("PUT {path} HTTP/1.1\r\n{head}\r\ncontent-length: 2\r\n\r\n{{}}")).unwrap();
        client.answer().unwrap().status
    };
    assert_eq!(put("host: localhost\r\ncontent-type: text/plain"), 415);
    assert_eq!(put("host: evil.example\r\ncontent-type: application/json"), 403);
    assert_eq!(put("host: localhost\r\ncontent-type: application/json"), 200);
}

#[test]
fn an_unreadable_body_is_mended_and_published_as_if_it_had_come_so() {
    let stage = stage(0);
    let broken =
        r#"{"data":[{"webhookEventId":"m-1","data":{"name":"one"}},{"webhookEventId":"m-2","data":{"name":"two"}}"#;
    assert_eq!(stage.server.post(broken).status, 200);
    let id = stage.ids()[0].to_string();
    assert!(stage.run(&["redrive", "--stage", "intake", "--dry-run"], 1).contains("it is of no event"));
    for (body, expected) in [("[]", "holds no events"), ("[1]", "item 0"), ("{\"data\":[", "not valid JSON")] {
        fs::write(stage.site.path("copy.json"), body).unwrap();
        let said = stage.letters(&["edit", &id, "--file", "copy.json", "--reason", "x"], 2);
        assert!(said.contains(expected), "{body}: {said}");
    }
    let mended = format!("{broken}]}}");
    let mut command = stage.site.command(&["dead-letters", "edit", &id, "--file", "-", "--reason", "it was cut off"]);
    command.args(["--console", &stage.server.console.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(mended.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stage.letters(&["show", &id, "--body"], 0), broken, "the original is as it came");
    let stage = stage.restart();
    assert!(stage.run(&["redrive", "--stage", "intake", "--dry-run"], 0).starts_with("1 would pass"));
    assert_eq!(stage.server.count("accepted"), 0);
    assert!(stage.run(&["redrive", "--stage", "intake"], 0).starts_with("1 redriven, 0 refused"));
    stage.server.until_settled("crm");
    let mut bodies: Vec<_> = stage.crm.requests().into_iter().map(|request| request.body).collect();
    bodies.sort();
    assert_eq!(bodies, [br#"{"name":"one"}"#, br#"{"name":"two"}"#]);
    assert_eq!((stage.server.count("accepted"), stage.server.count("dead_letters")), (2, 0));
    assert_eq!(stage.server.post(&mended).counts(), (0, 2), "sent again by its sender, they are duplicates");
}

#[test]
fn a_group_is_acknowledged_over_a_restart_and_opened_again_by_a_new_letter() {
    let stage = stage(2);
    let group = stage.groups()[0].clone();
    assert_eq!((&group["review"]["state"], &group["review"]["reopened"]), (&"open".into(), &false.into()));
    assert!(group["mapping"].as_str().is_some_and(|version| version.len() == 12), "{group}");
    assert_eq!(group["path"], "/data/name");
    let print = group["fingerprint"].as_str().unwrap().to_owned();
    let said = stage.letters(&["acknowledge", &print, "--note", "the CRM team is on it"], 0);
    assert!(said.contains("is acknowledged: 2 dead letters"), "{said}");
    let stage = stage.restart();
    let shown = stage.letters(&["groups"], 0);
    assert!(shown.contains("acknowledged by local") && shown.contains("the CRM team is on it"), "{shown}");
    stage.post(7);
    stage.server.until_settled("crm");
    let group = stage.groups()[0].clone();
    assert_eq!(
        (&group["count"], &group["review"]["state"], &group["review"]["reopened"]),
        (&3.into(), &"open".into(), &true.into())
    );
    assert!(stage.letters(&["groups"], 0).contains("REOPENED"));
    stage.letters(&["resolve", &print], 0);
    assert_eq!(stage.groups()[0]["review"]["state"], "resolved");
    stage.letters(&["reopen", &print], 0);
    assert_eq!(stage.groups()[0]["review"]["state"], "open");
    // What cannot be.
    assert!(stage.letters(&["acknowledge", "0000000000000000"], 2).contains("there is no group"));
    assert!(stage.letters(&["acknowledge", "zz"], 2).contains("16 hexadecimal digits"));
    assert!(stage.letters(&["acknowledge", &print, "--note", &"x".repeat(501)], 2).contains("at most 500"));
    // Without letters there is no group.
    let ids: Vec<_> = stage.ids().iter().map(ToString::to_string).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    stage.letters(&[&["discard", "--reason", "test calls"], &ids[..]].concat(), 0);
    assert!(stage.letters(&["resolve", &print], 2).contains("has no dead letters"));
}

#[test]
fn a_letter_knows_the_version_of_its_mapping_and_a_changed_one_makes_another_group() {
    let stage = stage(1);
    let id = stage.ids()[0].to_string();
    let shown = stage.letters(&["show", &id], 0);
    assert!(shown.contains(", still the same") && shown.contains("/data/name"), "{shown}");
    let version = stage.json(&["show", &id])["failure"]["mapping"].as_str().unwrap().to_owned();
    let Stage { crm, site, server } = stage;
    assert_eq!(server.stop(), Some(0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("{ name:", "{ who: 1, name:")).unwrap();
    let stage = Stage { server: site.start(), crm, site };
    let shown = stage.letters(&["show", &id], 0);
    assert!(shown.contains(&format!("version {version}, now ")), "{shown}");
    stage.post(5);
    stage.server.until_settled("crm");
    let groups = stage.groups();
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_ne!(groups[0]["mapping"], groups[1]["mapping"]);
    assert_eq!(groups[0]["message"], groups[1]["message"]);
}

/// Dead letters of the large export, and bytes that each body has besides.
const MANY: usize = 50_000;
const PADDING: usize = 1_000;

#[test]
fn fifty_thousand_of_one_mapping_are_one_group_and_are_exported_whole() {
    let stage = stage(0);
    let padding = "x".repeat(PADDING);
    let numbers: Vec<usize> = (0..MANY).collect();
    for some in numbers.chunks(8_000) {
        let items = some.iter().map(|number| format!(r#"{{"webhookEventId":"e-{number}","pad":"{padding}"}}"#));
        let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
        assert_eq!(stage.server.post(body).counts(), (some.len() as u64, 0));
        stage.server.until_settled("crm");
    }
    let groups = stage.groups();
    assert_eq!((groups.len(), &groups[0]["count"]), (1, &MANY.into()), "{groups:?}");
    let before = peak_kib(&stage.server);
    let said = stage.letters(&["export", "--out", "letters.ndjson"], 0);
    let grown = peak_kib(&stage.server) - before;
    assert_eq!(said, format!("{MANY} dead letters in letters.ndjson\n"));
    let text = fs::read_to_string(stage.site.path("letters.ndjson")).unwrap();
    let mut seen = std::collections::HashSet::new();
    for line in text.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        let event: Value = serde_json::from_str(letter["body"].as_str().unwrap()).unwrap();
        assert!(seen.insert(event["webhookEventId"].as_str().unwrap().to_owned()), "each once");
    }
    assert_eq!(seen.len(), MANY);
    assert!(grown < text.len() / 1_024 / 2, "{} bytes were exported, and the server took {grown} KiB more", text.len());
}

/// The most memory that a server has had; 0 where the system does not tell.
fn peak_kib(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_export_is_selected_exact_and_never_in_the_way_of_a_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = stage(3);
    stage.server.post(b"no text: \xff\xfe");
    let lines = |args: &[&str]| {
        let said = stage.letters(&[&["export"], args].concat(), 0);
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&[]).len(), 4);
    let one = lines(&["--conversation", "c-1"]);
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["body"], r#"{"webhookEventId":"v-1","conversationId":"c-1","data":{"no": 1.50}}"#);
    assert_eq!(one[0]["failure"]["stage"], "map");
    assert_eq!(lines(&["--stage", "intake"])[0]["body_base64"], "bm8gdGV4dDog//4=");
    assert_eq!(lines(&["--destination", "nobody"]).len(), 0);
    stage.letters(&["export", "--out", "all.ndjson"], 0);
    let mode = fs::metadata(stage.site.path("all.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds what customers have said");
    assert!(!stage.site.path("all.ndjson.part").exists());
    assert!(stage.letters(&["export", "--out", "all.ndjson"], 2).contains("is there already"));
    assert!(stage.letters(&["export", "--out", "nowhere/all.ndjson"], 2).contains("cannot be written"));
    assert!(stage.letters(&["export", "--stage", "lunch"], 2).contains("lunch"));
    let answer = client::get(stage.server.console, "/api/v1/dead-letters/export?limit=1").unwrap();
    assert_eq!(answer.status, 400, "there are no pages");
    stage.server.kill();
    let output = stage.site.run(&["dead-letters", "export", "--out", "late.ndjson", "--console", "127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!stage.site.path("late.ndjson").exists(), "nothing that is not whole has the name");
}
