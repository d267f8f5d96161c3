//! What calls look like, what answers mean, and records at services that are strict.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::EventId;
use futures::future::{join_all, maybe_done};
use proptest::prelude::*;
use simulator::services::{self, CLIENT_ID, CLIENT_SECRET, Fault, Kind, PRIVATE_APP_TOKEN, REFUSED};

use super::record::Record;
use super::service::{Answer, Said, Service};
use super::*;
use crate::http::Auth;
use crate::{Destination, ErrorClass, OutgoingDelivery, Secret, SendError};

fn delivery(number: usize, payload: &str) -> OutgoingDelivery {
    OutgoingDelivery {
        event: EventId::from_identity("test", [number.to_string().as_bytes()]),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: None,
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.to_owned().into(),
        replayed: false,
        trace: None,
    }
}

fn options(recipe: Recipe, url: &str) -> Options {
    let key = vec!["Id__c".to_owned()];
    Options::new(recipe, crate::http::Options::new(url.parse().unwrap()), "Call__c", key)
}

fn service(recipe: Recipe, change: impl FnOnce(&mut Options)) -> Box<dyn Service> {
    let mut options = options(recipe, "https://crm.example.com/");
    change(&mut options);
    options.service().unwrap_or_else(|error| panic!("{error}"))
}

fn record(payload: &str) -> Record {
    Record::new(delivery(0, "").event, payload.as_bytes(), &["Id__c".to_owned()]).unwrap()
}

fn records(count: usize) -> Vec<Record> {
    let payload = |number| format!(r#"{{"Id__c":"k-{number}","Name":"n"}}"#);
    let made = |number| Record::new(delivery(number, "").event, payload(number).as_bytes(), &["Id__c".to_owned()]);
    (0..count).map(|number| made(number).unwrap()).collect()
}

fn read(service: &dyn Service, status: u16, body: &str, count: usize) -> Said {
    let answer = Answer { status, body: Bytes::from(body.to_owned()), retry_after: None };
    service.read(&answer, &records(count).iter().collect::<Vec<_>>())
}

/// What is said, in short: `each` with a letter for every record, or whom it concerns; and the first error.
fn short(said: Said) -> (String, String) {
    let class = |error: &SendError| if error.class == ErrorClass::Permanent { "P" } else { "T" };
    match said {
        Said::Each(results) => {
            let letters = results.iter().map(|result| match result {
                None => "?",
                Some(Ok(_)) => ".",
                Some(Err(error)) => class(error),
            });
            let first = results.iter().flatten().find_map(|result| result.as_ref().err());
            (
                format!("each {}", letters.collect::<String>()),
                first.map_or(String::new(), |error| error.message.clone()),
            )
        }
        Said::All(error) => (format!("all {}", class(&error)), error.message),
        Said::Content(error) => (format!("content {}", class(&error)), error.message),
        Said::Unclear(error) => (format!("unclear {}", class(&error)), error.message),
    }
}

#[test]
fn a_call_to_salesforce_is_an_upsert_by_the_external_id() {
    let (many, one) =
        (service(Recipe::Salesforce, |_| {}), service(Recipe::Salesforce, |options| options.max_records = 1));
    let (a, b) = (record(r#"{"Id__c":"a/b","Cost":1.10}"#), record(r#"{"Id__c":7}"#));
    let call = many.call(&[&a, &b]).unwrap();
    assert_eq!(
        (call.method.as_str(), call.address.to_string().as_str()),
        ("PATCH", "https://crm.example.com/services/data/v62.0/composite/sobjects/Call__c/Id__c")
    );
    let body = r#"{"allOrNone":false,"records":[{"attributes":{"type":"Call__c"},"Id__c":"a/b","Cost":1.10},{"attributes":{"type":"Call__c"},"Id__c":7}]}"#;
    assert_eq!(call.body, body);
    let call = one.call(&[&a]).unwrap();
    assert_eq!(
        (call.address.to_string().as_str(), &call.body[..]),
        ("https://crm.example.com/services/data/v62.0/sobjects/Call__c/Id__c/a%2Fb", &br#"{"Cost":1.10}"#[..])
    );
    for payload in [r#"{"Id__c":"a","ID":"001"}"#, r#"{"Id__c":"a","id__c":"b"}"#, r#"{"Id__c":"a","attributes":{}}"#] {
        let error = many.check(&record(payload)).unwrap_err();
        assert!(error.message.contains("is set by the recipe") && error.excerpt.is_some(), "{error}");
    }
    assert!(one.check(&record(r#"{"Id__c":".."}"#)).is_err());
}

#[test]
fn what_salesforce_answers_is_sorted() {
    let (many, one) =
        (service(Recipe::Salesforce, |_| {}), service(Recipe::Salesforce, |options| options.max_records = 1));
    let error = |code: &str| format!(r#"[{{"errorCode":"{code}","message":"m","fields":["Name"]}}]"#);
    for (status, body, expected, told) in [
        (200, "", "each .", ""),
        (201, "{}", "each .", ""),
        (204, "", "each .", ""),
        (300, r#"["/a","/b"]"#, "content P", "several records have this `Id__c`"),
        (400, &error("REQUIRED_FIELD_MISSING"), "content P", "REQUIRED_FIELD_MISSING (Name)"),
        (400, &error("UNABLE_TO_LOCK_ROW"), "unclear T", "UNABLE_TO_LOCK_ROW"),
        (401, &error("INVALID_SESSION_ID"), "all T", "look at `auth`"),
        (401, "<html>", "all T", "look at `auth`"),
        (403, &error("REQUEST_LIMIT_EXCEEDED"), "all T", "24 hours"),
        (403, &error("INSUFFICIENT_ACCESS"), "content P", "INSUFFICIENT_ACCESS"),
        (403, &error("API_DISABLED_FOR_ORG"), "all T", "API_DISABLED_FOR_ORG"),
        (404, &error("NOT_FOUND"), "all T", "look at `url`"),
        (400, "<html>", "unclear T", "400 and no reason of its own"),
        (403, "<html>", "unclear T", "403 and no reason of its own"),
        (409, "", "unclear T", "409"),
        (413, "", "content P", "413"),
        (429, "", "all T", "429"),
        (500, &error("UNKNOWN_EXCEPTION"), "unclear T", "500 (UNKNOWN_EXCEPTION)"),
        (503, &error("SERVER_UNAVAILABLE"), "all T", "SERVER_UNAVAILABLE"),
        (503, "", "all T", "503"),
    ] {
        let (said, message) = short(read(&*one, status, body, 1));
        assert_eq!(said, expected, "{status} {body}");
        assert!(message.contains(told), "{status} {body}: {message}");
    }
    let good = r#"{"id":"1","success":true,"errors":[],"created":true}"#;
    let bad = |code: &str, message: &str| {
        format!(r#"{{"success":false,"errors":[{{"statusCode":"{code}","message":"{message}","fields":["Name"]}}]}}"#)
    };
    let (rule, lock) = (bad("FIELD_CUSTOM_VALIDATION_EXCEPTION", "m"), bad("UNABLE_TO_LOCK_ROW", "m"));
    let (trigger, twice) = (
        bad("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "caused by UNABLE_TO_LOCK_ROW"),
        bad("DUPLICATE_VALUE", "Duplicate external id specified: k"),
    );
    for (status, body, expected) in [
        (200, format!("[{good},{rule},{lock}]"), "each .PT"),
        (200, format!("[{trigger},{twice},{good}]"), "each TT."),
        (200, format!("[{good},{good}]"), "unclear T"),
        (200, format!("[{good},{good},{good},{good}]"), "unclear T"),
        (200, "[{\"success\":tr".to_owned(), "unclear T"),
        (200, "{}".to_owned(), "unclear T"),
        (
            200,
            r#"[{"success":false,"errors":null},{"success":false,"errors":[]},{"success":true}]"#.to_owned(),
            "each TT.",
        ),
        (300, "[]".to_owned(), "all T"),
        (400, error("INVALID_FIELD"), "content P"),
        (
            400,
            r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'name' on sobject of type Call__c"}]"#
                .to_owned(),
            "each PPP",
        ),
        (
            400,
            r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'other' on sobject of type Call__c"}]"#
                .to_owned(),
            "content P",
        ),
        (400, r#"[{"errorCode":null,"message":null,"fields":null}]"#.to_owned(), "unclear T"),
        (403, error("INSUFFICIENT_ACCESS"), "unclear T"),
        (403, "<html>".to_owned(), "unclear T"),
        (400, error("UNABLE_TO_LOCK_ROW"), "unclear T"),
    ] {
        assert_eq!(short(read(&*many, status, &body, 3)).0, expected, "{status} {body}");
    }
    let limit = Said::All(SendError::transient(""));
    let Said::All(error) = read(&*many, 403, &error("REQUEST_LIMIT_EXCEEDED"), 3) else { panic!("{limit:?}") };
    assert_eq!((error.retry_after, error.status), (Some(Duration::from_secs(900)), Some(403)));
}

#[test]
fn what_hubspot_answers_is_sorted() {
    let hubspot = service(Recipe::HubSpot, |_| {});
    let trace = |number: usize| delivery(number, "").event.to_string();
    let done = |number: usize| format!(r#"{{"id":"1","properties":{{}},"objectWriteTraceId":"{}"}}"#, trace(number));
    let by_key = r#"{"id":"1","properties":{"Id__c":"K-2"}}"#;
    let failed = |category: &str, number: usize| {
        let trace = trace(number);
        format!(
            r#"{{"category":"{category}","message":"m","context":{{"objectWriteTraceId":["{trace}"],"propertyName":["Name"]}}}}"#
        )
    };
    let multi = |results: &[String], errors: &[String]| {
        format!(
            r#"{{"status":"COMPLETE","results":[{}],"numErrors":1,"errors":[{}]}}"#,
            results.join(","),
            errors.join(",")
        )
    };
    let untold = r#"{"category":"VALIDATION_ERROR","message":"m","context":{}}"#.to_owned();
    for (status, body, expected) in [
        (200, multi(&[done(2), done(0), done(1)], &[]), "each ..."),
        (201, r#"{"results":[{},{},{}]}"#.to_owned(), "each ..."),
        (207, multi(&[done(1), by_key.to_owned()], &[failed("VALIDATION_ERROR", 0)]), "each P.."),
        (
            207,
            multi(&[], &[failed("CONFLICT", 2), failed("OBJECT_NOT_FOUND", 1), failed("RATE_LIMITS", 0)]),
            "each TPT",
        ),
        (207, multi(&[done(1)], std::slice::from_ref(&untold)), "each ?.?"),
        (200, multi(&[done(1)], &[]), "unclear T"),
        (200, multi(&[done(1), done(1), done(1), done(1)], &[]), "unclear T"),
        (207, "{\"results\":[".to_owned(), "unclear T"),
        (200, r#"{"results":[{"properties":null},{},{}],"errors":null}"#.to_owned(), "each ..."),
        (400, "<html>".to_owned(), "unclear T"),
        (
            400,
            r#"{"category":"VALIDATION_ERROR","errors":[{"code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["Name"]}}]}"#.to_owned(),
            "each PPP",
        ),
        (
            400,
            r#"{"category":"VALIDATION_ERROR","message":"Unable to perform update/upsert by non-unique 0-2 property Id__c"}"#.to_owned(),
            "all T",
        ),
        (400, r#"{"category":"VALIDATION_ERROR"}"#.to_owned(), "content P"),
        (401, String::new(), "all T"),
        (403, r#"{"category":"MISSING_SCOPES"}"#.to_owned(), "all T"),
        (404, String::new(), "all T"),
        (409, r#"{"category":"CONFLICT"}"#.to_owned(), "unclear T"),
        (423, String::new(), "all T"),
        (429, r#"{"policyName":"DAILY"}"#.to_owned(), "all T"),
        (477, String::new(), "all T"),
        (502, String::new(), "all T"),
    ] {
        assert_eq!(short(read(&*hubspot, status, &body, 3)).0, expected, "{status} {body}");
    }
    assert_eq!(
        short(read(&*hubspot, 207, &multi(&[], &[untold]), 1)).0,
        "each P",
        "alone it can be about nothing else"
    );
    let pause = |policy: &str| match read(&*hubspot, 429, &format!(r#"{{"policyName":"{policy}"}}"#), 1) {
        Said::All(error) => (error.retry_after.unwrap().as_secs(), error.message),
        other => panic!("{other:?}"),
    };
    assert_eq!(pause("DAILY").0, 900);
    assert_eq!(
        pause("TEN_SECONDLY_ROLLING"),
        (10, "HubSpot answered 429: the limit TEN_SECONDLY_ROLLING of the account is used up".into())
    );
    let call = hubspot.call(&[&record(r#"{"Id__c":7,"a":true,"b":1.50,"c":null,"d":"x"}"#)]).unwrap();
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    assert_eq!(call.address, "https://crm.example.com/crm/v3/objects/Call__c/batch/upsert");
    assert!(
        body.contains(r#""properties":{"a":"true","b":"1.50","c":"","d":"x"}"#) && body.contains(r#""id":"7""#),
        "{body}"
    );
    let dated = service(Recipe::HubSpot, |options| options.version = "2026-03".to_owned());
    assert_eq!(
        dated.call(&[&record(r#"{"Id__c":7}"#)]).unwrap().address.path(),
        "/crm/objects/2026-03/Call__c/batch/upsert"
    );
    assert!(hubspot.check(&record(r#"{"Id__c":7,"list":[1]}"#)).unwrap_err().message.contains("`list`"));
}

#[test]
fn what_dataverse_answers_is_sorted() {
    let dataverse = service(Recipe::Dataverse, |_| {});
    let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
    for (status, body, expected) in [
        (204, String::new(), "each ."),
        (200, "{}".to_owned(), "each ."),
        (201, "{}".to_owned(), "each ."),
        (400, error("0x80048d19"), "content P"),
        (412, error("0x80040237"), "unclear T"),
        (412, error("0x80060882"), "content P"),
        (403, error("0x80040220"), "unclear T"),
        (401, String::new(), "all T"),
        (404, error("0x80060888"), "all T"),
        (429, error("0x80072322"), "all T"),
        (500, error("0x80040216"), "unclear T"),
        (503, String::new(), "all T"),
    ] {
        assert_eq!(short(read(&*dataverse, status, &body, 1)).0, expected, "{status} {body}");
    }
    let call = dataverse.call(&[&record(r#"{"Id__c":"O'Hara, é","Name":"x"}"#)]).unwrap();
    assert_eq!(
        call.address.to_string(),
        "https://crm.example.com/api/data/v9.2/Call__c(Id__c=%27O%27%27Hara%2C%20%C3%A9%27)"
    );
    assert_eq!(call.body, r#"{"Name":"x"}"#);
    assert!(!call.headers.iter().any(|(name, _)| name == "if-match"), "without it, it is an upsert");
    let two = service(Recipe::Dataverse, |options| options.key = vec!["b".into(), "a".into()]);
    let of_two = Record::new(delivery(0, "").event, br#"{"a":"x","b":7,"c":1}"#, &["b".to_owned(), "a".to_owned()]);
    let call = two.call(&[&of_two.unwrap()]).unwrap();
    assert_eq!((call.address.path(), &call.body[..]), ("/api/data/v9.2/Call__c(b=7,a=%27x%27)", &br#"{"c":1}"#[..]));
    assert!(dataverse.check(&record(r#"{"Id__c":"a/b"}"#)).unwrap_err().message.contains("has a `/`"));
}

#[test]
fn what_cannot_be_meant_is_refused_when_it_is_opened() {
    for (change, told) in [
        (&(|options: &mut Options| options.max_records = 201) as &dyn Fn(&mut Options), "1 to 200"),
        (&|options| options.max_records = 0, "1 to 200"),
        (&|options| options.connections = 0, "1 to 32"),
        (&|options| options.key.push("Other__c".into()), "several names"),
        (&|options| options.key.clear(), "is empty"),
        (&|options| options.object = "Call__c/../x".into(), "no name there"),
        (&|options| options.key = vec!["Id c".into()], "no name there"),
        (&|options| options.version = "latest".into(), "write it as 62.0"),
        (&|options| options.version = "62".into(), "write it as 62.0"),
        (&|options| options.version = "45.0".into(), "since 46.0"),
        (
            &|options| options.http.url = "https://crm.example.com/{event_id}".parse().unwrap(),
            "same for every delivery",
        ),
        (&|options| options.http.url = "https://crm.example.com/?a=b".parse().unwrap(), "same for every delivery"),
    ] {
        let mut options = options(Recipe::Salesforce, "https://crm.example.com");
        change(&mut options);
        let error = RecipeDestination::open(options).err().unwrap_or_else(|| panic!("{told}")).to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
}

proptest! {
    /// Whatever a service answers, each record has a result or is asked about again, and nothing panics.
    #[test]
    fn no_answer_makes_it_panic(status in 200u16..600, body in ".*", count in 1usize..4) {
        for recipe in [Recipe::Salesforce, Recipe::HubSpot, Recipe::Dataverse] {
            if let Said::Each(results) = read(&*service(recipe, |_| {}), status, &body, count) {
                prop_assert_eq!(results.len(), count);
            }
        }
    }

    /// What is in a key stays in its quotes.
    #[test]
    fn a_key_of_dataverse_stays_in_its_quotes(key in "[^\u{0}-\u{1f}\u{7f}-\u{9f}/<>*%&:\\\\?+]*[a-z]") {
        let payload = serde_json::json!({ "Id__c": key }).to_string();
        let call = service(Recipe::Dataverse, |_| {}).call(&[&record(&payload)]).unwrap();
        let path = call.address.path().strip_prefix("/api/data/v9.2/Call__c(Id__c=%27").unwrap();
        let inner = path.strip_suffix("%27)").unwrap();
        prop_assert!(!inner.contains(['\'', '/', '(', ')', ',', '?']), "{}", inner);
        let decoded = percent_encoding::percent_decode_str(inner).decode_utf8().unwrap();
        prop_assert_eq!(decoded.replace("''", "\u{1}").replace('\'', "?").replace('\u{1}', "'"), key);
    }
}

/// A service that plays the recipe's, and a destination at it.
fn at(
    recipe: Recipe,
    change: impl FnOnce(&mut services::Options),
    more: impl FnOnce(&mut Options),
) -> (services::Service, RecipeDestination) {
    let kind = match recipe {
        Recipe::Salesforce => Kind::Salesforce,
        Recipe::HubSpot => Kind::HubSpot,
        Recipe::Dataverse => Kind::Dataverse,
    };
    let mut settings = services::Options::new(kind, "Call__c", "Id__c", &["Name", "Seq__c"]);
    settings.sequence = Some("Seq__c".to_owned());
    change(&mut settings);
    let service = services::Service::start(settings).unwrap();
    let mut options = options(recipe, &service.url());
    options.http.timeout = Duration::from_secs(30);
    options.http.auth = match recipe {
        Recipe::HubSpot => Auth::Bearer(Secret::fixed(PRIVATE_APP_TOKEN)),
        Recipe::Salesforce | Recipe::Dataverse => {
            let secret = Secret::fixed(CLIENT_SECRET);
            let mut source = oauth::Options::new(&service.token_url(), CLIENT_ID.to_owned(), secret).unwrap();
            source.credentials = oauth::Credentials::Form;
            source.scope = (recipe == Recipe::Dataverse).then(|| format!("{}/.default", service.url()));
            Auth::OAuth(oauth::TokenSource::new(source).unwrap())
        }
    };
    more(&mut options);
    (service, RecipeDestination::open(options).unwrap())
}

async fn send(destination: &RecipeDestination, payloads: &[String]) -> Vec<Result<u16, SendError>> {
    let destination = Arc::new(destination.clone());
    let sends = payloads.iter().enumerate().map(|(number, payload)| {
        let destination = Arc::clone(&destination);
        let delivery = delivery(number, payload);
        async move { destination.send(delivery).await.map(|receipt| receipt.status.unwrap()) }
    });
    // They come in their order, some in each turn of the runtime: more than that a task may not begin in one.
    let mut sends: Vec<_> = sends.map(|send| Box::pin(maybe_done(send))).collect();
    for (number, send) in sends.iter_mut().enumerate() {
        if number % 50 == 49 {
            tokio::task::yield_now().await;
        }
        let _ = futures::poll!(send);
    }
    join_all(sends.iter_mut()).await;
    sends.iter_mut().map(|send| send.as_mut().take_output().unwrap()).collect()
}

fn payload(key: usize, name: &str, seq: usize) -> String {
    format!(r#"{{"Id__c":"k-{key}","Name":"{name}","Seq__c":{seq}}}"#)
}

#[tokio::test]
async fn records_share_calls_and_each_is_settled_by_its_own_result() {
    for recipe in [Recipe::Salesforce, Recipe::HubSpot, Recipe::Dataverse] {
        let (service, destination) = at(recipe, |_| {}, |_| {});
        let mut payloads: Vec<_> = (0..500).map(|key| payload(key, "n", 1)).collect();
        payloads[100] = payload(100, REFUSED, 1);
        let results = send(&destination, &payloads).await;
        let failed: Vec<_> =
            results.iter().enumerate().filter_map(|(place, result)| Some((place, result.as_ref().err()?))).collect();
        assert_eq!(failed.len(), 1, "{recipe:?} {failed:?}");
        assert_eq!((failed[0].0, failed[0].1.class.clone()), (100, ErrorClass::Permanent), "{failed:?}");
        let (calls, malformed) = (service.report().calls, service.report().malformed);
        assert_eq!((service.len(), malformed), (499, vec![]));
        match recipe {
            Recipe::Dataverse => assert_eq!(calls.len(), 500),
            _ => assert!(calls.len() < 20, "{recipe:?} {calls:?}"),
        }
    }
}

#[tokio::test]
async fn what_makes_a_whole_call_fail_is_found_by_halving_and_fails_alone() {
    for recipe in [Recipe::Salesforce, Recipe::HubSpot] {
        let (service, destination) = at(recipe, |_| {}, |options| options.connections = 1);
        let mut payloads: Vec<_> = (0..100).map(|key| payload(key, "n", 1)).collect();
        payloads[63] = r#"{"Id__c":"k-63","Nmae":"n"}"#.to_owned();
        let results = send(&destination, &payloads).await;
        let failed: Vec<_> =
            results.iter().enumerate().filter_map(|(place, result)| Some((place, result.as_ref().err()?))).collect();
        assert_eq!(
            (failed.len(), failed[0].0, failed[0].1.class.clone()),
            (1, 63, ErrorClass::Permanent),
            "{failed:?}"
        );
        assert_eq!(service.len(), 99);
        let calls = service.report().calls.len();
        assert!(calls <= 18, "{calls} calls");
    }
}

/// A service that answers calls by their number and the names of their records, a destination at it that has one
/// connection, and how many calls there were.
fn answering(
    answer: impl Fn(usize, &[String]) -> (u16, String) + Send + 'static,
) -> (RecipeDestination, Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{BufRead as _, Read as _, Write as _};
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // It ends with the test process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = std::io::BufReader::new(stream);
            let head: Vec<String> =
                reader.by_ref().lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
            let length =
                head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let call: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let names: Vec<_> =
                call["records"].as_array().unwrap().iter().map(|r| r["Name"].as_str().unwrap().to_owned()).collect();
            let (status, body) = answer(counted.fetch_add(1, Ordering::SeqCst), &names);
            let head = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = reader.into_inner().write_all((head + &body).as_bytes());
        }
    });
    let mut options = options(Recipe::Salesforce, &url);
    options.connections = 1;
    options.http.timeout = Duration::from_secs(30);
    (RecipeDestination::open(options).unwrap(), calls)
}

/// What became of 100 records, the 63rd of which is bad: a letter for each result, those in a row together; and the calls.
async fn told(answer: impl Fn(usize, &[String]) -> (u16, String) + Send + 'static) -> (String, usize) {
    let (destination, calls) = answering(answer);
    let payloads: Vec<_> = (0..100).map(|key| payload(key, if key == 63 { "bad" } else { "good" }, 1)).collect();
    let results = send(&destination, &payloads).await;
    let mut letters: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(_) => '.',
            Err(error) if error.class == ErrorClass::Permanent => 'P',
            Err(_) => 'T',
        })
        .collect();
    letters.dedup();
    (letters.into_iter().collect(), calls.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test]
async fn a_record_about_which_a_service_says_nothing_keeps_no_other_from_being_written() {
    let (result, calls) = told(|_, names| {
        let results: Vec<_> = names.iter().filter(|name| *name != "bad").map(|_| r#"{"success":true}"#).collect();
        (200, format!("[{}]", results.join(",")))
    })
    .await;
    assert_eq!(result, ".T.");
    assert!(calls < 20, "{calls} calls");
}

#[tokio::test]
async fn a_page_from_between_kills_no_record_whatever_its_status() {
    for status in [200, 400, 403, 407, 511] {
        let (result, calls) = told(move |_, _| (status, "<html>a proxy's</html>".to_owned())).await;
        assert_eq!(result, "T", "{status}");
        assert!(calls < 40, "{status}: {calls} calls");
    }
}

#[tokio::test]
async fn a_mapping_that_is_wrong_for_all_records_takes_few_calls() {
    let refused = |told: &str| (400, format!(r#"[{{"errorCode":"INVALID_FIELD","message":"{told}"}}]"#));
    let (result, calls) = told(move |_, _| refused("No such column 'NAME' on sobject of type Call__c")).await;
    assert_eq!(result, "P");
    assert!(calls <= 3, "{calls} calls, although the field that all of them have was named");
    let (result, calls) = told(move |_, _| refused("something else")).await;
    assert_eq!(result, "P");
    assert!(calls < 150, "{calls} calls for 100 records");
}

#[tokio::test]
async fn records_of_one_key_are_written_one_call_after_the_other_in_their_order() {
    for recipe in [Recipe::Salesforce, Recipe::HubSpot] {
        let (service, destination) = at(recipe, |_| {}, |_| {});
        let payloads: Vec<_> = (0..200).map(|number| payload(number % 10, "n", number)).collect();
        let results = send(&destination, &payloads).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let report = service.report();
        assert_eq!((service.len(), report.out_of_order, report.malformed), (10, 0, vec![]));
        assert!(service.rows().iter().all(|(_, row)| row.writes == 20));
    }
}

#[tokio::test]
async fn what_concerns_all_kills_none_and_a_lost_answer_is_repeated_harmlessly() {
    for recipe in [Recipe::Salesforce, Recipe::HubSpot, Recipe::Dataverse] {
        let (service, destination) = at(recipe, |_| {}, |_| {});
        let payloads: Vec<_> = (0..50).map(|key| payload(key, "n", 1)).collect();
        for fault in [
            Fault::Reset,
            Fault::Unavailable,
            Fault::Broken,
            Fault::DailyLimit,
            Fault::Locked,
            Fault::LostAnswer,
            Fault::Unreadable,
        ] {
            service.fail(Some(fault));
            let results = send(&destination, &payloads).await;
            if fault == Fault::Reset {
                // Not one that was taken a moment ago: such a token stays for ten seconds, whatever is answered.
                service.revoke_tokens();
            }
            // A single record's answer is its status; what stands in a body of 200 does not matter.
            let good = recipe == Recipe::Dataverse && fault == Fault::Unreadable;
            for result in &results {
                assert_eq!(result.is_ok(), good, "{recipe:?} {fault:?} {result:?}");
                assert!(
                    result.as_ref().err().is_none_or(|error| error.class == ErrorClass::Transient),
                    "{recipe:?} {fault:?} {result:?}"
                );
            }
        }
        service.fail(None);
        let results = send(&destination, &payloads).await;
        assert!(results.iter().all(Result::is_ok), "{recipe:?} {results:?}");
        let report = service.report();
        assert_eq!((service.len(), report.malformed), (50, vec![]));
        let tokens = if recipe == Recipe::HubSpot { 0 } else { 2 };
        assert_eq!(report.tokens_issued, tokens, "one, and one after the revocation");
    }
}

#[tokio::test]
async fn a_service_that_breaks_is_not_asked_about_each_record() {
    let (service, destination) = at(Recipe::Salesforce, |_| {}, |options| options.connections = 1);
    service.fail(Some(Fault::Broken));
    let results = send(&destination, &(0..200).map(|key| payload(key, "n", 1)).collect::<Vec<_>>()).await;
    assert!(results.iter().all(Result::is_err));
    let calls = service.report().calls.len();
    assert!(calls < 30, "{calls} calls for 200 records");
}

#[tokio::test]
async fn single_records_of_salesforce_have_addresses_of_their_own() {
    let (service, destination) =
        at(Recipe::Salesforce, |settings| settings.several.push("twin".into()), |options| options.max_records = 1);
    let payloads =
        [r#"{"Id__c":"a/ b","Name":"n"}"#, r#"{"Id__c":"twin"}"#, r#"{"Id__c":"c","Name":"refuse this record"}"#];
    let results = send(&destination, &payloads.map(str::to_owned)).await;
    let told = |place: usize| results[place].as_ref().unwrap_err();
    assert_eq!(results[0].as_ref().unwrap(), &201);
    assert!(told(1).message.contains("300") && told(1).class == ErrorClass::Permanent, "{:?}", told(1));
    assert!(told(2).message.contains("FIELD_CUSTOM_VALIDATION_EXCEPTION (Name)"), "{:?}", told(2));
    assert_eq!(service.rows()[0].0, "a/ b");
    assert_eq!(
        send(&destination, &payloads[..1].iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).await[0]
            .as_ref()
            .unwrap(),
        &204
    );
}

/// What is sent in a game: a good record, one that is refused by itself, or one that makes its whole call fail.
fn record_of_kind(kind: u8, key: usize) -> String {
    match kind {
        0 => payload(key, REFUSED, 1),
        1 => format!(r#"{{"Id__c":"k-{key}","Unknown__c":1}}"#),
        _ => payload(key, "n", 1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is in calls, each good record is written, each bad one is refused for good, and no other is.
    #[test]
    fn good_records_are_written_and_bad_ones_die_alone(
        kinds in prop::collection::vec(0u8..10, 1..60),
        max_records in 1usize..20,
        salesforce in any::<bool>(),
    ) {
        let recipe = if salesforce { Recipe::Salesforce } else { Recipe::HubSpot };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (service, destination) = at(recipe, |_| {}, |options| options.max_records = max_records);
        let payloads: Vec<_> = kinds.iter().enumerate().map(|(key, kind)| record_of_kind(*kind, key)).collect();
        let results = runtime.block_on(send(&destination, &payloads));
        for (kind, result) in kinds.iter().zip(&results) {
            match result {
                Ok(_) => prop_assert!(*kind > 1),
                Err(error) => prop_assert!(*kind < 2 && error.class == ErrorClass::Permanent, "{:?}", error),
            }
        }
        prop_assert_eq!(service.len(), kinds.iter().filter(|kind| **kind > 1).count());
        prop_assert_eq!(service.report().malformed, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up_in_time_and_its_records_wait() {
    for recipe in [Recipe::Salesforce, Recipe::Dataverse] {
        let (service, destination) = at(recipe, |_| {}, |options| options.http.timeout = Duration::from_millis(200));
        // A token is had first.
        assert!(send(&destination, &[payload(0, "n", 1)]).await[0].is_ok());
        service.fail(Some(Fault::Slow(Duration::from_secs(60))));
        let results = send(&destination, &(0..20).map(|key| payload(key, "n", 2)).collect::<Vec<_>>()).await;
        for result in results {
            let error = result.unwrap_err();
            assert!(error.class == ErrorClass::Transient && error.message.contains("answer"), "{error:?}");
        }
        service.fail(None);
        assert!(send(&destination, &[payload(0, "n", 3)]).await[0].is_ok());
    }
}

/// Answers every request with these bytes, and closes the connection.
fn answers(bytes: String) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 65_536];
            let _ = stream.read(&mut request).and_then(|_| stream.write_all(bytes.as_bytes()));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_torn_or_endless_answer_says_nothing_and_an_echoed_secret_is_not_shown() {
    let ask = async |head: &str, body: &str| {
        let mut options = options(Recipe::Salesforce, &answers(format!("HTTP/1.1 {head}\r\n\r\n{body}")));
        options.http.auth = Auth::Bearer(Secret::fixed("sesame-secret-token"));
        options.http.timeout = Duration::from_secs(10);
        let destination = RecipeDestination::open(options).unwrap();
        send(&destination, &[payload(0, "n", 1)]).await.remove(0).unwrap_err()
    };
    let torn = ask("200 OK\r\ncontent-length: 1000", "[{\"success\":true").await;
    assert_eq!(torn.class, ErrorClass::Transient);
    assert!(torn.message.contains("it is not known what was written"), "{torn:?}");
    let endless = format!("[{}", "{\"success\":true},".repeat(20_000));
    let endless = ask("200 OK\r\ncontent-length: 100000000", &endless).await;
    assert!(endless.message.contains("it is not known what was written"), "{endless:?}");
    for status in ["400 Bad Request", "401 Unauthorized", "503 Service Unavailable", "200 OK"] {
        let body = r#"[{"errorCode":"SERVER_UNAVAILABLE","message":"Bearer sesame-secret-token","fields":["sesame"]}]"#;
        let error = ask(&format!("{status}\r\ncontent-length: {}", body.len()), body).await;
        assert!(!format!("{error:?}").contains("sesame-secret"), "{error:?}");
        assert!(error.excerpt.is_some_and(|excerpt| excerpt.contains("[secret]")), "{status}");
    }
}
