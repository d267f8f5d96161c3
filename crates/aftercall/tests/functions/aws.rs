//! The emulator, as another client sees it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::waiting::PATIENCE;

/// Where the emulator listens, as `http://127.0.0.1:PORT`.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";
/// The account that everything belongs to.
pub(crate) const ACCOUNT: &str = "000000000000";

static NAMES: AtomicU64 = AtomicU64::new(0);

/// Where the emulator is.
pub(crate) fn endpoint() -> String {
    std::env::var(ENDPOINT).expect("run `cargo xtask test`, which starts an emulator of AWS and says where")
}

/// A name that nobody else uses.
pub(crate) fn name(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

fn address() -> SocketAddr {
    endpoint().strip_prefix("http://").unwrap().parse().unwrap()
}

/// One request; the emulator believes every signature.
pub(crate) fn request(
    service: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\nauthorization: \
         AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n",
        address(),
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, unchunked(&head, &answer[end + 4..]))
}

fn unchunked(head: &str, mut body: &[u8]) -> Vec<u8> {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|part| part == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}

/// An operation of a service that speaks JSON.
pub(crate) fn call(service: &str, target: &str, asked: &Value) -> Value {
    let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
    let (status, answer) = request(service, "POST", "/", &headers, asked.to_string().as_bytes());
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(status < 300, "{target}: {status} {text}");
    serde_json::from_slice(&answer).unwrap_or(Value::Null)
}

/// A table for a queue.
pub(crate) fn table() -> String {
    let name = name("aftercall");
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let asked = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "AttributeDefinitions": [text("pk"), text("sk")],
    });
    call("dynamodb", "DynamoDB_20120810.CreateTable", &asked);
    name
}

/// A queue of SQS, by its address.
pub(crate) fn queue(name: &str) -> String {
    let attributes = if name.ends_with(".fifo") { json!({ "FifoQueue": "true" }) } else { json!({}) };
    let asked = json!({ "QueueName": name, "Attributes": attributes });
    call("sqs", "AmazonSQS.CreateQueue", &asked)["QueueUrl"].as_str().unwrap().to_owned()
}

/// Takes and deletes what is in a queue now: the texts of the messages.
pub(crate) fn take(queue: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let asked = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
        let answer = call("sqs", "AmazonSQS.ReceiveMessage", &asked);
        let Some(messages) = answer["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
            return texts;
        };
        for message in messages {
            texts.push(message["Body"].as_str().unwrap().to_owned());
            let asked = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            call("sqs", "AmazonSQS.DeleteMessage", &asked);
        }
    }
}

/// Makes a secret, or gives it another value.
pub(crate) fn set_secret(name: &str, value: &str) {
    let make = json!({ "Name": name, "SecretString": value });
    let headers = [("x-amz-target", "secretsmanager.CreateSecret"), ("content-type", "application/x-amz-json-1.1")];
    let (status, _) = request("secretsmanager", "POST", "/", &headers, make.to_string().as_bytes());
    if status >= 300 {
        let put = json!({ "SecretId": name, "SecretString": value });
        call("secretsmanager", "secretsmanager.PutSecretValue", &put);
    }
}
