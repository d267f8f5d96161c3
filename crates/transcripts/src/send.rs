//! One attempt: asks which communications were recorded, fetches the transcripts of those that have none yet, tells of them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use destinations::{BoxFuture, Destination, ErrorClass, OpenError, OutgoingDelivery, Receipt, SendError};
use event::Timestamp;
use genesys::{Client, GenesysError, Recording};
use queue::Queue;

use crate::key::{Ids, Template};
use crate::legs::{self, Leg};
use crate::options::Schedule;
use crate::record::{Found, Record};
use crate::shelf::{Erased, Shelf, ShelfError, Text};
use crate::sweep::Swept;
use crate::turns::Turns;
use crate::upload::{self, Failed, upload};
use crate::{Options, SOURCE, sort, update};

/// How often an attempt asks for an address: one that has ended, or a download that breaks off, is asked for anew.
const ROUNDS: u32 = 3;
/// A conversation of which nothing was recorded by then is taken to have no recording. Analytics have it minutes after the
/// call, and what they learn later comes with a later event.
const UNRECORDED: Duration = Duration::from_secs(3_600);

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The destination of events that ask for their transcripts. Cheap to clone.
#[derive(Clone)]
pub struct Transcripts(Arc<Inner>);

struct Inner {
    client: Client,
    shelf: Shelf,
    options: Options,
    clock: Clock,
    turns: Turns,
    /// Where update events are published; it is opened later than this.
    queue: OnceLock<Arc<dyn Queue>>,
}

impl Transcripts {
    /// Opens the place. A directory is made; S3 and the platform are not asked anything yet.
    ///
    /// # Errors
    /// What is wrong with an option, or with the directory.
    pub fn open(options: Options, client: Client, clock: Clock) -> Result<Self, OpenError> {
        options.check()?;
        let shelf = Shelf::open(&options)?;
        let (turns, queue) = (Turns::default(), OnceLock::new());
        Ok(Self(Arc::new(Inner { client, shelf, options, clock, turns, queue })))
    }

    /// Whether the options make sense. Makes nothing.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn check(options: &Options) -> Result<(), OpenError> {
        options.check()?;
        Template::parse(&options.object).map(drop)
    }

    /// Says where update events are published. Until then every attempt fails in passing. The first time counts.
    pub fn connect(&self, queue: Arc<dyn Queue>) {
        let _ = self.0.queue.set(queue);
    }

    /// What is stored of a conversation.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn found(&self, conversation: &str) -> Result<Vec<Found>, ShelfError> {
        self.0.shelf.found(conversation).await
    }

    /// The text of one transcript of a conversation.
    ///
    /// # Errors
    /// If there is none, or several that fit; or if the store cannot be asked.
    pub async fn text(
        &self,
        conversation: &str,
        communication: Option<&str>,
        recording: Option<&str>,
    ) -> Result<Text, ShelfError> {
        self.0.shelf.text(conversation, communication, recording).await
    }

    /// Removes what is stored of a conversation, or only counts it. What is under way at the time may still arrive.
    ///
    /// # Errors
    /// If the store cannot be asked; what was removed until then stays so.
    pub async fn erase(&self, conversation: &str, dry_run: bool) -> Result<Erased, ShelfError> {
        self.0.shelf.erase(conversation, dry_run).await
    }

    /// Removes what is older than retention, and what kills left.
    ///
    /// # Errors
    /// If the store cannot be asked; what was removed until then stays so.
    pub async fn sweep(&self) -> Result<Swept, ShelfError> {
        let now = (self.0.clock)();
        self.0.shelf.tidy(now).await;
        match self.0.options.retention {
            Some(retention) => Ok(self.0.shelf.sweep(retention, now).await?),
            None => Ok(Swept::default()),
        }
    }
}

impl Destination for Transcripts {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            // An update event asks for nothing.
            if *delivery.source != *SOURCE {
                self.0.attempt(&delivery).await?;
            }
            Ok(Receipt::default())
        })
    }
}

impl Inner {
    async fn attempt(&self, delivery: &OutgoingDelivery) -> Result<(), SendError> {
        let Some(conversation) = delivery.conversation.as_deref() else {
            let cure = "let the route's pattern take only events that name one";
            return Err(SendError::permanent(format!("the event names no conversation; {cure}")));
        };
        let age = delivery.received.until((self.clock)());
        if let Some(wait) = self.options.schedule.first.checked_sub(age).filter(|wait| !wait.is_zero()) {
            let message = "it is too early to ask for the transcript";
            return Err(SendError::not_yet(Schedule::until_first(wait), None, message));
        }
        let Some(_turn) = self.turns.take(conversation) else {
            let message = "another delivery of the conversation is being made";
            return Err(SendError::not_yet(Schedule::turn(), None, message));
        };
        let legs = legs::of(&self.client, conversation).await;
        let legs = legs.map_err(|error| self.sorted(&error, "the conversation"))?;
        if legs.is_empty() && age < UNRECORDED {
            let message = "nothing of the conversation is recorded yet";
            return Err(SendError::not_yet(self.options.schedule.patience(), Some(200), message));
        }
        let known = self.shelf.found(conversation).await.map_err(|error| unusable(&error))?;
        let (mut not_yet, mut never) = (None, None);
        for leg in &legs {
            let is_new = |found: &&Found| found.present && found.record.stored_at >= delivery.received;
            let of_it = |found: &&Found| found.record.communication_id == leg.communication;
            if known.iter().filter(of_it).any(|found| is_new(&found)) {
                continue;
            }
            match self.leg(conversation, leg, &known).await {
                Ok(()) => {}
                Err(error) => match &error.class {
                    ErrorClass::NotYet(patience) if patience.give_up.is_some() => not_yet = Some(error),
                    ErrorClass::Permanent => never = Some(error),
                    // The next one would fare no better.
                    ErrorClass::NotYet(_) | ErrorClass::Transient => return Err(error),
                },
            }
        }
        not_yet.or(never).map_or(Ok(()), Err)
    }

    /// Fetches the transcripts of a communication, with another address if one has ended or a download breaks off.
    async fn leg(&self, conversation: &str, leg: &Leg, known: &[Found]) -> Result<(), SendError> {
        let what = format!("the transcript of communication {}", leg.communication);
        let mut done: Vec<Option<String>> = Vec::new();
        let mut rounds = 0;
        loop {
            rounds += 1;
            let asked_at = (self.clock)();
            let urls = self.client.transcript_urls(conversation, &leg.communication).await;
            let urls = urls.map_err(|error| self.sorted(&error, &what))?.urls;
            if urls.is_empty() {
                let message = format!("{what} is not there yet");
                return Err(SendError::not_yet(self.options.schedule.patience(), Some(200), message));
            }
            let mut broken = None;
            for Recording { recording, url } in &urls {
                if done.contains(&recording.id) {
                    continue;
                }
                let mut record = Record::new(conversation, &leg.communication, recording.id.as_deref(), asked_at);
                record.media_type.clone_from(&leg.media_type);
                match self.fetch(record, url, known).await {
                    Ok(()) => done.push(recording.id.clone()),
                    Err(Stopped::Broken(problem)) => broken = Some(problem),
                    Err(Stopped::Failed(error)) => return Err(error),
                }
            }
            match broken {
                None => return Ok(()),
                Some(problem) if rounds == ROUNDS => {
                    return Err(SendError::transient(format!("{what} cannot be fetched: {problem}")));
                }
                Some(_) => {}
            }
        }
    }

    /// Fetches one transcript, tells of it, and notes that.
    async fn fetch(&self, mut record: Record, url: &genesys::PresignedUrl, known: &[Found]) -> Result<(), Stopped> {
        let ids = Ids {
            conversation: &record.conversation_id,
            communication: &record.communication_id,
            recording: record.recording_id.as_deref().unwrap_or_default(),
        };
        let path = self.shelf.template.path(ids);
        let path =
            path.map_err(|problem| SendError::permanent(format!("a transcript cannot have a key: {problem}")))?;
        let cleared = self.shelf.clear(&path).await;
        cleared.map_err(|error| SendError::transient(format!("what a kill left of a transcript stays: {error}")))?;
        let download = self.client.open(url).await.map_err(|error| Stopped::Broken(error.to_string()))?;
        record.content_type = download.media_type().map(str::to_owned);
        let put = upload(&self.shelf.objects, &path, download, self.options.max_bytes).await;
        let upload::Put { bytes, sha256 } = put.map_err(|failed| match failed {
            Failed::Download(problem) => Stopped::Broken(problem),
            Failed::TooLong { .. } => SendError::permanent(format!("the transcript is too long: {failed}")).into(),
            Failed::Store(error) => unusable(&error.into()).into(),
        })?;
        (record.bytes, record.sha256, record.transcript_uri) = (bytes, sha256, self.shelf.uri(&path));
        let told = known.iter().any(|found| {
            let Record { communication_id, recording_id, sha256, transcript_uri, .. } = &found.record;
            (communication_id, recording_id) == (&record.communication_id, &record.recording_id)
                && (sha256, transcript_uri) == (&record.sha256, &record.transcript_uri)
        });
        if self.options.update && !told {
            self.tell(&record).await?;
        }
        self.shelf.put_record(&path, &record).await.map_err(|error| unusable(&error.into()))?;
        Ok(())
    }

    async fn tell(&self, record: &Record) -> Result<(), SendError> {
        let failed = |problem: String| SendError::transient(format!("telling of a transcript: {problem}"));
        let queue = self.queue.get().ok_or_else(|| failed("the server is still starting".to_owned()))?;
        let publication = update::publication(record, (self.clock)()).map_err(|error| failed(error.to_string()))?;
        queue.publish(publication).await.map(drop).map_err(|error| failed(error.to_string()))
    }

    fn sorted(&self, error: &GenesysError, what: &str) -> SendError {
        sort::of(error, what, &self.options.schedule)
    }
}

/// Why a transcript was not fetched.
enum Stopped {
    /// Another address may help.
    Broken(String),
    Failed(SendError),
}

impl From<SendError> for Stopped {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

/// Whatever is wrong with the store concerns all deliveries, which wait.
fn unusable(error: &ShelfError) -> SendError {
    match error {
        ShelfError::Id(_) => SendError::permanent(error.to_string()),
        error => SendError::transient(error.to_string()),
    }
}

impl fmt::Debug for Transcripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcripts")
            .field("client", &self.0.client)
            .field("shelf", &self.0.shelf)
            .finish_non_exhaustive()
    }
}
