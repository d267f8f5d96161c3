//! A function: the real program under the name `bootstrap`, in a role.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws;
use crate::lambda::{Lambda, Said};
use crate::site::Site;
use crate::waiting;

/// What Lambda gives a function, unless the test says otherwise: longer than anything takes, so that nothing depends on how
/// busy the machine is.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// It is killed when this is dropped.
pub(crate) struct Function {
    child: Child,
    lambda: Lambda,
    log: PathBuf,
    out: PathBuf,
}

impl Function {
    /// Starts the program and waits for nothing.
    pub(crate) fn spawn(site: &Site, role: &str, more: &[(&str, &str)]) -> Self {
        let lambda = Lambda::start();
        let number = aws::name(role);
        let (log, out) = (site.path(&format!("{number}.log")), site.path(&format!("{number}.out")));
        let bootstrap = site.path("bootstrap");
        if !bootstrap.exists() {
            // Another test of the same site may be faster.
            let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_aftercall"), &bootstrap);
        }
        let mut command = Command::new(bootstrap);
        command
            .current_dir(site.path("."))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", lambda.address.to_string())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test-key")
            .env("AWS_SECRET_ACCESS_KEY", "test-secret")
            .env("AWS_ENDPOINT_URL", aws::endpoint())
            .env("AFTERCALL_ROLE", role)
            .env("AFTERCALL_CONFIG", "aftercall.toml")
            .env("AFTERCALL_TABLE", &site.table)
            .env("AFTERCALL_WAKE_QUEUE_URL", &site.wake)
            .envs(more.iter().copied());
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, lambda, log, out }
    }

    /// One that has asked for its first event.
    #[track_caller]
    pub(crate) fn start(site: &Site, role: &str) -> Self {
        Self::start_with(site, role, &[])
    }

    #[track_caller]
    pub(crate) fn start_with(site: &Site, role: &str, more: &[(&str, &str)]) -> Self {
        let mut function = Self::spawn(site, role, more);
        waiting::until_so("the function asks for an event", || {
            assert!(function.child.try_wait().unwrap().is_none(), "it ended: {}", function.log());
            function.lambda.asked() > 0
        });
        function
    }

    /// Hands over an event; its id.
    pub(crate) fn give(&self, event: &Value, time: Duration) -> String {
        let id = aws::name("request");
        self.lambda.give(&id, &event.to_string(), time);
        id
    }

    /// What was said of an event, when it was said.
    #[track_caller]
    pub(crate) fn said(&self, id: &str) -> Said {
        waiting::until(&format!("the function answers; {}", self.log()), || self.lambda.said(id))
    }

    /// The text of the answer to an event.
    #[track_caller]
    pub(crate) fn answer(&self, event: &Value) -> String {
        match self.said(&self.give(event, TIMEOUT)) {
            Said::Answer(answer) => answer,
            Said::Failure(failure) => panic!("{failure}; {}", self.log()),
        }
    }

    /// The failure of its start.
    #[track_caller]
    pub(crate) fn init_failure(mut self) -> (Value, Option<i32>) {
        let said = self.said("init");
        let code = waiting::until("the function ends", || self.child.try_wait().unwrap()).code();
        match said {
            Said::Failure(failure) => (failure, code),
            Said::Answer(answer) => panic!("{answer}"),
        }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The metrics that it has written, by their dimension's value and their name, added up.
    pub(crate) fn metric(&self, of: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
        let is_of = |line: &Value| {
            let dimension = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0][0].as_str().unwrap().to_owned();
            line[dimension] == of
        };
        let found: Vec<u64> = lines.filter(is_of).filter_map(|line| line[name].as_u64()).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It has ended already if the test has killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message of SQS, as Lambda hands it over.
pub(crate) fn record(id: &str, queue: &str, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": format!("receipt-{id}"), "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1773957888000" },
        "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:{}:{queue}", aws::ACCOUNT), "awsRegion": "us-east-1",
    })
}

/// Messages of SQS, as Lambda hands them over.
pub(crate) fn records(records: &[Value]) -> Value {
    json!({ "Records": records })
}

/// What a function says when no message has to come again.
pub(crate) const ALL_DONE: &str = r#"{"batchItemFailures":[]}"#;

/// What it says when these have to.
pub(crate) fn again(ids: &[&str]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#)).collect();
    format!(r#"{{"batchItemFailures":[{}]}}"#, ids.join(","))
}
