//! Erasing a conversation: nothing of what was said is left in any file, the record is, and nobody else loses anything.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use simulator::sign::{Scheme, Signer};

use crate::site::{Server, Site};
use crate::waiting;

/// What must not be found afterwards. It stands in no name and no id.
const SAID: &str = "Swordfish-7319";

/// Everything goes to a file; the words of one conversation are more than the mapping of another destination can take, and
/// its failure repeats them.
const CONFIG: &str = r#"
[archive]
url = "archive"
[destinations.lake]
kind = "file"
path = "lake.ndjson"
[destinations.crm]
kind = "file"
path = "crm.ndjson"
[[routes]]
destination = "lake"
mapping = "{ id: .webhookEventId }"
[[routes]]
destination = "crm"
mapping = "if .bad then error(\"cannot take \\(.text)\") else { id: .webhookEventId } end"
"#;

fn event(id: &str, conversation: &str, bad: bool) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","bad":{bad},"text":"{SAID} {id}"}}"#)
}

#[track_caller]
fn run(site: &Site, server: &Server, args: &[&str], code: i32) -> String {
    let console = server.console.to_string();
    let output = site.run(&[args, &["--console", &console]].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files below a directory in which something stands, unpacked if they are packed.
fn with(dir: &Path, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    files(dir, &mut all);
    all.retain(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        let bytes =
            if path.extension().is_some_and(|end| end == "zst") { zstd::decode_all(&*bytes).unwrap() } else { bytes };
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    });
    let mut names: Vec<String> = all.iter().map(|path| path.strip_prefix(dir).unwrap().display().to_string()).collect();
    names.sort_unstable();
    names
}

fn erase(site: &Site, server: &Server, rest: &[&str]) -> Value {
    let args = ["erase", "--conversation", "c-gone", "--reason", "ticket 12", "--json"];
    serde_json::from_str(&run(site, server, &[&args[..], rest].concat(), 0)).unwrap()
}

#[test]
fn nothing_is_left_of_what_was_said_in_a_conversation_but_the_record() {
    let site = Site::with_head("", CONFIG);
    let server = site.start();
    for (id, conversation, bad) in [("e-1", "c-gone", false), ("e-2", "c-gone", true), ("e-3", "c-stays", false)] {
        assert_eq!(server.post(event(id, conversation, bad)).counts(), (1, 0));
    }
    // One whose body cannot be read, which is kept as a dead letter, and one that nobody has signed.
    assert_eq!(server.post(format!(r#"{{"conversationId":"c-gone","text":"{SAID}"#)).status, 200);
    let forged = event("e-4", "c-gone", false);
    let mut headers = Signer::new(Scheme::Genesys, "another secret").unwrap().headers(forged.as_bytes(), "", 0);
    headers.push(("content-type", "application/json".to_owned()));
    assert_eq!(server.client().post("/in/genesys", &headers, forged.as_bytes()).unwrap().status, 401);
    waiting::until_so("one is dead, the others are delivered", || {
        let lake = server.consumer("lake");
        server.consumer("crm")["dead_letters"] == 1 && lake["unsettled"] == 0 && lake["delivered"] == 3
    });
    let letter = run(&site, &server, &["dead-letters", "list", "--destination", "crm", "--json"], 0);
    let letter: Value = serde_json::from_str(&letter).unwrap();
    let letter = letter["dead_letters"][0]["id"].to_string();
    fs::write(site.path("copy.json"), event("e-2", "c-gone", false)).unwrap();
    let copy = site.path("copy.json").display().to_string();
    run(&site, &server, &["dead-letters", "edit", &letter, "--file", &copy, "--reason", "typo"], 0);
    fs::remove_file(site.path("copy.json")).unwrap();
    run(&site, &server, &["archive", "run", "--open-hour"], 0);
    waiting::until_so("it is in quarantine", || {
        !run(&site, &server, &["quarantine", "list"], 0).contains("nothing is in the quarantine")
    });
    let (data, archive) = (site.path("data"), site.path("archive"));
    assert!(with(&data, SAID).iter().any(|name| name.starts_with("queue.db")), "{:?}", with(&data, SAID));
    assert!(with(&data, SAID).iter().any(|name| name.starts_with("quarantine.db")), "{:?}", with(&data, SAID));
    assert_eq!(with(&archive, SAID).len(), 1);

    let unknown = "Nothing is known of a conversation c-gome; is that its id?";
    for more in ["--dry-run", "--yes"] {
        let mistyped = ["erase", "--conversation", "c-gome", "--reason", "ticket 12", more];
        assert!(run(&site, &server, &mistyped, 0).contains(unknown), "{more}");
    }
    let counted = erase(&site, &server, &["--dry-run"]);
    assert_eq!((&counted["queue"]["events"], &counted["queue"]["dead_letters"]), (&2.into(), &2.into()), "{counted}");
    assert_eq!((&counted["quarantined"], &counted["archive"]["events"]), (&1.into(), &2.into()), "{counted}");
    assert!(counted["queue"]["answers"].as_u64() >= Some(1), "{counted}");
    let refused = run(&site, &server, &["erase", "--conversation", "c-gone", "--reason", "ticket 12"], 2);
    assert!(refused.contains("--yes"), "{refused}");
    let erased = erase(&site, &server, &["--yes"]);
    assert_eq!(erased["archive"], counted["archive"], "{erased}");
    assert_eq!(erased["queue"]["log_emptied"], true, "{erased}");
    for id in ["e-1", "e-2", "e-4"] {
        let text = format!("{SAID} {id}");
        assert_eq!((with(&data, &text), with(&archive, &text)), (vec![], vec![]), "{id}");
    }
    // What the mapping said of it, and the body that was none.
    assert_eq!(with(&data, &format!("cannot take {SAID}")), Vec::<String>::new());
    assert_eq!(with(&data, &format!(r#""c-gone","text":"{SAID}"#)), Vec::<String>::new());
    let kept = format!("{SAID} e-3");
    assert!(with(&data, &kept).iter().any(|name| name.starts_with("queue.db")));
    assert_eq!(with(&archive, &kept).len(), 1, "the other conversation is still there");

    assert_eq!(server.post(event("e-1", "c-gone", false)).counts(), (0, 1), "it is still known");
    let story = run(&site, &server, &["trace", "c-gone"], 0);
    assert!(story.contains("2 events were erased by") && story.contains("ticket 12"), "{story}");
    assert!(story.contains("(erased)"), "{story}");
    run(&site, &server, &["audit", "verify"], 0);
    run(&site, &server, &["archive", "verify"], 0);
    let again = erase(&site, &server, &["--yes"]);
    assert_eq!((&again["queue"]["events"], &again["archive"]["events"]), (&0.into(), &0.into()), "{again}");
    // Nothing of it is delivered again.
    let to = ["--destination", "lake", "--from", "2020-01-01", "--to", "2100-01-01", "--yes"];
    run(&site, &server, &[&["replay"][..], &to].concat(), 0);
    server.until_settled("lake");
    assert_eq!(fs::read_to_string(site.path("lake.ndjson")).unwrap().lines().count(), 4, "only e-3 once more");
    assert_eq!(server.stop(), Some(0));
    let (code, found) = site.check();
    assert_eq!(code, 0, "{found}");
}

#[test]
fn what_cannot_be_erased_is_said() {
    let site = Site::with_head("", CONFIG);
    let server = site.start();
    let none = run(&site, &server, &["erase", "--conversation", "", "--reason", "x", "--yes"], 2);
    assert!(none.contains("`conversation` must have 1 to 1024 bytes"), "{none}");
    let none = run(&site, &server, &["erase", "--conversation", "c", "--reason", " ", "--yes"], 2);
    assert!(none.contains("`reason` must have"), "{none}");
    // A part that cannot be read may hold anything.
    assert_eq!(server.post(event("e-1", "c-gone", false)).counts(), (1, 0));
    run(&site, &server, &["archive", "run", "--open-hour"], 0);
    let mut parts = Vec::new();
    files(&site.path("archive"), &mut parts);
    let part = parts.iter().find(|path| path.extension().is_some_and(|end| end == "zst")).unwrap();
    fs::write(part, b"not what it was").unwrap();
    let said = run(&site, &server, &["erase", "--conversation", "c-gone", "--reason", "x", "--yes"], 1);
    assert!(said.contains("is damaged, so nobody knows what is in it: restore or delete it"), "{said}");
    assert!(said.contains("queue") && said.contains("1 bodies"), "{said}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_quarantine_that_is_out_of_order_is_said_and_keeps_nothing_else() {
    let site = Site::with_head("", CONFIG);
    fs::create_dir_all(site.path("data")).unwrap();
    fs::write(site.path("data/quarantine.db"), b"not a database, and so nobody knows what is in it").unwrap();
    let server = site.start();
    assert_eq!(server.post(event("e-1", "c-gone", false)).counts(), (1, 0));
    let said = run(&site, &server, &["erase", "--conversation", "c-gone", "--reason", "x", "--yes"], 1);
    assert!(said.contains("NOT ERASED") && said.contains("1 bodies"), "{said}");
    assert_eq!(with(&site.path("data"), &format!("{SAID} e-1")), Vec::<String>::new());
    assert_eq!(server.stop(), Some(0));
}
