//! A running intake on a free port, with sources of every kind, before a queue in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use event::{SourceKind, SplitSettings, Timestamp};
use intake::{Auth, Clock, Encoding, Handle, Intake, Options, Secret, SecretSource, SignatureScheme, Source};
use queue::{MemoryQueue, Queue};

pub(crate) const SECRET: &str = "a-secret-for-tests";
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) struct Server {
    pub(crate) handle: Handle,
    pub(crate) queue: Arc<MemoryQueue>,
}

impl Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(options(), sources()).await
    }

    pub(crate) async fn with(options: Options, sources: Vec<Source>) -> Self {
        let queue = Arc::new(MemoryQueue::new(queue::Options::default()));
        let handle = run(options, sources, Arc::clone(&queue) as Arc<dyn Queue>);
        Self { handle, queue }
    }

    /// Events in the queue.
    pub(crate) async fn stored(&self) -> u64 {
        self.queue.status(NOW).await.unwrap().accepted
    }
}

pub(crate) fn run(options: Options, sources: Vec<Source>, queue: Arc<dyn Queue>) -> Handle {
    let (intake, handle) = Intake::bind(options, sources, queue, clock()).unwrap();
    tokio::spawn(intake.run());
    handle
}

pub(crate) fn clock() -> Clock {
    Arc::new(|| NOW)
}

pub(crate) fn options() -> Options {
    Options { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Options::default() }
}

pub(crate) fn literal(text: &str) -> [SecretSource; 1] {
    [SecretSource::value(text.to_owned())]
}

pub(crate) fn source(name: &str, kind: SourceKind, auth: Auth) -> Source {
    Source {
        name: name.into(),
        auth,
        allow: Vec::new(),
        split: SplitSettings::new(kind),
        redaction: None,
        max_body_bytes: None,
        max_requests_per_second: None,
    }
}

pub(crate) fn genesys(secrets: impl IntoIterator<Item = SecretSource>) -> Auth {
    Auth::signature(SignatureScheme::genesys(), secrets, &|_| None).unwrap()
}

pub(crate) fn sources() -> Vec<Source> {
    let no_env = &|_: &str| None;
    let header = http::HeaderName::from_static("x-api-key");
    let standard = SignatureScheme::standard_webhooks();
    vec![
        source("genesys", SourceKind::Webhook, genesys(literal(SECRET))),
        source("standard", SourceKind::Webhook, Auth::signature(standard, literal(WHSEC), no_env).unwrap()),
        source("bus", SourceKind::EventBridge, Auth::api_key(header, literal(SECRET), no_env).unwrap()),
        source("bearer", SourceKind::EventBridge, Auth::bearer(literal(SECRET), no_env).unwrap()),
        source("basic", SourceKind::EventBridge, Auth::basic(literal("me:pass:word"), no_env).unwrap()),
        source("open", SourceKind::Webhook, Auth::Open),
    ]
}

pub(crate) const WHSEC: &str = "whsec_YS1zZWNyZXQtZm9yLXRlc3Rz";

/// A webhook body of one event.
pub(crate) fn event(id: &str) -> String {
    format!(r#"{{"webhookEventId":"{id}","topic":"analytics","conversationId":"c-1","data":{{"score":0.25}}}}"#)
}

/// The `genesys` signature of a body, in hexadecimal digits.
pub(crate) fn signature(body: impl AsRef<[u8]>) -> String {
    signature_with(SECRET, body)
}

pub(crate) fn signature_with(secret: &str, body: impl AsRef<[u8]>) -> String {
    let scheme = SignatureScheme::of_body(http::HeaderName::from_static("x"), "", Encoding::Hex);
    let secret = Secret::parse(secret.as_bytes(), scheme.secrets).unwrap();
    scheme.sign(&secret, "", body.as_ref(), NOW)[0].1.to_str().unwrap().to_owned()
}

/// A whole signed request to the source `genesys`.
pub(crate) fn signed(body: &str) -> String {
    let length = body.len();
    let signature = signature(body);
    format!(
        "POST /in/genesys HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nx-genesys-webhook-signature: {signature}\r\n\r\n{body}"
    )
}

/// A whole request with headers of one's own.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}
