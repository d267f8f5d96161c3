//! The program as it is deployed: zips, functions and event sources at the emulator, which runs `bootstrap` as Lambda would.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::aws::{self, ACCOUNT};
use crate::crm::{Crm, Does};
use crate::ingest::counts;
use crate::site::{SECRET, Site, body, envelope, signed, to_crm};
use crate::waiting;

/// The program in a zip, in a bucket: its name there.
fn upload(site: &Site, bucket: &str) -> String {
    let bootstrap = site.path("package/bootstrap");
    fs::create_dir_all(site.path("package")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_aftercall"), &bootstrap).unwrap();
    // Without what debuggers want it is a third; where there is no `strip` it only takes longer.
    let _ = Command::new("strip").arg(&bootstrap).status();
    let zipped = Command::new("python3")
        .args(["-m", "zipfile", "-c", "../function.zip", "bootstrap"])
        .current_dir(site.path("package"))
        .status();
    assert!(zipped.unwrap().success());
    assert!(aws::request("s3", "PUT", &format!("/{bucket}"), &[], b"").0 < 300);
    let zip = fs::read(site.path("function.zip")).unwrap();
    assert!(aws::request("s3", "PUT", &format!("/{bucket}/function.zip"), &[], &zip).0 < 300);
    "function.zip".to_owned()
}

fn create(path: &str, asked: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    let (status, answer) = aws::request("lambda", "POST", path, &headers, asked.to_string().as_bytes());
    assert!(status < 300, "{path}: {status} {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn deployed_functions_take_requests_and_messages_and_deliver_them() {
    let crm = Crm::start(Does::Answer(200));
    let secret = aws::name("webhook");
    aws::set_secret(&secret, SECRET);
    let site = Site::with_secrets(&format!("secretsmanager:{secret}"), &to_crm(&crm.url(), ""));
    let intake = aws::queue(&site.intake);
    let bucket = aws::name("code");
    let key = upload(&site, &bucket);
    let config = site.config();
    assert!(aws::request("s3", "PUT", &format!("/{bucket}/aftercall.toml"), &[], config.as_bytes()).0 < 300);
    let function = |role: &str| {
        let name = aws::name(role);
        let environment = json!({
            "AFTERCALL_ROLE": role, "AFTERCALL_CONFIG": format!("s3://{bucket}/aftercall.toml"),
            "AFTERCALL_TABLE": site.table, "AFTERCALL_WAKE_QUEUE_URL": site.wake,
            "AWS_ENDPOINT_URL": aws::endpoint(), "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret",
        });
        create(
            "/2015-03-31/functions",
            &json!({
                "FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 60, "MemorySize": 256,
                "Role": format!("arn:aws:iam::{ACCOUNT}:role/aftercall"), "Code": { "S3Bucket": bucket, "S3Key": key },
                "Environment": { "Variables": environment },
            }),
        );
        name
    };
    let (ingest, route, deliver) = (function("ingest"), function("route"), function("deliver"));
    for (function, queue) in [(&route, &intake), (&deliver, &site.wake)] {
        let queue = queue.rsplit('/').next().unwrap();
        create(
            "/2015-03-31/event-source-mappings",
            &json!({
                "FunctionName": function, "BatchSize": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "EventSourceArn": format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}"),
            }),
        );
    }
    let invoke = format!("/2015-03-31/functions/{ingest}/invocations");
    let (status, answer) =
        aws::request("lambda", "POST", &invoke, &[], signed(&body("c-1", "e-1")).to_string().as_bytes());
    assert_eq!(status, 200);
    assert_eq!(counts(&String::from_utf8(answer).unwrap()), (1, 0));
    let message = json!({ "QueueUrl": intake, "MessageBody": envelope("c-2", "e-2") });
    aws::call("sqs", "AmazonSQS.SendMessage", &message);
    waiting::until_so("both have arrived", || crm.taken().len() >= 2);
    let mut taken = crm.taken();
    taken.sort();
    assert_eq!(taken, ["e-1", "e-2"]);
}
