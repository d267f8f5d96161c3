//! A platform, a directory for transcripts, and a queue in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use destinations::{Destination as _, OutgoingDelivery, SendError};
use event::{EventId, Timestamp};
use genesys::{Client, Region};
use outbound::Secret;
use queue::{MemoryQueue, Queue, Seq};
use serde_json::Value;
use simulator::platform::{self, Communication, Conversation, Platform, Transcript};
use storage::Location;
use tempfile::TempDir;
use transcripts::{Options, Transcripts};

pub(crate) const CONVERSATION: &str = "31111111-1111-4111-8111-111111111111";
pub(crate) const LEG: &str = "32222222-2222-4222-8222-222222222222";
pub(crate) const OTHER_LEG: &str = "33333333-3333-4333-8333-333333333333";
/// When the events are received.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) struct Rig {
    pub(crate) platform: Platform,
    pub(crate) dir: TempDir,
    pub(crate) transcripts: Transcripts,
    pub(crate) queue: Arc<MemoryQueue>,
    clock: Arc<AtomicI64>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// With other settings of the platform and of the transcripts. Its clock shows ten minutes after the events.
    pub(crate) fn with(change: impl FnOnce(&mut platform::Options, &mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = platform::Options::default();
        let mut options = Options::new(Location::Directory(dir.path().join("store")));
        change(&mut settings, &mut options);
        let platform = Platform::start(settings).unwrap();
        let clock = Arc::new(AtomicI64::new(RECEIVED.plus(Duration::from_secs(600)).as_millis()));
        let ticking = Arc::clone(&clock);
        let now = Arc::new(move || Timestamp::from_millis(ticking.load(Ordering::SeqCst)));
        let client = client(&platform.address().to_string(), |_| {});
        let transcripts = Transcripts::open(options, client, now).unwrap();
        let queue = Arc::new(MemoryQueue::default());
        transcripts.connect(Arc::clone(&queue) as Arc<dyn Queue>);
        Self { platform, dir, transcripts, queue, clock }
    }

    /// Another one on the same directory and queue, as after a restart; `change` is made to the client.
    pub(crate) fn restarted(&self, change: impl FnOnce(&mut genesys::Options)) -> Transcripts {
        let ticking = Arc::clone(&self.clock);
        let now = Arc::new(move || Timestamp::from_millis(ticking.load(Ordering::SeqCst)));
        let client = client(&self.platform.address().to_string(), change);
        let options = Options::new(Location::Directory(self.dir.path().join("store")));
        let transcripts = Transcripts::open(options, client, now).unwrap();
        transcripts.connect(Arc::clone(&self.queue) as Arc<dyn Queue>);
        transcripts
    }

    /// It is so long after the events were received.
    pub(crate) fn it_is(&self, after: Duration) {
        self.clock.store(RECEIVED.plus(after).as_millis(), Ordering::SeqCst);
    }

    /// A conversation with two recorded legs.
    pub(crate) fn add(&self, legs: &[(&str, Option<Transcript>)]) {
        let leg = |(id, transcript): &(&str, _)| Communication {
            id: (*id).to_owned(),
            recorded: true,
            transcript: *transcript,
        };
        let silent = Communication { id: CONVERSATION.to_owned(), recorded: false, transcript: None };
        let communications = legs.iter().map(leg).chain([silent]).collect();
        self.platform.add(Conversation { id: CONVERSATION.to_owned(), communications });
    }

    pub(crate) async fn send(&self) -> Result<(), SendError> {
        send(&self.transcripts, 1, RECEIVED).await
    }

    pub(crate) fn file(&self, leg: &str, recording: &str) -> PathBuf {
        self.dir.path().join(format!("store/transcripts/{CONVERSATION}/{leg}/{recording}.json"))
    }

    /// The bodies of the update events.
    pub(crate) async fn told(&self) -> Vec<Value> {
        let page = self.queue.read_log(Seq(0), 1_000, 1 << 20).await.unwrap();
        page.events.iter().map(|stored| serde_json::from_slice(&stored.event.body).unwrap()).collect()
    }
}

/// One attempt of the delivery of an event.
pub(crate) async fn send(transcripts: &Transcripts, event: u8, received: Timestamp) -> Result<(), SendError> {
    let delivery = OutgoingDelivery {
        event: EventId::from_bytes([event; 16]),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: Some(CONVERSATION.into()),
        received,
        behind_dead: false,
        payload: "{}".into(),
        replayed: false,
        trace: None,
    };
    transcripts.send(delivery).await.map(drop)
}

pub(crate) fn client(address: &str, change: impl FnOnce(&mut genesys::Options)) -> Client {
    let secret = Secret::fixed(platform::CLIENT_SECRET);
    let mut options = genesys::Options::new(Region::find("eu-west-1").unwrap(), platform::CLIENT_ID, secret);
    options.login_url = format!("http://{address}");
    options.api_url = options.login_url.clone();
    options.timeout = Duration::from_secs(5);
    options.wait_max = Duration::from_millis(100);
    change(&mut options);
    Client::new(&options).unwrap()
}

pub(crate) fn transcript(bytes: u64) -> Option<Transcript> {
    Some(Transcript { bytes, ..Transcript::default() })
}

pub(crate) fn sha256(data: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data))
}
