//! `aftercall aws plan`: what a configuration needs on AWS, and what of it does not run there.

use crate::site::Site;

/// Written for a server, with a bit of everything.
const SERVER: &str = r#"
data_dir = "/var/lib/aftercall"
[archive]
url = "s3://calls-archive"
[sources.genesys]
auth = { signature = "open-messaging", secrets = ["file:/etc/aftercall/secret"] }
[sources.calls]
kind = "sqs"
queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/calls"
[destinations.crm]
kind = "http"
url = "https://crm.internal/outcomes/{event_id}"
auth = { bearer = "secretsmanager:crm/prod#token" }
[destinations.lake]
kind = "file"
path = "events.ndjson"
[destinations.quality]
kind = "sqs"
queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/quality.fifo"
[[routes]]
destination = "crm"
"#;
const WHERE: [&str; 4] = ["--region", "eu-central-1", "--account", "123456789012"];

#[test]
fn a_servers_configuration_is_told_what_to_change_and_what_it_needs() {
    let site = Site::new("");
    std::fs::write(site.path("server.toml"), SERVER).unwrap();
    let arguments = [&["aws", "plan", "--config", "server.toml"], &WHERE[..]].concat();
    let output = site.run(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("aws_plan", String::from_utf8(output.stdout).unwrap());
    let output = site.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused = told["obstacles"].as_array().unwrap().iter().filter(|one| one["effect"] == "refused");
    let refused: Vec<&str> = refused.map(|one| one["at"].as_str().unwrap()).collect();
    assert_eq!(refused, ["sources.genesys.auth.secrets", "sources.calls.queue_url"]);
    assert_eq!(told["policy"]["Statement"][0]["Action"][0], "sqs:SendMessage");
}

#[test]
fn a_file_that_is_no_configuration_is_refused_as_by_serve() {
    let site = Site::new("");
    std::fs::write(site.path("typo.toml"), "[sorces.a]\n").unwrap();
    let output = site.run(&["aws", "plan", "--config", "typo.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sources"), "the nearest key is named");
}
