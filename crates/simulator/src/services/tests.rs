//! Each service refuses what the real one refuses.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::*;

/// One request on a connection of its own: the status, and the body if it is JSON.
fn ask(service: &Service, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(service.address).unwrap();
    let kind = if path.ends_with("/token") { "application/x-www-form-urlencoded" } else { "application/json" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    let head = if path.ends_with("/token") { head.replace("authorization: Bearer ", "x-none: ") } else { head };
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn token(service: &Service, more: &str) -> String {
    let form = format!("grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}{more}");
    let path = service.token_url().replace(&service.url(), "");
    let (status, body) = ask(service, "POST", &path, "", &form);
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn salesforce_takes_two_hundred_of_one_type_and_says_what_became_of_each() {
    let mut options = Options::new(Kind::Salesforce, "Call__c", "Id__c", &["Name", "Seq__c"]);
    (options.sequence, options.several) = (Some("Seq__c".to_owned()), vec!["twin".to_owned()]);
    let service = Service::start(options).unwrap();
    let token = token(&service, "");
    let path = "/services/data/v62.0/composite/sobjects/Call__c/Id__c";
    let record = |key: &str, seq: u32| json!({"attributes": {"type": "Call__c"}, "Id__c": key, "Seq__c": seq});
    let call = |records: Vec<Value>| {
        ask(&service, "PATCH", path, &token, &json!({"allOrNone": false, "records": records}).to_string())
    };
    let (status, results) = call(vec![record("a", 2), record("b", 1), record("A", 1), record("twin", 1)]);
    let success: Vec<_> = (0..4).map(|place| results[place]["success"].as_bool().unwrap()).collect();
    assert_eq!((status, success), (200, vec![true, true, false, false]), "{results}");
    assert!(results[2]["errors"][0]["message"].as_str().unwrap().contains("Duplicate external id specified"));
    assert_eq!(call(vec![record("a", 1)]).1[0]["created"], false);
    assert_eq!((service.len(), service.report().out_of_order), (2, 1));
    for bad in [
        (0..201).map(|n| record(&n.to_string(), 1)).collect(),
        vec![],
        vec![json!({"Id__c": "x"})],
        vec![json!({"attributes": {"type": "Call__c"}, "Id__c": "x", "Unknown__c": 1})],
        vec![json!({"attributes": {"type": "Call__c"}, "Id__c": "x", "Id": "001"})],
    ] {
        assert_eq!(call(bad).0, 400);
    }
    let refused = call(vec![json!({"attributes": {"type": "Call__c"}, "Id__c": "x", "Name": REFUSED})]).1;
    assert_eq!(refused[0]["errors"][0]["fields"], json!(["Name"]));

    let single = |key: &str, body: &str| {
        ask(&service, "PATCH", &format!("/services/data/v62.0/sobjects/Call__c/Id__c/{key}"), &token, body).0
    };
    let statuses = ["new%2F1", "a", "twin"].map(|key| single(key, r#"{"Name":"x"}"#));
    assert_eq!(statuses, [201, 204, 300]);
    assert_eq!(single("a", r#"{"Id__c":"a"}"#), 400, "the key is in the address alone");
    assert_eq!(ask(&service, "POST", path, &token, "{}").0, 405);
    assert_eq!(ask(&service, "PATCH", &path.replace("62", "40"), &token, "{}").0, 404);
    assert_eq!(ask(&service, "PATCH", path, "wrong", "{}").0, 401);
    service.revoke_tokens();
    assert_eq!(call(vec![record("a", 3)]).0, 401);
}

#[test]
fn hubspot_takes_a_hundred_inputs_of_texts_and_traces_what_it_refuses() {
    let service = Service::start(Options::new(Kind::HubSpot, "calls", "event", &["title"])).unwrap();
    let path = "/crm/v3/objects/calls/batch/upsert";
    let call =
        |inputs: Vec<Value>| ask(&service, "POST", path, PRIVATE_APP_TOKEN, &json!({"inputs": inputs}).to_string());
    let input = |key: &str, title: Value| json!({"idProperty": "event", "id": key, "objectWriteTraceId": format!("t-{key}"), "properties": {"title": title}});
    let (status, body) = call(vec![input("a", json!("x")), input("b", json!(REFUSED))]);
    assert_eq!(
        (status, &body["numErrors"], &body["results"][0]["objectWriteTraceId"]),
        (207, &json!(1), &json!("t-a"))
    );
    assert_eq!(body["errors"][0]["context"]["objectWriteTraceId"], json!(["t-b"]));
    assert_eq!(call(vec![input("a", json!("y"))]).0, 200);
    for bad in [
        (0..101).map(|n| input(&n.to_string(), json!("x"))).collect(),
        vec![input("a", json!(1))],
        vec![input("a", json!("x")), input("A", json!("x"))],
    ] {
        assert_eq!(call(bad).0, 400);
    }
    assert_eq!(ask(&service, "POST", path, "wrong", "{}").0, 401);
    assert_eq!(service.len(), 1);
}

#[test]
fn dataverse_wants_its_keys_quoted_and_its_scope() {
    let mut options = Options::new(Kind::Dataverse, "calls", "new_id", &["new_name"]);
    options.key.push("new_no".to_owned());
    let service = Service::start(options).unwrap();
    let token = token(
        &service,
        &format!(
            "&scope={}",
            format!("{}/.default", service.url())
                .replace([':', '/'], "%2F")
                .replacen("%2F%2F%2F", "%3A%2F%2F", 1)
                .replacen("1%2F", "1%3A", 1)
        ),
    );
    let patch =
        |key: &str| ask(&service, "PATCH", &format!("/api/data/v9.2/calls({key})"), &token, r#"{"new_name":"x"}"#).0;
    assert_eq!(patch("new_id=%27O%27%27Hara%27,new_no=7"), 204);
    assert_eq!(service.rows()[0].0, "O'Hara|7");
    for bad in ["new_id=%27O%27Hara%27,new_no=7", "new_id=O,new_no=7", "new_id=%27a%2Fb%27,new_no=7", "new_id=%27a%27"]
    {
        assert_eq!(patch(bad), 400, "{bad}");
    }
    service.fail(Some(Fault::DailyLimit));
    assert_eq!(patch("new_id=%27a%27,new_no=7"), 429);
}
