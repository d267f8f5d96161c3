//! A store that stops working at a chosen request, as it looks from a process that is killed there.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    inner: Arc<dyn ObjectStore>,
    changes: Arc<AtomicUsize>,
    lists: Arc<AtomicUsize>,
    /// The change that fails; all requests behind it do too.
    at: usize,
    /// It is made all the same, and only not answered.
    is_made: bool,
    /// What is written by a request that arrives when a single file was found.
    late: Arc<Mutex<Option<(Path, Bytes)>>>,
}

impl Failing {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, at: usize, is_made: bool) -> Self {
        Self { inner, changes: Arc::default(), lists: Arc::default(), at, is_made, late: Arc::default() }
    }

    /// One that works, and to which a file is written late: when it was looked what is there, and there was one file.
    pub(super) fn late(inner: Arc<dyn ObjectStore>, name: &str, data: Bytes) -> Self {
        let late = Some((Path::from(name), data));
        Self { late: Arc::new(Mutex::new(late)), ..Self::new(inner, usize::MAX, false) }
    }

    /// Whether what was to come late has come.
    pub(super) fn has_come(&self) -> bool {
        self.late.lock().unwrap().is_none()
    }

    async fn found(self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let found: Vec<_> = self.inner.list(prefix.as_ref()).try_collect().await?;
        let is_single =
            prefix.is_some() && matches!(&found[..], [file] if file.location.extension() == Some("parquet"));
        let late = if is_single { self.late.lock().unwrap().take() } else { None };
        if let Some((name, data)) = late {
            self.inner.put(&name, data.into()).await?;
        }
        Ok(found)
    }

    /// Changes that were asked for.
    pub(super) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    /// How often it was looked what is there.
    pub(super) fn lists(&self) -> usize {
        self.lists.load(Ordering::SeqCst)
    }

    fn error() -> Error {
        Error::Generic { store: "failing", source: "the store is down".into() }
    }

    fn look(&self) -> Result<()> {
        if self.changes() > self.at { Err(Self::error()) } else { Ok(()) }
    }

    async fn change<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        if number < self.at {
            return change.await;
        }
        if number == self.at && self.is_made {
            change.await?;
        }
        Err(Self::error())
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.change(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Self::error())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.look()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.look()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let failing = self.clone();
        let delete = move |location: Path| {
            let failing = failing.clone();
            async move {
                failing.change(failing.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        match self.look() {
            Ok(()) => {
                let found = self.clone().found(prefix.cloned()).map_ok(|found| futures::stream::iter(found).map(Ok));
                found.try_flatten_stream().boxed()
            }
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.look()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Self::error())
    }
}
