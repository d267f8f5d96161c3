//! From the download into the store, a part at a time.
//!
//! What is shorter than a part is written at once. Longer ones are written in parts and become visible when the last is
//! there and all was judged; until then nothing stands under the key but what stood there before. An upload that is given up
//! is aborted, also when whoever waits for it goes away. A kill leaves its parts: a directory's are removed before the next
//! upload of that name, those of S3 by a rule of the bucket.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use genesys::{GenesysError, TranscriptStream};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};

use crate::options::PART_BYTES;
use crate::whole::Outline;

/// What was stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// Why nothing was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The download broke off, or what came is not all of it.
    #[error("{0}")]
    Download(String),
    #[error("it has more than {max} bytes, which is what `max_size` allows; raise that and redrive")]
    TooLong { max: u64 },
    #[error("{0}")]
    Store(#[from] object_store::Error),
}

impl From<GenesysError> for Failed {
    fn from(error: GenesysError) -> Self {
        Self::Download(error.to_string())
    }
}

/// Writes all that comes to `path`, in place of what is there.
pub(crate) async fn upload(
    objects: &Arc<dyn ObjectStore>,
    path: &Path,
    mut download: TranscriptStream,
    max: u64,
) -> Result<Put, Failed> {
    if download.length().is_some_and(|length| length > max) {
        return Err(Failed::TooLong { max });
    }
    let mut outline = match Kind::of(&download) {
        Kind::Json => Some(Outline::default()),
        Kind::Other => None,
        Kind::Page => return Err(Failed::Download("what came is a page and no transcript".to_owned())),
    };
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0u64);
    let mut parts: Option<Parts> = None;
    let mut part = Vec::new();
    while let Some(piece) = download.next().await? {
        bytes += piece.len() as u64;
        if bytes > max {
            return Err(Failed::TooLong { max });
        }
        hash.update(&piece);
        if let Some(outline) = &mut outline {
            outline.feed(&piece);
        }
        let mut rest: &[u8] = &piece;
        while part.len() + rest.len() > PART_BYTES {
            let (fits, more) = rest.split_at(PART_BYTES - part.len());
            part.extend_from_slice(fits);
            rest = more;
            let parts = match &mut parts {
                Some(parts) => parts,
                None => parts.insert(Parts(Some(objects.put_multipart(path).await?))),
            };
            parts.put(std::mem::take(&mut part).into()).await?;
        }
        if part.capacity() == 0 && parts.is_some() {
            part.reserve_exact(PART_BYTES);
        }
        part.extend_from_slice(rest);
    }
    if let Some(Err(problem)) = outline.map(|outline| outline.finish()) {
        return Err(Failed::Download(format!("what came is not a whole transcript: {problem}")));
    }
    match parts {
        None => drop(objects.put(path, Bytes::from(part).into()).await?),
        Some(mut parts) => {
            parts.put(part.into()).await?;
            parts.complete().await?;
        }
    }
    Ok(Put { bytes, sha256: hex::encode(hash.finish()) })
}

/// What a download seems to be.
enum Kind {
    /// Its text shows where it ends.
    Json,
    /// What a store or something before it says when there is trouble.
    Page,
    Other,
}

impl Kind {
    fn of(download: &TranscriptStream) -> Self {
        match download.media_type() {
            _ if download.is_encoded() => Self::Other,
            None | Some("application/json" | "application/octet-stream" | "binary/octet-stream") => Self::Json,
            Some(kind) if kind.ends_with("+json") => Self::Json,
            Some("text/html" | "application/xhtml+xml" | "application/xml" | "text/xml") => Self::Page,
            Some(_) => Self::Other,
        }
    }
}

/// An upload in parts, which is aborted unless it is completed.
struct Parts(Option<Box<dyn MultipartUpload>>);

impl Parts {
    async fn put(&mut self, part: Bytes) -> Result<(), object_store::Error> {
        match &mut self.0 {
            Some(upload) => upload.put_part(part.into()).await,
            None => Ok(()),
        }
    }

    async fn complete(mut self) -> Result<(), object_store::Error> {
        if let Some(upload) = &mut self.0 {
            upload.complete().await?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(mut upload) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "parts of a transcript that was given up stay in the store");
                }
            });
        }
    }
}
