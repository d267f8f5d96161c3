//! Queues and buses: the real program against an emulator of SQS and EventBridge. It reads a FIFO queue and fills another
//! one and a bus, is killed in the middle, and at the other end nothing is lost, nothing doubled, and all in order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::emulator::{self, ACCOUNT, Emulator};
use super::s3::{Running, until};
use crate::cargo::{self, Profile};
use crate::outcome::Outcome;
use crate::repository::Repository;

/// The folder in the target folder in which the program runs; made anew each time.
const FOLDER: &str = "aws-test";
/// Events, and the conversations that they belong to.
const EVENTS: usize = 300;
const CONVERSATIONS: usize = 7;
/// Messages of a request to SQS.
const BATCH: usize = 10;

/// How many of its steps passed.
pub(super) fn run(repository: &Repository) -> Result<Outcome> {
    cargo::build(repository, Profile::Dev, &["aftercall"])?;
    let folder = emulator::folder(FOLDER)?;
    let emulator = Emulator::start(&folder)?;
    let at = emulator.address;
    for (queue, attributes) in
        [("in.fifo", r#"{"FifoQueue":"true"}"#), ("out.fifo", r#"{"FifoQueue":"true"}"#), ("bus", "{}")]
    {
        sqs(at, "CreateQueue", &format!(r#"{{"QueueName":"{queue}","Attributes":{attributes}}}"#))?;
    }
    let url = |queue: &str| format!("http://{at}/{ACCOUNT}/{queue}");
    events(at, "PutRule", r#"{"Name":"all","EventPattern":"{\"source\":[\"aftercall\"]}"}"#)?;
    events(
        at,
        "PutTargets",
        r#"{"Rule":"all","Targets":[{"Id":"1","Arn":"arn:aws:sqs:us-east-1:000000000000:bus"}]}"#,
    )?;
    fs::write(folder.join("aftercall.toml"), config(&at.to_string()))?;
    fs::write(folder.join("key"), "test-key\n")?;
    fill(at, &url("in.fifo"))?;
    let mut arrived: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let count = |arrived: &BTreeMap<usize, Vec<usize>>| arrived.values().map(Vec::len).sum::<usize>();
    let mut server = start(&folder)?;
    until("a third has arrived", || {
        take(at, &url("out.fifo"), &mut arrived)?;
        Ok(count(&arrived) >= EVENTS / 3)
    })?;
    println!("killed after {} of {EVENTS}", count(&arrived));
    // Killed, not stopped: dropping sends SIGKILL.
    drop(std::mem::replace(&mut server, start(&folder)?));
    until("everything has arrived", || {
        take(at, &url("out.fifo"), &mut arrived)?;
        Ok(count(&arrived) >= EVENTS)
    })?;
    until("the queue is empty, the unreadable message too", || Ok(waiting(at, &url("in.fifo"))? == 0))?;
    take(at, &url("out.fifo"), &mut arrived)?;
    for (conversation, numbers) in &arrived {
        let sent: Vec<usize> = (0..EVENTS).filter(|number| number % CONVERSATIONS == *conversation).collect();
        ensure!(*numbers == sent, "conversation {conversation} has arrived as {numbers:?}");
    }
    until("the bus has got everything", || Ok(waiting(at, &url("bus"))? >= EVENTS))?;
    Ok(Outcome { passed: 4, failed: 0 })
}

fn config(endpoint: &str) -> String {
    let access = format!(
        "endpoint = \"http://{endpoint}\"\nregion = \"us-east-1\"\naccess_key = \"file:key\"\nsecret_key = \"file:key\"\n"
    );
    let queue = |name: &str| format!("queue_url = \"http://{endpoint}/{ACCOUNT}/{name}\"\n{access}");
    format!(
        "data_dir = \"data\"\n[intake]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n\
         [sources.calls]\nkind = \"sqs\"\nvisibility = \"6s\"\nwait = \"1s\"\n{}\
         [destinations.out]\nkind = \"sqs\"\n{}[destinations.bus]\nkind = \"eventbridge\"\n{access}\
         [[routes]]\ndestination = \"out\"\n[[routes]]\ndestination = \"bus\"\n",
        queue("in.fifo"),
        queue("out.fifo")
    )
}

fn start(folder: &Path) -> Result<Running> {
    let log = File::options().create(true).append(true).open(folder.join("log"))?;
    let mut command = Command::new(cargo::binary(Profile::Dev, "aftercall")?);
    command.current_dir(folder).args(["serve", "--log", "json", "--config", "aftercall.toml"]);
    Ok(Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?))
}

/// Puts envelopes of EventBridge into the queue, each conversation in order, and one message that is nothing.
fn fill(at: SocketAddr, url: &str) -> Result<()> {
    let envelope = |number: usize| {
        format!(
            r#"{{"version":"0","id":"{number}","detail-type":"v2.acw","source":"genesys","account":"1","time":"2026-11-27T10:00:00Z","region":"x","resources":[],"detail":{{"eventBody":{{"conversationId":"c-{}","participantId":"p-{number}","number":{number}}}}}}}"#,
            number % CONVERSATIONS
        )
    };
    let message = |id: usize, group: &str, body: &str| {
        let body = body.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            r#"{{"Id":"{id}","MessageGroupId":"{group}","MessageDeduplicationId":"d-{id}","MessageBody":"{body}"}}"#
        )
    };
    for first in (0..EVENTS).step_by(BATCH) {
        let entries = (first..EVENTS.min(first + BATCH))
            .map(|number| message(number, &format!("g-{}", number % CONVERSATIONS), &envelope(number)));
        let entries: Vec<_> = entries.collect();
        sqs(at, "SendMessageBatch", &format!(r#"{{"QueueUrl":"{url}","Entries":[{}]}}"#, entries.join(",")))?;
    }
    let nothing = message(EVENTS, "nothing", "this is no JSON");
    sqs(at, "SendMessageBatch", &format!(r#"{{"QueueUrl":"{url}","Entries":[{nothing}]}}"#)).map(drop)
}

/// Takes what is in a queue, and notes each conversation's numbers in their order.
fn take(at: SocketAddr, url: &str, arrived: &mut BTreeMap<usize, Vec<usize>>) -> Result<()> {
    let answer = sqs(at, "ReceiveMessage", &format!(r#"{{"QueueUrl":"{url}","MaxNumberOfMessages":{BATCH}}}"#))?;
    for part in answer.split("\"ReceiptHandle\"").skip(1) {
        let handle = part.split('"').nth(1).context("a message without a handle")?;
        let number = part.split("number\\\":").nth(1).and_then(|rest| rest.split('}').next());
        let number: usize = number.context("a message without a number")?.trim().parse()?;
        arrived.entry(number % CONVERSATIONS).or_default().push(number);
        sqs(at, "DeleteMessage", &format!(r#"{{"QueueUrl":"{url}","ReceiptHandle":"{handle}"}}"#))?;
    }
    Ok(())
}

/// Messages in a queue, those that somebody holds included.
fn waiting(at: SocketAddr, url: &str) -> Result<usize> {
    let answer = sqs(at, "GetQueueAttributes", &format!(r#"{{"QueueUrl":"{url}","AttributeNames":["All"]}}"#))?;
    let count = |name: &str| {
        let rest = answer.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
        rest.trim_start()
            .trim_start_matches('"')
            .split('"')
            .next()
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(0)
    };
    Ok(count("ApproximateNumberOfMessages") + count("ApproximateNumberOfMessagesNotVisible"))
}

fn sqs(at: SocketAddr, operation: &str, body: &str) -> Result<String> {
    call(at, "sqs", &format!("AmazonSQS.{operation}"), body)
}

fn events(at: SocketAddr, operation: &str, body: &str) -> Result<String> {
    call(at, "events", &format!("AWSEvents.{operation}"), body)
}

/// One request in AWS's JSON protocol. The emulator believes every signature.
fn call(at: SocketAddr, service: &str, target: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {at}\r\nx-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         authorization: {signed}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 2"), "{target}: {answer}");
    Ok(answer)
}
