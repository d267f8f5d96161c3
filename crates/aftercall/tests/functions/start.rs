//! The start of a function: where its configuration comes from, and what is wrong with it.

use serde_json::{Value, json};

use crate::aws;
use crate::crm::{Crm, Does};
use crate::function::Function;
use crate::ingest::counts;
use crate::site::{Site, body, signed, to_crm, wake_ups};
use crate::waiting;

fn put_parameter(name: &str, value: &str) -> u64 {
    let asked = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true });
    aws::call("ssm", "AmazonSSM.PutParameter", &asked)["Version"].as_u64().unwrap()
}

/// The configuration with its secret in the directory, from wherever it is read.
fn accepts(site: &Site, config: &str) {
    let ingest = Function::start_with(site, "ingest", &[("AFTERCALL_CONFIG", config)]);
    assert_eq!(counts(&ingest.answer(&signed(&body("c", config)))), (1, 0));
}

#[test]
fn the_configuration_comes_from_the_parameter_store_or_from_s3() {
    let site = Site::to_crm("http://127.0.0.1:1/", "");
    let name = format!("/aftercall/{}", aws::name("config"));
    let version = put_parameter(&name, &site.config());
    put_parameter(&name, "this is no configuration");
    accepts(&site, &format!("ssm:{name}:{version}"));
    let (failure, _) = Function::spawn(&site, "ingest", &[("AFTERCALL_CONFIG", &format!("ssm:{name}"))]).init_failure();
    assert!(failure["errorMessage"].as_str().unwrap().contains(&format!("ssm:{name}")), "{failure}");

    let bucket = aws::name("config");
    assert!(aws::request("s3", "PUT", &format!("/{bucket}"), &[], b"").0 < 300);
    let put =
        |text: &str| aws::request("s3", "PUT", &format!("/{bucket}/some%20where/aftercall.toml"), &[], text.as_bytes());
    assert!(put(&site.config()).0 < 300);
    accepts(&site, &format!("s3://{bucket}/some where/aftercall.toml"));
    let missing = format!("s3://{bucket}/nowhere.toml");
    let (failure, _) = Function::spawn(&site, "ingest", &[("AFTERCALL_CONFIG", &missing)]).init_failure();
    let told = failure["errorMessage"].as_str().unwrap();
    assert!(told.contains(&missing) && told.contains("NoSuchKey"), "{told}");
}

#[test]
fn a_changed_configuration_is_taken_over_and_a_bad_one_leaves_the_old_in_force() {
    let (first, second) = (Crm::start(Does::Answer(200)), Crm::start(Does::Answer(200)));
    let site = Site::to_crm(&first.url(), "");
    let name = format!("/aftercall/{}", aws::name("config"));
    let good = site.config();
    put_parameter(&name, &good);
    let parameter = format!("ssm:{name}");
    let more = [("AFTERCALL_CONFIG", parameter.as_str()), ("AFTERCALL_CONFIG_AGE", "0s")];
    let ingest = Function::start_with(&site, "ingest", &more);
    let deliver = Function::start_with(&site, "deliver", &more);
    put_parameter(&name, "[sources");
    assert_eq!(counts(&ingest.answer(&signed(&body("c", "e-1")))), (1, 0));
    assert!(ingest.log().contains("the one before stays in force"), "{}", ingest.log());
    deliver.answer(&wake_ups(&["crm"]));
    assert_eq!(first.taken(), ["e-1"]);
    put_parameter(&name, &good.replace(&first.url(), &second.url()));
    assert_eq!(counts(&ingest.answer(&signed(&body("c", "e-2")))), (1, 0));
    waiting::until_so("the new address is in use", || {
        deliver.answer(&wake_ups(&["crm"]));
        second.taken() == ["e-2"]
    });
    assert_eq!(first.taken(), ["e-1"]);
}

#[test]
fn what_is_wrong_at_the_start_is_told_to_lambda_with_a_cure() {
    let site = Site::to_crm("http://127.0.0.1:1/", "");
    let told = |more: &[(&str, &str)]| {
        let (failure, code) = Function::spawn(&site, "ingest", more).init_failure();
        assert_ne!(code, Some(0));
        assert_eq!((&failure["errorType"], &failure["stackTrace"]), (&json!("Aftercall.Init"), &json!([])));
        failure["errorMessage"].as_str().unwrap().to_owned()
    };
    assert!(told(&[("AFTERCALL_ROLE", "sort")]).contains("it is one of ingest, route, deliver, review, upkeep"));
    assert!(told(&[("AFTERCALL_WAKE_QUEUE_URL", "")]).contains("AFTERCALL_WAKE_QUEUE_URL is not set"));
    assert!(told(&[("AFTERCALL_TABLE", "nobody-has-made-it")]).contains("nobody-has-made-it"));
    std::fs::write(site.path("typo.toml"), "[sources.x]\nknid = 1\n").unwrap();
    assert!(told(&[("AFTERCALL_CONFIG", "typo.toml")]).contains("typo.toml"));
}

#[test]
fn destinations_that_write_to_a_disk_are_left_to_servers() {
    let site = Site::new(&format!(
        "{}[destinations.files]\nkind = \"file\"\npath = \"events.ndjson\"\n[[routes]]\ndestination = \"files\"\n",
        to_crm("http://127.0.0.1:1/", "")
    ));
    let ingest = Function::start(&site, "ingest");
    ingest.answer(&signed(&body("c", "e-1")));
    assert_eq!(site.woken(), ["crm"]);
    let upkeep = Function::start(&site, "upkeep");
    let answer: Value = serde_json::from_str(&upkeep.answer(&json!({}))).unwrap();
    assert_eq!(answer["woken"], json!(["crm"]));
    assert!(upkeep.log().contains("run `aftercall serve` on the same table"), "{}", upkeep.log());
    assert_eq!(upkeep.metric("files", "Undelivered"), Some(1));
    assert!(!site.path("events.ndjson").exists());
}
