//! Records at Salesforce, HubSpot and Dataverse: each once and with its newest state, whatever happens to the services, the
//! tokens and the server; and what can never be written is a dead letter that says why.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use simulator::services::{CLIENT_ID, CLIENT_SECRET, Fault, Kind, Options, PRIVATE_APP_TOKEN, REFUSED, Service};

use crate::kept;
use crate::recorder::Recorder;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

const FIELDS: [&str; 2] = ["Seq__c", "Name"];

fn service(kind: Kind, change: impl FnOnce(&mut Options)) -> Service {
    let mut options = Options::new(kind, "Call__c", "Id__c", &FIELDS);
    options.sequence = Some("Seq__c".to_owned());
    change(&mut options);
    Service::start(options).unwrap()
}

/// Works as usual, at the pace of a real service: while it ramps up after an outage, the server sends single records for half a
/// second, which is a thousand calls to one that needs no time.
const USUAL: Option<Fault> = Some(Fault::Slow(Duration::from_millis(20)));

/// A site whose events become records of their conversations.
fn site(service: &Service, recipe: &str, more: &str) -> Site {
    let auth = match recipe {
        "hubspot" => "auth = { bearer = \"file:token\" }".to_owned(),
        _ => {
            let scope = match recipe {
                "dataverse" => format!(", scope = \"{}/.default\"", service.url()),
                _ => String::new(),
            };
            let url = service.token_url();
            format!(
                "auth = {{ oauth = {{ token_url = \"{url}\", client_id = \"{CLIENT_ID}\", client_secret = \"file:secret\", \
                 credentials = \"form\"{scope} }} }}"
            )
        }
    };
    let site = Site::new(&format!(
        "[destinations.crm]\nkind = \"http\"\nrecipe = \"{recipe}\"\nurl = \"{}\"\nobject = \"Call__c\"\nkey = \"Id__c\"\n\
         concurrency = 400\ntimeout = \"30s\"\nbackoff = {{ base = \"20ms\", cap = \"200ms\" }}\n\
         breaker = {{ pause = \"200ms\" }}\n{auth}\n{more}\n\
         [[routes]]\ndestination = \"crm\"\nmapping = '{{Id__c: .conversationId, Seq__c: .seq, Name: .name}} + (.more // {{}})'\n",
        service.url()
    ));
    fs::write(site.path("secret"), CLIENT_SECRET).unwrap();
    fs::write(site.path("token"), PRIVATE_APP_TOKEN).unwrap();
    site
}

fn event(conversation: usize, seq: usize, more: &str) -> String {
    format!(r#"{{"webhookEventId":"e-{conversation}-{seq}","conversationId":"c-{conversation}","seq":{seq}{more}}}"#)
}

fn refused() -> String {
    format!(r#","name":"{REFUSED}""#)
}

fn post(server: &Server, events: &[String]) {
    let (accepted, duplicates) = server.post(format!("[{}]", events.join(","))).counts();
    assert_eq!(accepted + duplicates, events.len() as u64);
}

/// The state of each record, which is a number in a field.
fn states(service: &Service) -> Vec<(String, u64)> {
    let state = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    service.rows().into_iter().map(|(key, row)| (key, state(&row.fields["Seq__c"]))).collect()
}

/// Deliveries go on until so many more are done.
fn until_more(server: &Server, more: u64) {
    let done = |server: &Server| server.consumer("crm")["delivered"].as_u64().unwrap();
    let before = done(server);
    waiting::until_so("deliveries go on", || done(server) >= before + more || server.consumer("crm")["unsettled"] == 0);
}

/// What the dead letters say, one of each.
fn reasons(site: &Site) -> BTreeSet<String> {
    kept::dead_letters(&site.path("data")).into_iter().map(|letter| letter.failure.message).collect()
}

/// How many groups of dead letters there are.
fn groups(site: &Site, server: &Server) -> usize {
    let output = site.run(&["dead-letters", "groups", "--json", "--console", &server.console.to_string()]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    listed["groups"].as_array().unwrap_or_else(|| panic!("{listed}")).len()
}

#[test]
fn two_thousand_events_are_five_hundred_records_of_salesforce_with_their_newest_state() {
    const CONVERSATIONS: usize = 500;
    let salesforce = service(Kind::Salesforce, |_| {});
    let site = site(&salesforce, "salesforce", "");
    let mut server = site.start();
    let round = |seq: usize| -> Vec<String> {
        let more = |conversation: usize| match (seq, conversation % 100) {
            // A rule of the organisation forbids it.
            (2, 7) => refused(),
            // A field that is not there makes the whole call fail.
            (3, 50) => r#","more":{"Nmae":"x"}"#.to_owned(),
            _ => String::new(),
        };
        (0..CONVERSATIONS).map(|conversation| event(conversation, seq, &more(conversation))).collect()
    };
    for (seq, fault) in [(1, Fault::Unavailable), (2, Fault::LostAnswer), (3, Fault::Reset), (4, Fault::Broken)] {
        salesforce.fail(Some(fault));
        let before = failed(&server);
        post(&server, &round(seq));
        waiting::until_so("it fails", || failed(&server) > before);
        // Slow enough that the kill comes in the middle of calls.
        salesforce.fail(Some(Fault::Slow(Duration::from_millis(100))));
        until_more(&server, 100);
        server.kill();
        server = site.start();
        salesforce.fail(USUAL);
    }
    server.until_settled("crm");
    // Every token is refused from one moment to the next.
    salesforce.revoke_tokens();
    post(&server, &(0..CONVERSATIONS).map(|conversation| event(conversation, 5, "")).collect::<Vec<_>>());
    server.until_settled("crm");

    let report = salesforce.report();
    assert_eq!((report.malformed, report.out_of_order), (vec![], 0));
    let states = states(&salesforce);
    assert_eq!(states.len(), CONVERSATIONS);
    assert!(states.iter().all(|(_, state)| *state == 5), "{states:?}");
    assert_eq!(server.count("dead_letters"), 10, "five by a rule, five by a field that is not there");
    assert_eq!(groups(&site, &server), 2);
    assert!(report.unauthorised > 0 && report.tokens_issued >= 2);
    // Each call with a result of each record counts; those of the halves are among them.
    let (calls, written) = (report.calls.len(), report.calls.iter().map(|call| call.written).sum::<usize>());
    assert!(calls * 4 < written, "{calls} calls for {written} records");
    assert_eq!(server.stop(), Some(0));
    let reasons = reasons(&site);
    let told = |code: &str| reasons.iter().any(|reason| reason.contains(code));
    assert!(told("FIELD_CUSTOM_VALIDATION_EXCEPTION (Name)") && told("INVALID_FIELD"), "{reasons:?}");
    assert!(!site.logs().contains(CLIENT_SECRET) && !site.logs().contains("panicked"));
    assert_eq!(site.check().0, 0);
}

fn failed(server: &Server) -> u64 {
    server.status()["destinations"][0]["health"]["failed_transient"].as_u64().unwrap()
}

#[test]
fn the_limit_of_a_day_and_locks_at_salesforce_kill_nothing() {
    let salesforce = service(Kind::Salesforce, |_| {});
    let site = site(&salesforce, "salesforce", "attempts = 1");
    let server = site.start();
    salesforce.fail(Some(Fault::Locked));
    post(&server, &(0..100).map(|conversation| event(conversation, 1, "")).collect::<Vec<_>>());
    waiting::until_so("records are locked", || failed(&server) > 100);
    salesforce.fail(None);
    server.until_settled("crm");
    assert_eq!((salesforce.len(), server.count("dead_letters")), (100, 0));
    salesforce.fail(Some(Fault::DailyLimit));
    post(&server, &(0..100).map(|conversation| event(conversation, 2, "")).collect::<Vec<_>>());
    waiting::until_so("the limit is told", || {
        let shown = site.run(&["status", "--console", &server.console.to_string()]);
        String::from_utf8_lossy(&shown.stdout).contains("REQUEST_LIMIT_EXCEEDED")
    });
    assert_eq!(server.count("dead_letters"), 0);
    assert_eq!(server.consumer("crm")["unsettled"], 100, "they wait");
}

#[test]
fn one_record_in_a_call_is_an_upsert_at_an_address_of_its_own() {
    let salesforce = service(Kind::Salesforce, |options| options.several.push("c-3".to_owned()));
    let site = site(&salesforce, "salesforce", "max_records = 1\norder = \"none\"");
    let server = site.start();
    let mut events: Vec<_> = (0..50).map(|conversation| event(conversation, 1, "")).collect();
    events[4] = event(4, 1, &refused());
    post(&server, &events);
    server.until_settled("crm");
    let report = salesforce.report();
    assert_eq!((salesforce.len(), report.calls.len(), report.malformed), (48, 50, vec![]));
    assert_eq!(server.count("dead_letters"), 2);
    let console = server.console.to_string();
    let output = site.run(&["dead-letters", "list", "--json", "--console", &console]);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in ["several records have this `Id__c`", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "\"/Name\""] {
        assert!(listed.contains(expected), "{listed}\nnot: {expected}");
    }
}

#[test]
fn hubspot_gets_a_thousand_events_in_batches_and_what_it_refuses_is_dead_alone() {
    let hubspot = service(Kind::HubSpot, |_| {});
    let site = site(&hubspot, "hubspot", "");
    let mut server = site.start();
    let round = |seq: usize| -> Vec<String> {
        let more = |conversation| if seq == 1 && conversation % 100 == 50 { refused() } else { String::new() };
        (0..500).map(|conversation| event(conversation, seq, &more(conversation))).collect()
    };
    hubspot.fail(Some(Fault::LostAnswer));
    post(&server, &round(1));
    waiting::until_so("answers are lost", || failed(&server) > 0);
    hubspot.fail(Some(Fault::Slow(Duration::from_millis(100))));
    until_more(&server, 50);
    server.kill();
    hubspot.fail(Some(Fault::Unavailable));
    server = site.start();
    post(&server, &round(2));
    waiting::until_so("it is down", || failed(&server) > 0);
    hubspot.fail(USUAL);
    server.until_settled("crm");
    let report = hubspot.report();
    assert_eq!((report.malformed, report.out_of_order), (vec![], 0));
    let states = states(&hubspot);
    assert!(states.len() == 500 && states.iter().all(|(_, state)| *state == 2), "{states:?}");
    assert_eq!((server.count("dead_letters"), groups(&site, &server)), (5, 1));
    let (calls, written) = (report.calls.len(), report.calls.iter().map(|call| call.written).sum::<usize>());
    assert!(calls * 4 < written, "{calls} calls for {written} records");
    assert_eq!(server.stop(), Some(0));
    let reasons = reasons(&site);
    assert!(
        reasons.iter().all(|reason| reason.contains("HubSpot refused the record: VALIDATION_ERROR (Name)")),
        "{reasons:?}"
    );
}

#[test]
fn a_token_that_is_refused_and_an_object_that_is_missing_hold_deliveries_until_they_are_mended() {
    let hubspot = service(Kind::HubSpot, |options| options.object = "calls".to_owned());
    let site = site(&hubspot, "hubspot", "attempts = 1");
    fs::write(site.path("token"), "pat-of-yesterday").unwrap();
    let server = site.start();
    post(&server, &(0..50).map(|conversation| event(conversation, 1, "")).collect::<Vec<_>>());
    let shown = |told: &str| server.status()["destinations"][0]["health"].to_string().contains(told);
    waiting::until_so("it says that the token is refused", || shown("HubSpot answered 401") && shown("look at `auth`"));
    fs::write(site.path("token"), PRIVATE_APP_TOKEN).unwrap();
    waiting::until_so("it says that the object is not there", || shown("HubSpot answered 404"));
    assert_eq!((server.count("dead_letters"), hubspot.len()), (0, 0));
    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace("\"Call__c\"", "\"calls\"")).unwrap();
    server.hang_up();
    server.until_settled("crm");
    assert_eq!((server.count("dead_letters"), hubspot.len()), (0, 50));
    assert!(!site.logs().contains("pat-"), "a token is in the log");
}

#[test]
fn dataverse_gets_each_record_once_while_its_tokens_end_and_its_limits_hold() {
    let dataverse = service(Kind::Dataverse, |options| options.token_lifetime = Duration::from_secs(2));
    let site = site(&dataverse, "dataverse", "rate = { per_second = 200 }");
    let mut server = site.start();
    for seq in 1..=3 {
        let more = |conversation| if seq == 2 && conversation == 50 { refused() } else { String::new() };
        post(&server, &(0..200).map(|conversation| event(conversation, seq, &more(conversation))).collect::<Vec<_>>());
        if seq == 2 {
            dataverse.fail(Some(Fault::DailyLimit));
            waiting::until_so("it limits, or all is done", || {
                failed(&server) > 0 || server.consumer("crm")["unsettled"] == 0
            });
            server.kill();
            server = site.start();
            dataverse.fail(None);
        }
    }
    server.until_settled("crm");
    let report = dataverse.report();
    assert_eq!((report.malformed, report.out_of_order), (vec![], 0));
    let states = states(&dataverse);
    assert!(states.len() == 200 && states.iter().all(|(_, state)| *state == 3), "{states:?}");
    assert!(report.tokens_issued >= 2, "{}", report.tokens_issued);
    assert_eq!(server.count("dead_letters"), 1);
    assert_eq!(server.stop(), Some(0));
    assert!(reasons(&site).iter().all(|reason| reason.contains("Dataverse refused the record: 0x80040265")));
}

#[test]
fn a_put_writes_each_event_to_an_address_of_its_own() {
    let crm = Recorder::start(|_| 201);
    let config = |url: &str, more: &str| {
        format!(
            "[destinations.crm]\nkind = \"http\"\nrecipe = \"put\"\nurl = \"{url}\"\n{more}\n[[routes]]\ndestination = \"crm\"\n"
        )
    };
    let url = format!("http://{}/outcomes/{{event_id}}", crm.address);
    let site = Site::new(&config(&url, ""));
    let server = site.start();
    post(&server, &[event(1, 1, ""), event(1, 2, "")]);
    server.until_settled("crm");
    let requests = crm.requests();
    let paths: BTreeSet<_> = requests.iter().map(|request| (request.method.clone(), request.path.clone())).collect();
    assert_eq!((requests.len(), paths.len()), (2, 2));
    assert!(paths.iter().all(|(method, path)| method == "PUT" && path.starts_with("/outcomes/")), "{paths:?}");
    drop(server);
    for (url, more, told) in [
        ("http://127.0.0.1:1/outcomes", "", "each would overwrite the one before"),
        (&url, "method = \"POST\"", "means nothing for kind = \"http\" with recipe = \"put\""),
        (&url, "object = \"x\"", "means nothing for kind = \"http\" with recipe = \"put\""),
    ] {
        refuses(&config(url, more), told);
    }
}

/// A configuration is refused, and this is said.
fn refuses(config: &str, told: &str) {
    let site = Site::new(config);
    let output = site.run(&["serve", "--config", "aftercall.toml", "--check-config"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = said.split(|c: char| c.is_whitespace() || c == '│' || c == '|').filter(|word| !word.is_empty());
    let said = words.collect::<Vec<_>>().join(" ");
    assert!(output.status.code() == Some(3) && said.contains(told), "{config}\n{said}\nnot: {told}");
}

#[test]
fn a_recipe_that_cannot_work_is_refused_before_it_starts() {
    let good = "kind = \"http\"\nurl = \"https://example.my.salesforce.com\"\n";
    let records = format!("{good}recipe = \"salesforce\"\nobject = \"Call__c\"\nkey = \"Id__c\"\n");
    for (table, told) in [
        (format!("{good}recipe = \"salesforce\"\nkey = \"Id__c\"\n"), "object: is missing; name the sObject"),
        (format!("{good}recipe = \"hubspot\"\nobject = \"calls\"\n"), "key: is missing; name the unique property"),
        (format!("{good}key = \"Id__c\"\n"), "means nothing for kind = \"http\" without a recipe"),
        (format!("{records}method = \"POST\"\n"), "with this recipe, which sets it"),
        (format!("{records}success = [\"404\"]\n"), "with this recipe, which sets it"),
        (format!("{records}max_records = 201\n"), "use 1 to 200"),
        (format!("{records}columns = {{ a = \"text\" }}\n"), "means nothing for kind = \"http\""),
        (records.replace("\"Id__c\"", "[\"Id__c\", \"B__c\"]"), "knows records by one field"),
        (records.replace("\"salesforce\"", "\"salseforce\""), "salesforce"),
        ("kind = \"file\"\npath = \"x\"\nrecipe = \"put\"\n".to_owned(), "means nothing for kind = \"file\""),
    ] {
        refuses(&format!("[destinations.crm]\n{table}[[routes]]\ndestination = \"crm\"\n"), told);
    }
}

/// The blocks of a page in a language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// An example of the documentation, with what is not there on this machine replaced; and its table.
fn example(block: &str) -> (String, toml::Table) {
    let text = block.split("file:/run/secrets/").enumerate().map(|(number, part)| match number {
        0 => part.to_owned(),
        _ => format!("file:secret{}", &part[part.find('"').unwrap()..]),
    });
    let text: String = text.collect();
    let table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    (text, table)
}

#[test]
fn the_documented_examples_are_taken_and_make_what_is_written_under_them() {
    let page = include_str!("../../../../docs/crm.md");
    let (configs, results) = (blocks(page, "toml"), blocks(page, "json"));
    assert_eq!((configs.len(), results.len()), (4, 5), "the first result is the event");
    for (config, expected) in configs.iter().zip(&results[1..]) {
        let (config, table) = example(config);
        let site = Site::new(&config);
        fs::write(site.path("secret"), CLIENT_SECRET).unwrap();
        let checked = site.run(&["serve", "--config", "aftercall.toml", "--check-config"]);
        assert!(checked.status.success(), "{config}\n{}", String::from_utf8_lossy(&checked.stderr));

        fs::write(site.path("event.json"), results[0]).unwrap();
        let mapping = table["routes"][0]["mapping"].as_str().unwrap();
        let mapped = site.run(&["map", "--mapping", mapping, "--event", "@event.json"]);
        let mut mapped: Value =
            serde_json::from_slice(&mapped.stdout).unwrap_or_else(|error| panic!("{error}: {mapped:?}"));
        let expected: Value = serde_json::from_str(expected).unwrap();
        for (name, value) in mapped.as_object_mut().unwrap() {
            if expected[name] == "the event's id" {
                *value = expected[name].clone();
            }
        }
        assert_eq!(mapped, expected, "{config}");
        delivers(&table, &config, results[0], &expected);
    }
    let task = page.split("```text\nmapping: ").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let site = Site::new(TO_FILE);
    fs::write(site.path("event.json"), results[0]).unwrap();
    let mapped = site.run(&["map", "--mapping", task, "--event", "@event.json"]);
    let mapped: Value = serde_json::from_slice(&mapped.stdout).unwrap_or_else(|error| panic!("{error}: {mapped:?}"));
    assert_eq!((&mapped["ActivityDate"], &mapped["CallDurationInSeconds"]), (&"2026-03-02".into(), &184.into()));
}

/// The example at a service that is strict: the event becomes this record.
fn delivers(table: &toml::Table, config: &str, event: &str, expected: &Value) {
    let (name, destination) = table["destinations"].as_table().unwrap().iter().next().unwrap();
    let kind = match destination["recipe"].as_str().unwrap() {
        "salesforce" => Kind::Salesforce,
        "hubspot" => Kind::HubSpot,
        "dataverse" => Kind::Dataverse,
        _ => return,
    };
    let key = destination["key"].as_str().unwrap();
    let mut fields = expected.as_object().unwrap().clone();
    let value = fields.remove(key).unwrap();
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    let service = Service::start(Options::new(kind, destination["object"].as_str().unwrap(), key, &names)).unwrap();
    let mut config = config.to_owned();
    if let Some(oauth) = destination.get("auth").and_then(|auth| auth.get("oauth")) {
        config = config.replace(oauth["token_url"].as_str().unwrap(), &service.token_url());
        config = config.replace(oauth["client_id"].as_str().unwrap(), CLIENT_ID);
    }
    let site = Site::new(&config.replace(destination["url"].as_str().unwrap(), &service.url()));
    let secret = if kind == Kind::HubSpot { PRIVATE_APP_TOKEN } else { CLIENT_SECRET };
    fs::write(site.path("secret"), secret).unwrap();
    let server = site.start();
    assert_eq!(server.post(event).counts(), (1, 0));
    server.until_settled(name);
    assert_eq!((service.report().malformed, server.count("dead_letters")), (vec![], 0));
    let rows = service.rows();
    assert!(rows.len() == 1 && (value == "the event's id" || value == rows[0].0.as_str()), "{rows:?}");
    for (name, value) in &rows[0].1.fields {
        let expected = &fields[name];
        let same = value == expected || value.as_str() == Some(expected.to_string().trim_matches('"'));
        assert!(same, "{name}: {value} and not {expected}");
    }
}
