//! Redaction: what a source's rules take is in no file, whatever way it came, and comes back only to whoever has the key.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use simulator::sign::{Scheme, Signer};

use crate::client::Answer;
use crate::recorder::Recorder;
use crate::site::{SECRET, Server, Site, TO_FILE};
use crate::waiting;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEXT_KEY: &str = "a0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const HEAD: &str = "[archive]\nurl = \"archive\"\n[redaction]\nkey = \"file:redaction-key\"\n";

/// What must be in no file.
const ANI: &str = "tel:+49309988776655";
const DNIS: &str = "tel:+18885550143";
const NAME: &str = "Aurelia Quitzdorf";
const SAID: &str = "my card is 4929-1188-2277";
const NOTE: &str = "Zwölf Äpfel und ein Rückruf";
const CLEAR: [&str; 5] = [ANI, DNIS, NAME, SAID, NOTE];

const RULES: &str = r#"
[[sources.genesys.redact]]
path = "/ani"
how = "tokenise"
[[sources.genesys.redact]]
path = "/dnis"
how = "mask"
keep_last = 4
[[sources.genesys.redact]]
path = "/attributes/*"
how = "hash"
[[sources.genesys.redact]]
path = "/transcripts/*/text"
how = "mask"
[[sources.genesys.redact]]
path = "/wrapupNotes"
how = "drop"
[[sources.eventbridge.redact]]
path = "/detail/eventBody/ani"
how = "tokenise"
[[sources.eventbridge.redact]]
path = "/detail/eventBody/wrapupNotes"
how = "drop"
"#;

fn event(id: &str) -> String {
    format!(
        r#"{{ "webhookEventId" : "{id}", "conversationId": "c-{id}", "ani": "{ANI}", "d\u006eis": "{DNIS}",
            "attributes": {{ "name": "\u0041urelia Quitzdorf", "number": 1.50 }},
            "transcripts": [ {{ "text": "{SAID}", "at": 1 }}, {{ "at": 2, "text": ["{SAID}", {{ "x": "{NAME}" }}] }} ],
            "wrapupNotes": "{NOTE}" , "bad": {}, "wrapupNotes": "Zw\u00f6lf" }}"#,
        id.starts_with("bad")
    )
}

fn enveloped(id: &str) -> String {
    format!(
        r#"{{"version":"0","id":"{id}","detail-type":"v2.detail.events.conversation.{{id}}.acw","detail":{{"eventBody":
           {{"conversationId":"c-{id}","eventTime":1,"ani":"{ANI}","wrapupNotes":"{NOTE}"}}}}}}"#
    )
}

fn site(rest: &str) -> Site {
    let site = Site::with_head(HEAD, &format!("{RULES}{rest}"));
    fs::write(site.path("redaction-key"), KEY).unwrap();
    site
}

#[track_caller]
fn run(site: &Site, args: &[&str], code: i32) -> String {
    let output = site.run(args);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[track_caller]
fn ask(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    run(site, &[args, &["--console", &server.console.to_string()]].concat(), code)
}

#[track_caller]
fn ask_json(site: &Site, server: &Server, args: &[&str], code: i32) -> Value {
    serde_json::from_str(&ask(site, server, &[args, &["--json"]].concat(), code)).unwrap()
}

/// The ways in which a text may be written down.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let mut forms = vec![text.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    forms.extend([escaped.into_bytes(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()]);
    // In base64 it looks different at each of three places.
    for skipped in 0..3 {
        let rest = &text.as_bytes()[skipped..];
        let whole = &rest[..rest.len() / 3 * 3];
        forms.extend([STANDARD_NO_PAD.encode(whole).into_bytes(), URL_SAFE_NO_PAD.encode(whole).into_bytes()]);
    }
    forms
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files of the site in which something of what is clear stands, unpacked if they are packed.
fn leaks(site: &Site) -> Vec<String> {
    let mut all = Vec::new();
    files(&site.path(""), &mut all);
    assert!(all.iter().any(|path| path.ends_with("data/queue.db")), "{all:?}");
    let mut leaks = Vec::new();
    for path in all {
        let mut bytes = fs::read(&path).unwrap_or_default();
        if path.extension().is_some_and(|end| end == "zst") {
            bytes = zstd::decode_all(&*bytes).unwrap();
        }
        let is_there = |form: &Vec<u8>| bytes.windows(form.len()).any(|part| part == form);
        let found = CLEAR.iter().filter(|text| forms(text).iter().any(is_there));
        leaks.extend(found.map(|text| format!("{text} in {}", path.display())));
    }
    leaks
}

fn post_with(server: &Server, secret: &str, body: &str) -> Answer {
    let mut headers = Signer::new(Scheme::Genesys, secret).unwrap().headers(body.as_bytes(), "", 0);
    headers.push(("content-type", "application/json".to_owned()));
    server.client().post("/in/genesys", &headers, body.as_bytes()).unwrap()
}

#[track_caller]
fn quarantined(site: &Site, server: &Server) -> String {
    waiting::until("it is in quarantine", || {
        let page = ask_json(site, server, &["quarantine", "list"], 0);
        page["requests"].as_array()?.first().map(|request| request["id"].to_string())
    })
}

fn of_intake(site: &Site, server: &Server) -> String {
    let page = ask_json(site, server, &["dead-letters", "list", "--stage", "intake"], 0);
    page["dead_letters"][0]["id"].to_string()
}

#[test]
fn what_is_redacted_is_in_no_file_and_whoever_has_the_key_has_it_back() {
    let crm = Recorder::start(|_| 200);
    let site = site(&format!(
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\n[[routes]]\ndestination = \"crm\"\n\
         [destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n[[routes]]\ndestination = \"lake\"\n\
         mapping = 'if .bad then error(\"cannot take \\(.)\") else . end'\n",
        crm.address
    ));
    let server = site.start();
    assert_eq!(server.post(event("one")).counts(), (1, 0));
    assert_eq!(server.post(format!("[{}, {}]", event("two"), event("bad"))).counts(), (2, 0));
    assert_eq!(server.post_eventbridge(format!("[{}]", enveloped("env"))).counts(), (1, 0));
    assert_eq!(server.post(event("one")).counts(), (0, 1), "sent again");
    let torn = format!(r#"{{"conversationId":"c-torn","ani":"{ANI}","text":"{SAID}"#);
    assert_eq!(server.post(&torn).status, 200);
    let forged = event("forged");
    assert_eq!(post_with(&server, "another secret", &forged).status, 401);
    let refused = quarantined(&site, &server);
    waiting::until_so("all is delivered or dead", || {
        let lake = server.consumer("lake");
        server.consumer("crm")["delivered"] == 4 && lake["delivered"] == 3 && lake["dead_letters"] == 1
    });
    ask(&site, &server, &["archive", "run", "--open-hour"], 0);
    server.kill();
    assert_eq!(leaks(&site), [""; 0]);

    // What was delivered is the event but for what the rules lead to, and it can be had back.
    let bodies: Vec<String> = crm.requests().into_iter().map(|sent| String::from_utf8(sent.body).unwrap()).collect();
    let one = bodies.iter().find(|body| body.contains("\"one\"")).unwrap();
    for kept in
        [r#"{ "webhookEventId" : "one", "conversationId": "c-one", "ani": "token1:"#, r#""d\u006eis": "***0143","#]
    {
        assert!(one.contains(kept), "{one}");
    }
    assert!(one.ends_with("\"at\": 2, \"text\": \"***\" } ],\n            \"bad\": false }"), "{one}");
    assert!(one.contains(r#""name": "hmac-sha256:"#) && one.contains(r#""number": "hmac-sha256:"#), "{one}");
    let token = serde_json::from_str::<Value>(one).unwrap()["ani"].as_str().unwrap().to_owned();
    let envelope = bodies.iter().find(|body| body.contains("\"env\"")).unwrap();
    assert!(envelope.contains(&token) && !envelope.contains("wrapupNotes"), "{envelope}");
    let revealed = run(&site, &["redaction", "reveal", &token, "--config", "aftercall.toml"], 0);
    assert_eq!(revealed, format!("{ANI}\n"));
    let said = run(&site, &["redaction", "reveal", "token1:00000000:AA", &token, "--config", "aftercall.toml"], 1);
    assert!(said.contains(ANI) && said.contains("was made with the key 00000000"), "{said}");
    // The trial tells the same without a server.
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(input.path(), event("one")).unwrap();
    let argument = format!("@{}", input.path().display());
    let args = ["redaction", "try", "--source", "genesys", "--event", &argument, "--config", "aftercall.toml"];
    assert_eq!(run(&site, &args, 0), format!("{one}\n"));

    // What no rule could be applied to is shown as it came.
    let server = site.start();
    assert_eq!(server.post(event("two")).counts(), (0, 1), "sent again after the crash");
    let letter = of_intake(&site, &server);
    assert_eq!(ask(&site, &server, &["dead-letters", "show", &letter, "--body"], 0), torn);
    assert_eq!(ask(&site, &server, &["quarantine", "show", &refused, "--body"], 0), forged);
    // Once it is mended or proved to be genuine, it is an event like any other.
    fs::write(input.path(), event("mended")).unwrap();
    let file = input.path().display().to_string();
    ask(&site, &server, &["dead-letters", "edit", &letter, "--file", &file, "--reason", "torn"], 0);
    assert_eq!(leaks(&site), [""; 0], "a copy is like what it was made of");
    let shown = ask_json(&site, &server, &["dead-letters", "show", &letter], 0);
    assert_eq!((&shown["body"], &shown["edit"]["body"]), (&torn.into(), &event("mended").into()));
    ask(&site, &server, &["redrive", "--stage", "intake"], 0);
    fs::write(site.path("webhook-secret"), format!("{SECRET}\nanother secret")).unwrap();
    let released = ask_json(&site, &server, &["quarantine", "release", "--all"], 0);
    assert_eq!((&released["accepted"], &released["failing"]), (&1.into(), &0.into()), "{released}");
    waiting::until_so("both are delivered", || crm.requests().len() == 6);
    assert_eq!(leaks(&site), [""; 0]);
    assert_eq!(server.stop(), Some(0));
    assert_eq!((leaks(&site), site.check().0), (Vec::new(), 0));
}

#[test]
fn without_rules_an_event_keeps_its_bytes() {
    let crm = Recorder::start(|_| 200);
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nurl = \"http://{}/\"\n[[routes]]\ndestination = \"crm\"\n",
        crm.address
    ));
    let server = site.start();
    assert_eq!(server.post(event("plain")).counts(), (1, 0));
    server.until_settled("crm");
    assert_eq!(crm.requests().first().map(|sent| sent.body.clone()), Some(event("plain").into_bytes()));
    server.kill();
    let found = leaks(&site);
    assert!(found.iter().any(|leak| leak.contains(ANI) && leak.contains("queue.db")), "it can be found: {found:?}");
}

#[test]
fn a_change_of_keys_is_taken_over_and_makes_no_other_event_of_one_that_is_sent_again() {
    let site = site(TO_FILE);
    let server = site.start();
    assert_eq!(server.post(event("one")).counts(), (1, 0));
    assert_eq!(server.post(r#"{"torn": 1"#).status, 200);
    assert_eq!(server.post(event("bad").replace(ANI, "tel:1")).counts(), (1, 0));
    let letter = of_intake(&site, &server);
    fs::write(site.path("redaction-key"), format!("{NEXT_KEY}\n{KEY}\n")).unwrap();
    assert!(ask(&site, &server, &["reload"], 0).contains("redaction"));
    // Hashes and tokens are others now, and still it is known what they are of.
    assert_eq!(server.post(event("one")).counts(), (0, 1));
    assert_eq!(server.post(event("bad")).counts(), (1, 0), "another number is another content");
    assert_eq!((server.count("conflicts"), server.count("duplicates")), (1, 1));
    assert_eq!(server.post(event("two")).counts(), (1, 0));
    assert_eq!(ask(&site, &server, &["dead-letters", "show", &letter, "--body"], 0), r#"{"torn": 1"#);
    server.until_settled("events");
    let token = |id: &str| {
        let events = site.events();
        let line = events.iter().find(|line| line.contains(id)).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["ani"].as_str().unwrap().to_owned()
    };
    let (first, last) = (&token("\"one\""), &token("\"two\""));
    assert_ne!(first, last);
    let revealed = run(&site, &["redaction", "reveal", first, last, "--config", "aftercall.toml"], 0);
    assert_eq!(revealed, format!("{ANI}\n{ANI}\n"));

    // Without the old key what was sealed with it stays so, and says why. So does what is behind tokens.
    fs::write(site.path("redaction-key"), NEXT_KEY).unwrap();
    ask(&site, &server, &["reload"], 0);
    let said = ask(&site, &server, &["dead-letters", "show", &letter, "--body"], 2);
    assert!(said.contains("which is not among those of `redaction.key`"), "{said}");
    let shown = ask_json(&site, &server, &["dead-letters", "show", &letter], 0);
    assert!(shown["body"].as_str().unwrap().contains("is sealed: it was made with the key"), "{shown}");
    assert!(
        run(&site, &["redaction", "reveal", first, "--config", "aftercall.toml"], 1).contains("was made with the key")
    );
    // A key that cannot be read is refused, and the one before stays in force.
    fs::remove_file(site.path("redaction-key")).unwrap();
    assert!(ask(&site, &server, &["reload"], 3).contains("redaction.key"));
    assert_eq!(server.post(event("three")).counts(), (1, 0));
    server.kill();
    assert_eq!(leaks(&site), [""; 0]);
    let refused = site.try_start(&mut site.serve()).err().unwrap();
    assert!(refused.contains("redaction.key"), "{refused}");
}

#[test]
fn an_erasure_finds_what_is_sealed() {
    let site = site(TO_FILE);
    let server = site.start();
    assert_eq!(server.post(format!(r#"{{"conversationId":"c-gone","text":"{SAID}"#)).status, 200);
    assert_eq!(server.post(r#"{"conversationId":"c-stays","#).status, 200);
    let forged = event("forged").replace("c-forged", "c-gone");
    assert_eq!(post_with(&server, "another secret", &forged).status, 401);
    quarantined(&site, &server);
    let erase = |rest: &[&str]| {
        let args = ["erase", "--conversation", "c-gone", "--reason", "ticket 12"];
        ask_json(&site, &server, &[&args[..], rest].concat(), 0)
    };
    for how in ["--dry-run", "--yes"] {
        let erased = erase(&[how]);
        assert_eq!((&erased["queue"]["dead_letters"], &erased["quarantined"]), (&1.into(), &1.into()), "{erased}");
    }
    let erased = erase(&["--yes"]);
    assert_eq!((&erased["queue"]["dead_letters"], &erased["quarantined"]), (&0.into(), &0.into()), "{erased}");
    assert_eq!(server.count("dead_letters"), 1);
    assert_eq!(leaks(&site), [""; 0]);
}

#[test]
fn a_body_that_would_grow_without_bound_is_kept_as_a_dead_letter() {
    let site = site(TO_FILE);
    let server = site.start();
    let numbers = ["1"; 50_000].join(",");
    let body = format!(r#"{{"webhookEventId":"big","ani":"{ANI}","attributes":[{numbers}]}}"#);
    assert_eq!(server.post(&body).status, 200);
    let letter = of_intake(&site, &server);
    assert!(ask(&site, &server, &["dead-letters", "show", &letter], 0).contains("have a rule lead to the array"));
    assert_eq!(ask(&site, &server, &["dead-letters", "show", &letter, "--body"], 0), body);
    server.kill();
    assert_eq!(leaks(&site), [""; 0]);
}
