//! The command line: what it says, and its exit codes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use crate::site::{Site, TO_FILE};
use crate::waiting;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    assert!(!err.contains("panicked"), "{err}");
    out + &err
}

/// A file of another crate of the workspace.
fn fixture(path: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

#[test]
fn help_of_every_command() {
    let site = Site::new("");
    let commands = [
        "",
        "serve",
        "demo",
        "send",
        "status",
        "dead-letters",
        "genesys",
        "redrive",
        "tokens",
        "quarantine",
        "unmatched",
        "secrets",
        "reload",
        "alarms",
        "pause",
        "resume",
        "check",
        "backup",
        "match",
        "redaction",
        "map",
        "warehouse",
        "aws",
        "config",
        "completions",
    ];
    for command in commands {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let output = site.command(&args).env("COLUMNS", "100").output().unwrap();
        let name = if command.is_empty() { "help".to_owned() } else { format!("help_{command}") };
        insta::assert_snapshot!(name, expect(&output, 0));
    }
}

#[test]
fn what_is_no_command_ends_with_2() {
    let site = Site::new("");
    for args in [&["delivr"][..], &["serve", "--confg"], &["match"], &["send"], &[]] {
        expect(&site.run(args), 2);
    }
}

#[test]
fn config_prints_a_file_that_is_the_default() {
    let site = Site::new("");
    let printed = expect(&site.run(&["config"]), 0);
    assert!(printed.contains("[intake.limits]") && printed.contains("#data_dir"), "{printed}");
    std::fs::write(site.path("printed.toml"), printed).unwrap();
    // It names no source, which is all that is wrong with it.
    let said = expect(&site.run(&["serve", "--config", "printed.toml", "--check-config"]), 3);
    assert!(said.contains("sources: there is none"), "{said}");
}

#[test]
fn completions_for_every_shell() {
    let site = Site::new("");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = expect(&site.run(&["completions", shell]), 0);
        assert!(script.contains("aftercall") && script.contains("completions"), "{shell}: {script}");
    }
}

#[test]
fn a_good_configuration_is_called_good() {
    let site = Site::new(TO_FILE);
    let said = expect(&site.run(&["serve", "--config", "aftercall.toml", "--check-config"]), 0);
    assert_eq!(said, "the configuration is good\n");
    assert!(!site.path("events.ndjson").exists(), "looking makes nothing");
    // A running server holds its files, and is not in the way.
    let server = site.start();
    let said = expect(&site.run(&["serve", "--config", "aftercall.toml", "--check-config"]), 0);
    assert_eq!(said, "the configuration is good\n");
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).counts(), (1, 0));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_file_that_is_refused_is_good_enough_to_find_the_running_server() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    let good = std::fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let console = format!("[console]\nlisten = \"{}\"", server.console);
    let bad = good.replace("[console]\nlisten = \"127.0.0.1:0\"", &console) + "\n[queue]\nretentoin = \"1d\"\n";
    std::fs::write(site.path("bad.toml"), bad).unwrap();
    let status = site.run(&["status", "--config", "bad.toml"]);
    assert!(text(&status.stdout).starts_with("ready\n"), "{}", text(&status.stdout));
    let said = expect(&status, 0);
    for expected in ["warning: the configuration is refused", "retentoin", "did you mean `retention`?"] {
        assert!(said.contains(expected), "{said}");
    }
    expect(&site.run(&["tokens", "list", "--config", "bad.toml"]), 0);
    // What is no TOML, or has no address there, still says nothing about where the server is.
    for broken in ["[console\n", "[console]\nlisten = 8081\n", "[console]\nlisten = \"here\"\n"] {
        std::fs::write(site.path("bad.toml"), broken).unwrap();
        expect(&site.run(&["status", "--config", "bad.toml"]), 3);
    }
    let named = ["status", "--config", "bad.toml", "--console", &format!("localhost:{}", server.console.port())];
    assert!(expect(&site.run(&named), 0).starts_with("ready\n"));
    assert_eq!(server.stop(), Some(0));
}

/// A server that answers everything with 200 and an object.
fn says_yes() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close";
            let _ = client.write_all(format!("{head}\r\n\r\n{{}}").as_bytes());
        }
    });
    address
}

#[test]
fn what_is_no_console_of_ours_is_not_taken_for_one() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    // The port for events, and a server that says yes to everything.
    let yes = says_yes();
    for place in [server.intake.to_string(), format!("http://{yes}/")] {
        for command in ["status", "alarms"] {
            let said = expect(&site.run(&[command, "--console", &place]), 2);
            assert!(said.contains("is not the console of Aftercall"), "{said}");
        }
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_hang_up_ends_nothing() {
    let site = Site::new(TO_FILE);
    let server = site.start();
    server.hang_up();
    waiting::until_so("the signal is noted", || site.logs().contains("it is the one in force"));
    assert_eq!(server.post(r#"{"webhookEventId":"one"}"#).counts(), (1, 0));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_bad_configuration_names_the_place_and_the_cure() {
    let site = Site::new("");
    let cases = [
        ("unknown_key", "[intake]\nlisen = \"127.0.0.1:0\"\n"),
        ("bad_time", "[intake]\ndrain = \"20 parsecs\"\n"),
        ("wrong_type", "[intake.limits]\nconnections = \"many\"\n"),
        ("no_toml", "[intake\n"),
        ("secret_in_the_open", "[sources.a]\nauth = { bearer = true, secrets = [\"hunter2\"] }\n"),
        ("no_route", "[sources.a]\nauth = { open = true }\n"),
        ("no_destination", "[sources.a]\nauth = { open = true }\n[[routes]]\ndestination = \"crm\"\n"),
    ];
    for (name, config) in cases {
        std::fs::write(site.path("bad.toml"), config).unwrap();
        let said = expect(&site.run(&["serve", "--config", "bad.toml"]), 3);
        assert!(!said.contains("hunter2"), "{said}");
        insta::assert_snapshot!(name, said);
    }
    let said = expect(&site.run(&["serve", "--config", "none.toml"]), 3);
    assert!(said.contains("none.toml") && said.contains("--config"), "{said}");
}

#[test]
fn match_says_which_field_decides() {
    let site = Site::new("");
    let pattern = r#"{"detail-type": [{"suffix": ".acw"}], "detail": {"eventBody": {"queueId": ["q-1"]}}}"#;
    let event =
        r#"{"detail-type": "v2.detail.events.conversation.{id}.acw", "detail": {"eventBody": {"queueId": "q-2"}}}"#;
    let no = expect(&site.run(&["match", "--pattern", pattern, "--event", event]), 1);
    assert!(no.starts_with("no match\n") && no.contains("queueId") && no.contains("q-2"), "{no}");
    assert!(!no.contains("detail-type:"), "only what decides: {no}");

    std::fs::write(site.path("event.json"), event.replace("q-2", "q-1")).unwrap();
    let yes = expect(&site.run(&["match", "--pattern", pattern, "--event", "@event.json"]), 0);
    assert!(yes.starts_with("match\n") && yes.contains("queueId") && yes.contains("detail-type"), "{yes}");

    let json = expect(&site.run(&["match", "--json", "--pattern", pattern, "--event", event]), 1);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["match"], false);
    assert!(json["fields"][0]["path"].as_str().unwrap().ends_with("queueId"), "{json}");
}

#[test]
fn match_refuses_what_it_cannot_use() {
    let site = Site::new("");
    for (pattern, event, expected) in [
        (r#"{"a": 1}"#, "{}", "pattern"),
        (r#"{"a": [{"sufix": "x"}]}"#, "{}", "sufix"),
        (r#"{"a": [1]}"#, "{", "event"),
        ("@nowhere", "{}", "nowhere"),
    ] {
        let said = expect(&site.run(&["match", "--pattern", pattern, "--event", event]), 2);
        assert!(said.contains(expected), "{pattern} {event}: {said}");
    }
}

#[test]
fn all_cases_pass_and_a_wrong_one_is_named() {
    let site = Site::new("");
    let said = expect(&site.run(&["match", "--cases", &fixture("routing/tests/fixtures/cases.jsonl")]), 0);
    assert!(said.ends_with("1400 passed, 0 failed\n"), "{said}");

    let wrong = r#"{"name": "upside down", "rule": {"a": [1]}, "event": {"a": 1}, "expect": "no"}"#;
    std::fs::write(site.path("wrong.jsonl"), wrong).unwrap();
    let said = expect(&site.run(&["match", "--cases", "wrong.jsonl"]), 1);
    assert!(said.contains("wrong.jsonl:1: upside down") && said.ends_with("0 passed, 1 failed\n"), "{said}");
}

#[test]
fn map_applies_a_mapping() {
    let site = Site::new("");
    let event = r#"{"conversationId": "c-1", "amount": 1.50}"#;
    let said = expect(&site.run(&["map", "--mapping", "{id: .conversationId, amount}", "--event", event]), 0);
    assert_eq!(said, "{\"id\":\"c-1\",\"amount\":1.50}\n");
    let said = expect(&site.run(&["map", "--mapping", ".conversationId + 1", "--event", event]), 1);
    assert!(said.starts_with("error: "), "{said}");
    let said = expect(&site.run(&["map", "--mapping", ".a | {", "--event", event]), 2);
    assert!(said.contains("mapping"), "{said}");
}

#[test]
fn check_and_backup_of_a_directory_that_is_not_there() {
    let site = Site::new("");
    for args in [&["check", "--data", "nowhere"][..], &["backup", "--data", "nowhere", "--to", "copy.db"]] {
        let said = expect(&site.run(args), 2);
        assert!(said.contains("there is no queue in nowhere") && said.contains("--data"), "{said}");
    }
    assert!(!site.path("nowhere").exists(), "looking leaves nothing behind");
}

#[test]
fn a_backup_is_taken_while_the_server_runs_and_is_a_queue() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(TO_FILE);
    let server = site.start();
    for number in 0..20 {
        server.post(format!(r#"{{"webhookEventId":"b-{number}"}}"#));
    }
    expect(&site.run(&["backup", "--data", "data", "--to", "copy.db"]), 0);
    let again = expect(&site.run(&["backup", "--data", "data", "--to", "copy.db"]), 2);
    assert!(again.contains("copy.db"), "{again}");
    let mode = std::fs::metadata(site.path("copy.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds whole events");
    std::fs::create_dir(site.path("restored")).unwrap();
    std::fs::rename(site.path("copy.db"), site.path("restored/queue.db")).unwrap();
    let checked = expect(&site.run(&["check", "--data", "restored"]), 0);
    assert!(checked.contains("20 events") && checked.contains("no damage"), "{checked}");
}

#[test]
fn status_and_send_without_a_server_say_where_they_looked() {
    let site = Site::new(TO_FILE);
    std::fs::write(site.path("event.json"), "{}").unwrap();
    let said = expect(&site.run(&["status", "--console", "127.0.0.1:9"]), 2);
    assert!(said.contains("127.0.0.1:9") && said.contains("aftercall serve"), "{said}");
    let send = ["send", "event.json", "--config", "aftercall.toml", "--url", "http://127.0.0.1:9"];
    let said = expect(&site.run(&send), 2);
    assert!(said.contains("http://127.0.0.1:9/in/genesys"), "{said}");
}

#[test]
fn send_says_which_sources_there_are() {
    let site = Site::new(TO_FILE);
    std::fs::write(site.path("event.json"), "{}").unwrap();
    std::fs::write(site.path("none.toml"), "data_dir = \"data\"\n").unwrap();
    let open = "data_dir = \"data\"\n[sources.calls]\nauth = { open = true }\n";
    std::fs::write(site.path("one.toml"), open).unwrap();
    let send = |config: &str, source: &str| {
        expect(&site.run(&["send", "event.json", "--config", config, "--source", source]), 2)
    };
    let said = send("none.toml", "genesys");
    assert!(said.contains("has no sources") && said.contains("[sources.NAME]"), "{said}");
    let said = send("one.toml", "genesys");
    assert!(said.contains("no source `genesys`") && said.contains("--source calls"), "{said}");
    let said = send("aftercall.toml", "genesis");
    assert!(said.contains("eventbridge, genesys"), "{said}");
}
