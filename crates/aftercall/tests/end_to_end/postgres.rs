//! Rows in a real PostgreSQL, which is killed, locked out, emptied and slow meanwhile.

use std::fs;

use local_postgres::Server as Database;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::site::{Server, Site};
use crate::waiting;

const DATABASE: &str = "postgres";
const NEW_PASSWORD: &str = "n3w-passw0rd";
const ALSO_TO_A_FILE: &str =
    "[destinations.out]\nkind = \"file\"\npath = \"events.ndjson\"\n[[routes]]\ndestination = \"out\"\n";
const TABLE: &str = "CREATE TABLE calls (id text PRIMARY KEY, at bigint NOT NULL, note text)";

fn database() -> Database {
    // Survives kills of its processes all the same; only the machine's own crash it would not.
    let database = Database::start_with("fsync = off\n", &[]).unwrap_or_else(|error| panic!("{error}"));
    database.sql(DATABASE, TABLE).unwrap();
    database
}

/// A site whose events become rows; retries come soon.
fn site(database: &Database, more: &str) -> Site {
    let site = Site::new(&format!(
        "[destinations.lake]\nkind = \"postgres\"\nurl = \"{}\"\npassword = \"file:password\"\nsslmode = \"disable\"\n\
         table = \"calls\"\nkey = \"id\"\nversion = \"at\"\nbackoff = {{ base = \"20ms\", cap = \"200ms\" }}\n\
         breaker = {{ pause = \"500ms\" }}\n{more}\n\
         [[routes]]\ndestination = \"lake\"\nmapping = '{{id: .row, at, note}}'\n",
        database.url(DATABASE)
    ));
    fs::write(site.path("password"), Database::PASSWORD).unwrap();
    site
}

fn event(id: &str, row: &str, at: usize, note: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"c-{row}","row":"{row}","at":{at},"note":{note}}}"#)
}

/// Publishes events of a row each, as one body.
fn post(server: &Server, numbers: std::ops::Range<usize>) -> (u64, u64) {
    let events: Vec<_> = numbers.map(|n| event(&format!("e-{n}"), &n.to_string(), n, "\"x\"")).collect();
    server.post(format!("[{}]", events.join(","))).counts()
}

fn dead_letters(server: &Server) -> u64 {
    server.count("dead_letters")
}

fn rows(database: &Database) -> usize {
    database.sql(DATABASE, "SELECT count(*) FROM calls").unwrap().parse().unwrap()
}

#[test]
fn a_database_that_is_killed_in_the_middle_costs_nothing() {
    const EVENTS: usize = 5_000;
    let mut database = database();
    let site = site(&database, "");
    let server = site.start();
    for (batch, from) in (0..EVENTS).step_by(250).enumerate() {
        assert_eq!(post(&server, from..from + 250), (250, 0));
        if batch % 6 == 3 {
            waiting::until_so("some rows are written", || rows(&database) > from / 2);
            database.kill().unwrap();
            assert_eq!(post(&server, from..from + 250), (0, 250), "published again");
            database.run().unwrap();
        }
    }
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (EVENTS, 0));
    assert_eq!(database.sql(DATABASE, "SELECT sum(at) FROM calls").unwrap(), (EVENTS * (EVENTS - 1) / 2).to_string());
    assert_eq!(server.stop(), Some(0));
    assert_eq!(site.check().0, 0);
}

#[test]
fn a_server_that_is_killed_writes_no_row_twice_and_none_less() {
    const EVENTS: usize = 2_000;
    let database = database();
    let site = site(&database, "");
    let mut server = site.start();
    for from in (0..EVENTS).step_by(500) {
        assert_eq!(post(&server, from..from + 500), (500, 0));
        waiting::until_so("some rows are written", || rows(&database) > from);
        server.kill();
        server = site.start();
    }
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (EVENTS, 0));
}

#[test]
fn a_replay_and_late_events_never_overwrite_newer_rows() {
    let database = database();
    let site = site(&database, "");
    let server = site.start();
    for (id, at, note) in [("a", 2, "\"second\""), ("b", 3, "\"third\""), ("c", 1, "\"first, late\"")] {
        server.post(event(id, "r", at, note));
    }
    server.until_settled("lake");
    let row = || database.sql(DATABASE, "SELECT id, at, note FROM calls").unwrap();
    assert_eq!(row(), "r|3|third");
    let console = server.console.to_string();
    let replay = ["replay", "--destination", "lake", "--from", "2020-01-01", "--to", "2100-01-01", "--yes"];
    let output = site.run(&[&replay[..], &["--console", &console]].concat());
    assert!(output.status.success(), "{output:?}");
    server.until_settled("lake");
    assert_eq!((server.count("replayed"), row().as_str()), (3, "r|3|third"));
}

#[test]
fn a_wrong_password_a_missing_table_and_a_database_that_is_down_lose_nothing() {
    let mut database = database();
    let site = site(&database, "");
    // Down at the start: it starts all the same.
    database.kill().unwrap();
    let server = site.start();
    assert_eq!(post(&server, 0..100), (100, 0));
    waiting::until_so("attempts fail", || failed(&server) > 0);
    database.run().unwrap();
    server.until_settled("lake");
    assert_eq!(rows(&database), 100);

    // A wrong password, until its file is mended.
    database.sql(DATABASE, "ALTER ROLE postgres PASSWORD 'n3w-passw0rd'").unwrap();
    cut(&database, NEW_PASSWORD);
    let before = failed(&server);
    assert_eq!(post(&server, 100..200), (100, 0));
    waiting::until_so("the login is refused", || failed(&server) > before && said(&server).contains("`password`"));
    // A check says so and refuses nothing: the server would start, and wait as it does now.
    let checked = site.run(&["serve", "--config", "aftercall.toml", "--check-config"]);
    let warned = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(0), "{warned}");
    assert!(warned.contains("destinations.lake") && warned.contains("`password`"), "{warned}");
    fs::write(site.path("password"), NEW_PASSWORD).unwrap();
    server.until_settled("lake");

    // A table that is dropped, until it is back.
    sql(&database, NEW_PASSWORD, "ALTER TABLE calls RENAME TO kept");
    let before = failed(&server);
    assert_eq!(post(&server, 200..300), (100, 0));
    waiting::until_so("the table is missed", || failed(&server) > before && said(&server).contains("make"));
    sql(&database, NEW_PASSWORD, TABLE);
    server.until_settled("lake");
    assert_eq!(sql(&database, NEW_PASSWORD, "SELECT count(*) FROM calls"), "100");
    assert_eq!(sql(&database, NEW_PASSWORD, "SELECT count(*) FROM kept"), "200");
    assert_eq!(dead_letters(&server), 0);
    assert!(!site.logs().contains(NEW_PASSWORD), "a password is in the log");
}

/// Statements with another password than the first one.
fn sql(database: &Database, password: &str, statements: &str) -> String {
    database.sql_as(DATABASE, password, statements).unwrap_or_else(|error| panic!("{error}"))
}

/// Ends the connections of the server.
fn cut(database: &Database, password: &str) {
    let ours = "application_name = 'aftercall'";
    sql(database, password, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"));
}

fn health(server: &Server) -> Value {
    server.status()["destinations"][0]["health"].clone()
}

fn failed(server: &Server) -> u64 {
    health(server)["failed_transient"].as_u64().unwrap()
}

/// What it says about its failures.
fn said(server: &Server) -> String {
    health(server).to_string()
}

#[test]
fn a_row_that_is_refused_is_a_dead_letter_that_names_the_member() {
    let database = database();
    database.sql(DATABASE, "ALTER TABLE calls ADD CHECK (at < 1000)").unwrap();
    let site = site(&database, "");
    let server = site.start();
    let mut events: Vec<_> = (0..200).map(|n| event(&format!("e-{n}"), &n.to_string(), n, "\"x\"")).collect();
    events[50] = event("e-50", "50", 50, "7");
    events[60] = event("e-60", "60", 6_000, "\"x\"");
    events[70] = event("e-70", "70", 70, r#""a\u0000b""#);
    server.post(format!("[{}]", events.join(",")));
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (197, 3));
    let console = server.console.to_string();
    let output = site.run(&["dead-letters", "list", "--json", "--console", &console]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = listed.to_string();
    for expected in ["`note` is a number that does not fit", "23514, constraint calls_at_check", "NUL character"] {
        assert!(text.contains(expected), "{text}\nnot: {expected}");
    }
    assert!(text.contains("\"/note\""), "{text}");
}

#[test]
fn a_table_that_does_not_fit_is_refused_by_a_check_and_at_a_start_keeps_nobody_else_from_running() {
    let database = database();
    let columns = "columns = { id = \"text\", at = \"bigint\", note = \"text\", cost = \"numeric\" }";
    let site = site(&database, &format!("{columns}\n{ALSO_TO_A_FILE}"));
    let checked = site.run(&["serve", "--config", "aftercall.toml", "--check-config"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(3), "{said}");
    // The text is wrapped to the width of a terminal.
    let words: Vec<_> =
        said.split(|c: char| c.is_whitespace() || c == '│' || c == '|').filter(|w| !w.is_empty()).collect();
    let said = words.join(" ");
    assert!(said.contains("destinations.lake.table") && said.contains("ADD COLUMN \"cost\" numeric"), "{said}");

    // Intake and the other destination run, and what waits for this one spends nothing.
    let server = site.start();
    assert_eq!(post(&server, 0..100), (100, 0));
    server.until_settled("out");
    assert_eq!(site.events().len(), 100);
    waiting::until_so("attempts fail", || failed(&server) > 0);
    let lake = || server.status()["destinations"].as_array().unwrap().iter().find(|d| d["name"] == "lake").cloned();
    let unusable = lake().unwrap()["unusable"]["problem"].to_string();
    assert!(unusable.contains("destinations.lake.table") && unusable.contains("ADD COLUMN"), "{unusable}");
    let shown = site.run(&["status", "--console", &server.console.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("UNUSABLE for") && shown.contains("lake cannot be used, its events wait"), "{shown}");
    waiting::until_so("somebody is told", || server.status()["alarms"].to_string().contains("lake cannot be used"));

    database.sql(DATABASE, "ALTER TABLE calls ADD COLUMN cost numeric").unwrap();
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server), &lake().unwrap()["unusable"]), (100, 0, &Value::Null));
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_unusable_destination_can_be_changed_by_a_reload_and_its_events_wait_for_that() {
    let database = database();
    let site = site(
        &database,
        &format!(
            "columns = {{ id = \"text\", at = \"bigint\", note = \"text\", cost = \"numeric\" }}\n{ALSO_TO_A_FILE}"
        ),
    );
    let server = site.start();
    assert_eq!(post(&server, 0..10), (10, 0));
    server.until_settled("out");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    // The same, otherwise wrong: a reload is refused as ever.
    fs::write(site.path("aftercall.toml"), config.replace("numeric", "text")).unwrap();
    server.hang_up();
    waiting::until_so("the reload is refused", || {
        server.status()["config"]["error"].to_string().contains("lake.table")
    });
    fs::write(site.path("aftercall.toml"), config.replace(", cost = \"numeric\"", "")).unwrap();
    server.hang_up();
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (10, 0));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_database_behind_tls_is_verified_by_a_private_authority() {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let settings = "fsync = off\nssl = on\nssl_cert_file = 'tls.crt'\nssl_key_file = 'tls.key'\n";
    let files = [("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())];
    let database = Database::start_with(settings, &files).unwrap_or_else(|error| panic!("{error}"));
    database.sql(DATABASE, TABLE).unwrap();
    let site = site(&database, "ca = \"ca.pem\"");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("sslmode = \"disable\"\n", "")).unwrap();
    // Another authority first: nothing is sent to somebody who may be anybody.
    let stranger = CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap()).unwrap();
    fs::write(site.path("ca.pem"), stranger.pem()).unwrap();
    let server = site.start();
    assert_eq!(post(&server, 0..50), (50, 0));
    waiting::until_so("the server is not believed", || failed(&server) > 0 && said(&server).contains("certificate"));
    assert_eq!(rows(&database), 0);
    fs::write(site.path("ca.pem"), authority.pem()).unwrap();
    server.hang_up();
    server.until_settled("lake");
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'aftercall'";
    assert_eq!(database.sql(DATABASE, encrypted).unwrap(), "t");
    assert_eq!((rows(&database), dead_letters(&server)), (50, 0));
}

#[test]
fn no_value_of_a_row_comes_into_the_log() {
    let database = database();
    let chatty = "CREATE FUNCTION chatty() RETURNS trigger LANGUAGE plpgsql AS \
                  $$BEGIN RAISE WARNING 'got %', NEW.note; RETURN NEW; END$$; \
                  CREATE TRIGGER chatty BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION chatty(); \
                  ALTER TABLE calls ADD COLUMN ip inet";
    database.sql(DATABASE, chatty).unwrap();
    let site = site(&database, "");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("at, note}", "at, note, ip: .note}")).unwrap();
    let server = site.start_with(site.serve().env("AFTERCALL_LOG", "debug"));
    server.post(event("e-1", "1", 1, "\"sesame-secret-text\""));
    server.post(event("e-2", "2", 1, "\"192.0.2.77\""));
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (1, 1));
    assert!(server.log().contains("invalid input syntax for type inet"), "{}", server.log());
    assert!(server.log().contains("executing statement"), "the library logs what it does");
    for value in ["sesame-secret-text", "192.0.2.77", Database::PASSWORD] {
        assert!(!server.log().contains(value), "`{value}` is in the log");
    }
}

#[test]
fn what_a_mapping_or_a_trigger_says_is_in_the_dead_letter_and_in_no_log_and_no_alarm() {
    let database = database();
    let strict = "CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS \
                  $$BEGIN IF NEW.note <> 'x' THEN RAISE EXCEPTION 'Key (note)=(%) already exists', NEW.note; END IF; \
                  RETURN NEW; END$$; \
                  CREATE TRIGGER strict BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION strict()";
    database.sql(DATABASE, strict).unwrap();
    let site = site(&database, "");
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    let mapping = "if .at == 7 then error(.note) elif .at == 8 then .note + 1 else {id: .row, at, note} end";
    fs::write(site.path("aftercall.toml"), config.replace("{id: .row, at, note}", mapping)).unwrap();
    let server = site.start();
    let values = ["sesame of the trigger", "sesame of the mapping", "sesame of jq"];
    for (number, value) in values.iter().enumerate() {
        let row = number.to_string();
        server.post(event(&format!("e-{row}"), &row, 6 + number, &format!("\"{value}\"")));
    }
    server.until_settled("lake");
    assert_eq!((rows(&database), dead_letters(&server)), (0, 3));
    waiting::until_so("somebody is told", || {
        server.status()["alarms"].to_string().matches("its words are kept with the dead letter").count() >= 3
    });
    assert!(!server.status()["alarms"].to_string().contains("sesame"), "{}", server.status()["alarms"]);
    assert!(!server.log().contains("sesame"), "{}", server.log());
    assert!(server.log().contains("its words are kept with the dead letter"), "{}", server.log());
    let kept = site.run(&["dead-letters", "list", "--json", "--console", &server.console.to_string()]);
    let kept = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert_eq!(values.map(|value| kept.contains(value)), [true; 3], "{kept}");
}

/// The example of the documentation, with a database that is there.
#[test]
fn the_documented_example_makes_its_table_and_fills_it() {
    let page = include_str!("../../../../docs/warehouse.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let database = database();
    database.sql(DATABASE, "CREATE SCHEMA calls").unwrap();
    let config = example
        .replace("postgres://aftercall@db.example.com:5432/warehouse", &database.url(DATABASE))
        .replace("file:/run/secrets/warehouse", "file:password")
        .replace("ca = \"/etc/aftercall/db-ca.pem\"", "sslmode = \"disable\"");
    let site = Site::new(&config);
    fs::write(site.path("password"), Database::PASSWORD).unwrap();
    let server = site.start();
    let outcome = |id: &str, minute: u32, wrapup: &str| {
        format!(
            r#"{{"webhookEventId":"{id}","eventType":"conversation.analytics.completed","conversationId":"c-1",
            "timestamp":"2026-03-02T08:{minute}:00Z","data":{{"agentId":"agent-7","wrapupCode":"{wrapup}",
            "sentiment":{{"score":0.25}},"intents":["billing"],"language":"de"}}}}"#
        )
    };
    server.post(outcome("w-1", 20, "newer"));
    server.post(outcome("w-2", 15, "older"));
    server.until_settled("warehouse");
    // A column with a default is none of the configuration's business.
    let touched = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    database.sql(DATABASE, touched).unwrap();
    server.post(outcome("w-4", 25, "newest"));
    server.until_settled("warehouse");
    let changed =
        "SELECT count(*) FROM calls.outcomes WHERE loaded_at > '2000-01-01'::timestamptz - interval '1 minute'";
    assert_eq!(database.sql(DATABASE, changed).unwrap(), "1");
    let row = "SELECT conversation_id, extract(minute FROM updated_at), agent_id, wrapup, sentiment, intents, \
               rest #>> '{call,language}' FROM calls.outcomes";
    assert_eq!(database.sql(DATABASE, row).unwrap(), "c-1|25|agent-7|newest|0.25|[\"billing\"]|de");
    assert_eq!(dead_letters(&server), 0);

    let version = page.split("```text\nversion: ").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    fs::write(site.path("event.json"), outcome("w-3", 20, "x")).unwrap();
    let output = site.run(&["map", "--mapping", version, "--event", "@event.json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "17724396001", "{output:?}");
}
