//! Who may ask the console for what: tokens from the command line, against the running server.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

/// A request of the console with a token, or without one.
fn ask(console: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    ask_with(console, method, path, token, "localhost", None)
}

fn ask_with(
    console: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    host: &str,
    body: Option<&Value>,
) -> Answer {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let (kind, body) =
        body.map_or(("", String::new()), |body| ("content-type: application/json\r\n", body.to_string()));
    let mut client = Client::connect(console).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{token}{kind}content-length: {length}\r\n");
    client.send(format!("{head}connection: close\r\n\r\n{body}")).unwrap();
    client.answer().unwrap()
}

fn status(console: SocketAddr, token: Option<&str>) -> Answer {
    ask(console, "GET", "/api/v1/status", token)
}

/// What a command says, and how it ended.
fn run(site: &Site, args: &[&str]) -> (i32, String, String) {
    let output = site.run(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A new token.
#[track_caller]
fn create(site: &Site, name: &str, scope: &str, more: &[&str]) -> String {
    let args = ["tokens", "create", name, "--scope", scope, "--config", "aftercall.toml"];
    let (code, token, said) = run(site, &[&args, more].concat());
    assert_eq!(code, 0, "{said}");
    assert!(token.starts_with("act_") && token.lines().count() == 1, "{token}");
    token.trim().to_owned()
}

fn revoke(site: &Site, name: &str) -> (i32, String, String) {
    run(site, &["tokens", "revoke", name, "--config", "aftercall.toml"])
}

fn site() -> Site {
    Site::new(TO_FILE)
}

/// A token of this form that nobody has.
fn foreign() -> String {
    format!("act_00000000_{}", "0".repeat(64))
}

/// Some address at which others reach this machine. Nothing is sent there but to our own server.
fn wide(site: &Site) -> Server {
    site.start_with(site.serve().args(["--console", "0.0.0.0:0"]))
}

#[test]
fn without_any_token_this_machine_gets_in_and_with_the_first_one_nobody_else() {
    let site = site();
    let server = site.start();
    assert_eq!(status(server.console, None).status, 200);
    let token = create(&site, "anna", "read", &[]);
    // With the next request, and not with the next start.
    let refused = status(server.console, None);
    assert_eq!((refused.status, refused.code().as_str()), (401, "token-missing"));
    assert!(refused.headers["www-authenticate"].starts_with("Bearer"), "{refused:?}");
    assert_eq!(status(server.console, Some(&token)).status, 200);
    let wrong = status(server.console, Some(&foreign()));
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "token-unknown"));
    assert!(wrong.headers["www-authenticate"].contains("invalid_token"), "{wrong:?}");
    for malformed in ["", "act_", &token[1..], &token.to_uppercase(), &format!("{token}0")] {
        assert_eq!(status(server.console, Some(malformed)).status, 401, "{malformed}");
    }
    // It stays so over a restart.
    server.kill();
    let server = site.start();
    assert_eq!((status(server.console, None).status, status(server.console, Some(&token)).status), (401, 200));
}

#[test]
fn every_request_of_the_description_needs_a_token_of_its_scope() {
    let site = site();
    let server = site.start();
    let ranks = ["read", "operate", "admin"];
    let tokens: Vec<String> = ranks.iter().map(|scope| create(&site, scope, scope, &[])).collect();
    let api = ask(server.console, "GET", "/api/v1/openapi.json", Some(&tokens[0])).json();
    assert_eq!(api["openapi"], "3.1.0");
    let mut seen = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let (method, path) = (method.to_uppercase(), path.replace("{id}", "1"));
            assert_eq!(ask(server.console, &method, &path, None).status, 401, "{method} {path}");
            let needed = operation["security"][0]["token"][0].as_str().unwrap();
            for (scope, token) in ranks.iter().zip(&tokens) {
                let answer = ask(server.console, &method, &path, Some(token));
                let enough =
                    ranks.iter().position(|rank| rank == scope) >= ranks.iter().position(|rank| *rank == needed);
                assert_eq!(answer.status != 403, enough, "{method} {path} with {scope}: {answer:?}");
                assert!(answer.status < 500, "{answer:?}");
                if !enough {
                    assert_eq!(answer.code(), "scope");
                    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                    assert!(detail.contains(&format!("scope `{needed}`")), "{detail}");
                    assert!(answer.headers["www-authenticate"].contains("insufficient_scope"), "{answer:?}");
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
    // What is nowhere is told to those who may look only.
    assert_eq!(ask(server.console, "GET", "/nowhere", None).status, 401);
    assert_eq!(ask(server.console, "GET", "/nowhere", Some(&tokens[0])).status, 404);
    let answer = ask(server.console, "DELETE", "/api/v1/status", Some(&tokens[1]));
    assert_eq!((answer.status, answer.code().as_str()), (405, "method-not-allowed"));
    assert!(answer.headers["allow"].contains("GET"), "{answer:?}");
}

#[test]
fn a_token_that_is_revoked_or_over_is_worth_nothing_at_once() {
    let site = site();
    let server = site.start();
    let anna = create(&site, "anna", "operate", &[]);
    let short = create(&site, "short", "operate", &["--expires", "1s"]);
    let long = create(&site, "long", "operate", &["--expires", "90d"]);
    assert_eq!(status(server.console, Some(&long)).status, 200);
    let expired = waiting::until("the token's time is over", || {
        let answer = status(server.console, Some(&short));
        (answer.status == 401).then_some(answer)
    });
    assert_eq!(expired.code(), "token-expired");
    assert_eq!(status(server.console, Some(&anna)).status, 200);
    assert!(revoke(&site, "anna").1.contains("2 left"));
    let revoked = status(server.console, Some(&anna));
    assert_eq!((revoked.status, revoked.code().as_str()), (401, "token-unknown"));
    assert_eq!(status(server.console, Some(&long)).status, 200);
    // Without any token left, nobody gets in; it does not become open.
    revoke(&site, "short");
    assert!(revoke(&site, "long").2.contains("Nobody can ask"));
    assert_eq!((status(server.console, Some(&long)).status, status(server.console, None).status), (401, 401));
    assert_eq!(revoke(&site, "long").0, 2);
}

#[test]
fn a_console_that_others_reach_needs_a_token_before_the_start() {
    let site = site();
    let serve = ["serve", "--config", "aftercall.toml", "--console", "0.0.0.0:0"];
    for more in [&[][..], &["--check-config"]] {
        let (code, _, said) = run(&site, &[&serve[..], more].concat());
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("aftercall tokens create NAME --scope admin --data data"), "{said}");
    }
    // One that has expired is none.
    create(&site, "old", "admin", &["--expires", "0s"]);
    let (code, _, said) = run(&site, &serve);
    assert!(code == 3 && said.contains("every token has expired"), "{said}");
    let token = create(&site, "anna", "admin", &[]);
    assert_eq!(run(&site, &[&serve[..], &["--check-config"]].concat()).0, 0);
    let server = wide(&site);
    let console = SocketAddr::from((Ipv4Addr::LOCALHOST, server.console.port()));
    assert_eq!((status(console, None).status, status(console, Some(&token)).status), (401, 200));
    // Nobody knows under which names others reach it; the token is what counts.
    let named = |token| ask_with(console, "GET", "/api/v1/status", token, "aftercall.example", None).status;
    assert_eq!((named(None), named(Some(token.as_str()))), (401, 200));
    // Taking the file away does not open it.
    std::fs::remove_file(site.path("data/tokens.toml")).unwrap();
    assert_eq!((status(console, None).status, status(console, Some(&token)).status), (401, 401));
}

#[test]
fn a_loopback_console_answers_to_loopback_names_only_also_with_a_token() {
    let site = site();
    let server = site.start();
    let token = create(&site, "anna", "admin", &[]);
    let named = |host| ask_with(server.console, "GET", "/api/v1/status", Some(&token), host, None);
    assert_eq!((named("127.0.0.1:8081").status, named("[::1]").status), (200, 200));
    let foreign = named("evil.example");
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "foreign-host"));
}

#[test]
fn a_flood_of_wrong_tokens_is_cut_off_and_right_ones_get_in() {
    let site = site();
    let token = create(&site, "anna", "read", &[]);
    let server = site.start();
    let mut codes = Vec::new();
    for _ in 0..100 {
        let answer = status(server.console, Some(&foreign()));
        if answer.status == 429 {
            assert_eq!(answer.code(), "login-rate");
            let wait: u64 = answer.headers["retry-after"].parse().unwrap();
            assert!((1..=3).contains(&wait), "{wait}");
        }
        codes.push(answer.status);
    }
    assert_eq!(codes[..20], [401; 20]);
    let cut_off = codes.iter().filter(|code| **code == 429).count();
    assert!(cut_off >= 50, "{codes:?}");
    // The log is not flooded either.
    let logged = site.logs().matches("a login at the console failed").count();
    assert_eq!(logged, 100 - cut_off);
    assert!(!site.logs().contains(&foreign()), "the log holds a token");
    // A right token gets in, from elsewhere, and from the same address: behind one proxy all have the same.
    assert_eq!(status(server.console, Some(&token)).status, 200);
    let elsewhere = "127.0.0.2:0".parse::<SocketAddr>().unwrap();
    assert_eq!(from(elsewhere, server.console, &token), 200);
    assert_eq!(from(elsewhere, server.console, &foreign()), 401, "others may still fail");
}

/// The status of an answer to someone with another address.
fn from(own: SocketAddr, console: SocketAddr, token: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().local_address(own.ip()).build().unwrap();
    let request = client.get(format!("http://{console}/api/v1/status")).bearer_auth(token).send();
    runtime.block_on(request).unwrap().status().as_u16()
}

#[test]
fn the_file_of_tokens_holds_none_and_is_for_its_owner() {
    let site = site();
    let token = create(&site, "anna", "admin", &["--expires", "90d"]);
    let text = std::fs::read_to_string(site.path("data/tokens.toml")).unwrap();
    let (id, secret) = token.trim_start_matches("act_").split_once('_').unwrap();
    assert!(text.contains(id) && text.contains("anna") && !text.contains(secret), "{text}");
    assert_eq!(std::fs::metadata(site.path("data/tokens.toml")).unwrap().mode() & 0o777, 0o600);
    let listed = run(&site, &["tokens", "list", "--config", "aftercall.toml"]).1;
    assert!(listed.contains("anna") && listed.contains("in 2months 29days") && !listed.contains(secret), "{listed}");
    let listed = run(&site, &["tokens", "list", "--json", "--data", "data"]).1;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["tokens"][0]["id"], &listed["tokens"][0]["scope"]), (&json!(id), &json!("admin")));
    let server = site.start();
    let shown = ask(server.console, "GET", "/api/v1/tokens", Some(&token));
    assert!(shown.body.contains(id) && !shown.body.contains(secret) && !shown.body.contains("sha256"), "{shown:?}");
    assert!(!site.logs().contains(secret), "the log holds a token");
    // Damage is refused, and neither guessed at nor written over.
    std::fs::write(site.path("data/tokens.toml"), "version = 1\ntoken = 7\n").unwrap();
    assert_eq!(status(server.console, Some(&token)).status, 200, "what is known stays in force");
    server.kill();
    let (code, _, said) = run(&site, &["serve", "--config", "aftercall.toml", "--check-config"]);
    assert!(code == 3 && said.contains("tokens.toml"), "{said}");
    let again = ["tokens", "create", "b", "--scope", "read", "--config", "aftercall.toml"];
    assert_eq!(run(&site, &again).0, 2);
}

#[test]
fn names_and_scopes_that_cannot_be_are_refused() {
    let site = site();
    create(&site, "anna", "read", &[]);
    for (name, scope, expected) in [
        ("anna", "read", "already"),
        ("local", "read", "no name"),
        ("a b", "read", "no name"),
        ("b", "root", "read, operate"),
    ] {
        let (code, out, said) = run(&site, &["tokens", "create", name, "--scope", scope, "--config", "aftercall.toml"]);
        assert!(code == 2 && out.is_empty() && said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn the_command_line_takes_a_token_from_three_places() {
    let site = site();
    let (token, server) = (create(&site, "anna", "read", &[]), site.start());
    let console = server.console.to_string();
    std::fs::write(site.path("token"), format!("{token}\n")).unwrap();
    let args = |more: &[&'static str]| [&["status", "--console", &console], more].concat().join(" ");
    let code = |line: String, variable: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = site.command(&words).env("AFTERCALL_TOKEN", variable).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code(args(&["--token-file", "token"]), "").0, 0);
    assert_eq!(code(args(&[]), &token).0, 0);
    assert_eq!(code(args(&["--token-file", "token"]), "wrong").0, 0, "what is named goes first");
    assert_eq!(code(format!("{} --token {token}", args(&[])), "").0, 0);
    let (exit, said) = code(args(&[]), "");
    assert!(exit == 2 && said.contains("--token-file") && said.contains("AFTERCALL_TOKEN"), "{said}");
    // A token that may only look cannot redrive.
    let redrive = ["redrive", "--all", "--token-file", "token", "--console", &console];
    server.post(r#"{"webhookEventId":"x"}"#);
    assert_eq!(run(&site, &redrive).0, 0, "there is nothing to redrive");
    let discard = ["dead-letters", "discard", "1", "--reason", "x", "--token-file", "token", "--console", &console];
    let (exit, _, said) = run(&site, &discard);
    assert!(exit == 2 && said.contains("scope `operate`"), "{said}");
}

#[test]
fn what_a_token_may_not_do_is_refused_and_not_broken_off() {
    let site = Site::new(
        "[destinations.out]\nkind = \"file\"\npath = \"out\"\n[[routes]]\ndestination = \"out\"\nmapping = 'error(\"no\")'\n",
    );
    let server = site.start();
    assert_eq!(server.post(r#"{"webhookEventId":"a-1"}"#).counts(), (1, 0));
    server.until_settled("out");
    let token = create(&site, "anna", "read", &[]);
    let console = server.console.to_string();
    let ask = ["--console", &console, "--token", &token];
    let replay = ["replay", "--destination", "out", "--from", "2020-01-01", "--to", "2099-01-01", "--yes"];
    for command in [&["redrive", "--all"][..], &replay] {
        let (code, _, said) = run(&site, &[command, &ask].concat());
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("this needs a token of scope `operate`, which `aftercall tokens create` makes"),
            "{said}"
        );
        assert!(!said.contains("broken off") && !said.contains("answers again"), "{said}");
    }
}

#[test]
fn who_discards_is_on_record() {
    let site = site();
    let server = site.start();
    server.post("no event");
    waiting::until_so("it is a dead letter", || server.count("dead_letters") == 1);
    let token = create(&site, "anna", "operate", &[]);
    let asked = json!({ "ids": [1], "reason": "a test" });
    let path = "/api/v1/dead-letters/discard";
    let answer = ask_with(server.console, "POST", path, Some(&token), "localhost", Some(&asked));
    assert_eq!((answer.status, answer.json()), (200, json!({ "discarded": [1] })));
    let log = site.logs();
    let line = log.lines().find(|line| line.contains("a dead letter was discarded")).unwrap();
    assert!(line.contains(r#""by":"anna""#), "{line}");
}

#[test]
fn lists_have_pages_and_everything_else_is_refused() {
    let site = site();
    let server = site.start();
    for number in 0..5 {
        server.post(format!("no event {number}"));
    }
    waiting::until_so("they are dead letters", || server.count("dead_letters") == 5);
    let get = |path: &str| ask(server.console, "GET", &format!("/api/v1/{path}"), None);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("dead-letters?limit=2{cursor}")).json();
        ids.extend(page["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    for wrong in [
        "dead-letters?limit=0",
        "dead-letters?limit=1001",
        "dead-letters?cursor=zz",
        "dead-letters?lmit=1",
        "dead-letter-groups?after=1",
        "dead-letters/1?x=1",
        "dead-letters/99999999999999999999",
        "status?x=1",
        "tokens?limit=-1",
    ] {
        let answer = get(wrong);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad-request"), "{wrong}");
        let named = wrong.split(['?', '=']).nth(1).unwrap_or("id");
        assert!(answer.json()["detail"].as_str().unwrap().contains(named), "{wrong}: {answer:?}");
    }
}
