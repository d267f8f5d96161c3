//! The object store with the transcripts in it: their records, their texts, and erasing them.
//!
//! A record is written after its transcript is stored and told of. So what has a record is done; what has none, or one that
//! does not fit, is fetched again.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use destinations::OpenError;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use serde::Serialize;
use storage::{Location, Patience};

use crate::Options;
use crate::key::Template;
use crate::record::{Found, RECORD, Record};

/// Tries of one request after the first; delivery tries again later all the same.
const RETRIES: usize = 2;
/// Objects of one conversation that are looked at: a call has a handful.
const OBJECTS_MAX: usize = 2_000;
/// Bytes of a record, at most.
const RECORD_MAX: u64 = 64 * 1024;

/// An object store, and where in it transcripts are.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) template: Template,
    /// The store, if it is a directory.
    pub(crate) directory: Option<PathBuf>,
    /// How the addresses of its objects begin.
    base: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// There is no such transcript.
    #[error("no transcript of it is stored")]
    NotFound,
    /// There are several.
    #[error("it has {0} transcripts; name the communication, and the recording if that has several")]
    Several(usize),
    /// It can have none.
    #[error("its id cannot be one: {0}")]
    Id(String),
    /// The store cannot be asked.
    #[error("the store of the transcripts cannot be used now: {0}")]
    Store(#[from] object_store::Error),
}

/// A transcript's text.
pub struct Text {
    /// What is known of it.
    pub record: Record,
    /// It, in pieces.
    pub stream: BoxStream<'static, Result<Bytes, object_store::Error>>,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TranscriptsErased))]
pub struct Erased {
    /// Transcripts.
    pub transcripts: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Shelf {
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let template = Template::parse(&options.object)?;
        let refuse = |error: String| OpenError::Place { key: "url", problem: format!("cannot be used: {error}") };
        let patience = Patience { timeout: options.timeout, retries: RETRIES };
        let objects = options.location.open(patience).map_err(|error| match error {
            storage::OpenError::Directory { .. } => refuse(error.to_string()),
            error => OpenError::Option { key: "url", problem: format!("cannot be used: {error}") },
        })?;
        let (directory, base) = match &options.location {
            Location::Directory(path) => {
                let path = path.canonicalize().map_err(|error| refuse(error.to_string()))?;
                let base = format!("file://{}", path.display());
                (Some(path), base)
            }
            Location::S3(_) | Location::Gcs(_) | Location::Azure(_) => (None, options.location.shown()),
        };
        Ok(Self { objects, template, directory, base })
    }

    /// The address of an object.
    pub(crate) fn uri(&self, path: &Path) -> String {
        format!("{}/{path}", self.base)
    }

    /// Removes what a kill left of an upload of this name to a directory: the store writes to `NAME#1` and renames that.
    pub(crate) async fn clear(&self, path: &Path) -> std::io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match tokio::fs::remove_file(directory.join(format!("{path}#1"))).await {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) async fn put_record(&self, path: &Path, record: &Record) -> Result<(), object_store::Error> {
        let text = serde_json::to_vec(record)
            .map_err(|error| object_store::Error::Generic { store: "record", source: Box::new(error) })?;
        self.objects.put(&record_of(path), text.into()).await.map(drop)
    }

    /// What is known of a conversation's transcripts, in the order of their names.
    pub(crate) async fn found(&self, conversation: &str) -> Result<Vec<Found>, ShelfError> {
        let objects = self.listed(conversation).await?;
        let mut found = Vec::new();
        for meta in objects.iter().filter(|meta| meta.location.as_ref().ends_with(RECORD) && meta.size <= RECORD_MAX) {
            let read = match self.objects.get(&meta.location).await {
                Ok(object) => object.bytes().await?,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            match Record::read(&read) {
                Ok(record) if record.conversation_id == conversation => {
                    let object = meta.location.as_ref().strip_suffix(RECORD).unwrap_or_default();
                    let is_it = |meta: &&ObjectMeta| meta.location.as_ref() == object && meta.size == record.bytes;
                    let present = objects.iter().any(|meta| is_it(&meta));
                    found.push(Found { record, present });
                }
                Ok(_) => {}
                Err(problem) => {
                    tracing::warn!(object = %meta.location, problem, "a transcript's record cannot be read; it counts as none");
                }
            }
        }
        Ok(found)
    }

    /// The text of one of a conversation's transcripts.
    pub(crate) async fn text(
        &self,
        conversation: &str,
        communication: Option<&str>,
        recording: Option<&str>,
    ) -> Result<Text, ShelfError> {
        let is = |wanted: Option<&str>, has: Option<&str>| wanted.is_none() || wanted == has;
        let mut found = self.found(conversation).await?;
        found.retain(|found| {
            let Record { communication_id, recording_id, .. } = &found.record;
            is(communication, Some(communication_id)) && is(recording, recording_id.as_deref())
        });
        let several = found.len();
        let Some(Found { record, .. }) = found.pop() else { return Err(ShelfError::NotFound) };
        if several > 1 {
            return Err(ShelfError::Several(several));
        }
        let ids = crate::key::Ids {
            conversation,
            communication: &record.communication_id,
            recording: record.recording_id.as_deref().unwrap_or_default(),
        };
        let path = self.template.path(ids).map_err(ShelfError::Id)?;
        match self.objects.get(&path).await {
            Ok(object) => Ok(Text { record, stream: object.into_stream() }),
            Err(object_store::Error::NotFound { .. }) => Err(ShelfError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all that is stored of a conversation, or only counts it.
    pub(crate) async fn erase(&self, conversation: &str, dry_run: bool) -> Result<Erased, ShelfError> {
        let mut erased = Erased::default();
        loop {
            let objects = self.listed(conversation).await?;
            for meta in objects.iter().filter(|meta| !meta.location.as_ref().ends_with(RECORD)) {
                erased.transcripts += 1;
                erased.bytes += meta.size;
            }
            if dry_run || objects.is_empty() {
                break;
            }
            self.remove(objects.into_iter().map(|meta| meta.location).collect()).await?;
        }
        if let (Some(directory), false) = (&self.directory, dry_run) {
            let folder = directory.join(self.template.folder(conversation).map_err(ShelfError::Id)?.as_ref());
            // What is left there are folders, and parts of uploads that were given up.
            if let Err(error) = tokio::fs::remove_dir_all(&folder).await
                && error.kind() != ErrorKind::NotFound
            {
                let source = Box::new(error);
                return Err(ShelfError::Store(object_store::Error::Generic { store: "directory", source }));
            }
        }
        Ok(erased)
    }

    /// Removes objects; one that is not there is no error.
    pub(crate) async fn remove(&self, paths: Vec<Path>) -> Result<(), object_store::Error> {
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut removed = self.objects.delete_stream(paths);
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn listed(&self, conversation: &str) -> Result<Vec<ObjectMeta>, ShelfError> {
        let folder = self.template.folder(conversation).map_err(ShelfError::Id)?;
        let listed = self.objects.list(Some(&folder)).take(OBJECTS_MAX).try_collect::<Vec<_>>().await;
        let mut objects = match listed {
            Ok(objects) => objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        objects.sort_unstable_by(|one, other| one.location.cmp(&other.location));
        Ok(objects)
    }
}

/// The name of a transcript's record.
fn record_of(path: &Path) -> Path {
    Path::from(format!("{path}{RECORD}"))
}
