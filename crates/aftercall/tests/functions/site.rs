//! A directory with a configuration, a table and a wake-up queue of its own.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use simulator::sign::{Scheme, Signer};
use tempfile::TempDir;

use crate::aws;
use crate::function::{ALL_DONE, Function, record, records};

/// Secret of the webhook source.
pub(crate) const SECRET: &str = "functions-secret";

pub(crate) struct Site {
    dir: TempDir,
    pub(crate) table: String,
    /// The address of the queue of wake-ups.
    pub(crate) wake: String,
    /// The name of the queue that messages come by.
    pub(crate) intake: String,
}

impl Site {
    /// With a webhook source, one that is a queue, and what `rest` says.
    pub(crate) fn new(rest: &str) -> Self {
        Self::with_secrets("file:webhook-secret", rest)
    }

    /// The same, with the secret of the webhook source from elsewhere.
    pub(crate) fn with_secrets(secret: &str, rest: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("aftercall-functions-").tempdir().unwrap();
        fs::write(dir.path().join("webhook-secret"), SECRET).unwrap();
        let intake = aws::name("intake");
        let config = format!(
            "[queue]\nkind = \"aws\"\ntable = \"replaced\"\n\
             [sources.genesys]\nallow = [\"127.0.0.1\", \"198.51.100.0/24\"]\n\
             auth = {{ signature = \"genesys\", secrets = [\"{secret}\"] }}\n\
             [sources.bus]\nkind = \"sqs\"\nqueue_url = \"{}/{}/{intake}\"\n{rest}",
            aws::endpoint(),
            aws::ACCOUNT
        );
        fs::write(dir.path().join("aftercall.toml"), config).unwrap();
        let wake = aws::queue(&aws::name("wake"));
        Self { dir, table: aws::table(), wake, intake }
    }

    /// With one destination `crm` that gets everything.
    pub(crate) fn to_crm(url: &str, more: &str) -> Self {
        Self::new(&to_crm(url, more))
    }

    /// A file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The text of the configuration.
    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.path("aftercall.toml")).unwrap()
    }

    /// The destinations that were woken since this was asked last.
    pub(crate) fn woken(&self) -> Vec<String> {
        let name = |text: &String| {
            let message: Value = serde_json::from_str(text).unwrap();
            assert_eq!(message.as_object().unwrap().len(), 1, "{message}");
            message["destination"].as_str().unwrap().to_owned()
        };
        aws::take(&self.wake).iter().map(name).collect()
    }

    /// Hands the wake-ups that there are to a function, and checks that it takes all of them.
    pub(crate) fn deliver(&self, function: &Function) -> usize {
        let woken = self.woken();
        if !woken.is_empty() {
            assert_eq!(function.answer(&wake_ups(&woken)), ALL_DONE);
        }
        woken.len()
    }

    /// A message of the queue of the source `bus`.
    pub(crate) fn message(&self, id: &str, body: &str) -> Value {
        record(id, &self.intake, body)
    }
}

/// Destination and route.
pub(crate) fn to_crm(url: &str, more: &str) -> String {
    format!("[destinations.crm]\nkind = \"http\"\nurl = \"{url}\"\n{more}\n[[routes]]\ndestination = \"crm\"\n")
}

/// Wake-ups of these destinations, as Lambda hands them over.
pub(crate) fn wake_ups(destinations: &[impl AsRef<str>]) -> Value {
    let wake_up = |(number, name): (usize, &str)| {
        record(&format!("w-{number}"), "wake", &json!({ "destination": name }).to_string())
    };
    let destinations = destinations.iter().map(AsRef::as_ref);
    records(&destinations.enumerate().map(wake_up).collect::<Vec<_>>())
}

/// A signed request, as an HTTP API hands it over.
pub(crate) fn signed(body: &str) -> Value {
    signed_with(SECRET, body)
}

pub(crate) fn signed_with(secret: &str, body: &str) -> Value {
    let headers = Signer::new(Scheme::Genesys, secret).unwrap().headers(body.as_bytes(), "", 0);
    let mut event = request("POST", "/in/genesys", body);
    event["headers"]["content-type"] = "application/json".into();
    for (name, value) in headers {
        event["headers"][name.to_ascii_lowercase()] = value.into();
    }
    event
}

/// A request, as an HTTP API hands it over.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /in/{source}", "rawPath": path, "rawQueryString": "",
        "headers": { "host": "api.example.com", "x-forwarded-for": "203.0.113.9" },
        "requestContext": {
            "accountId": aws::ACCOUNT, "apiId": "api", "domainName": "api.example.com", "stage": "$default",
            "requestId": "r", "routeKey": "POST /in/{source}", "time": "27/Nov/2026:10:00:00 +0000",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7", "userAgent": "t" },
        },
        "pathParameters": { "source": "genesys" },
        "body": body, "isBase64Encoded": false,
    })
}

/// An event of a conversation.
pub(crate) fn body(conversation: &str, id: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","conversationId":"{conversation}","number":"{id}"}}"#)
}

/// An envelope of EventBridge.
pub(crate) fn envelope(conversation: &str, id: &str) -> String {
    format!(
        r#"{{"version":"0","id":"{id}","detail-type":"v2.acw","source":"genesys","account":"1","time":"2026-11-27T10:00:00Z","region":"x","resources":[],"detail":{{"eventBody":{{"conversationId":"{conversation}","participantId":"p-{id}","number":"{id}"}}}}}}"#
    )
}
