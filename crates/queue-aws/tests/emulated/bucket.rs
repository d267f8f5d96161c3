//! A bucket for what is large: in memory, and one that is cut off like the table.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use event::Timestamp;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use queue::Queue;
use queue_aws::Bodies;

use crate::emulator::client;
use crate::faults::{Cut, Refused};

const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

/// The same settings, with everything that may be in a bucket there; what nothing names is deleted by the next upkeep.
pub(crate) fn with(options: queue_aws::Options) -> queue_aws::Options {
    let bodies = Bodies { store: Arc::new(InMemory::new()), inline_bytes: 0, unused_for: Duration::ZERO };
    queue_aws::Options { bodies: Some(bodies), ..options }
}

/// The names of all objects that are there.
pub(crate) async fn objects(options: &queue_aws::Options) -> BTreeSet<String> {
    let bodies = options.bodies.as_ref().expect("a bucket");
    bodies.store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.expect("lists")
}

/// After upkeep there is what items name, and nothing else, and the table knows all of it.
pub(crate) async fn has_what_is_named(queue: &dyn Queue, options: &queue_aws::Options) {
    queue.maintain(NOW).await.expect("maintains");
    let (mut named, mut known) = (BTreeSet::new(), BTreeSet::new());
    let found = client().scan().table_name(&options.table).consistent_read(true).into_paginator().items().send();
    let items: Vec<_> = found.collect::<std::result::Result<Vec<_>, _>>().await.expect("reads");
    for item in items {
        let text = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
        named.extend(text("o"));
        if text("pk").as_deref() == Some("objects") {
            known.extend(text("sk").and_then(|sort| sort.rsplit('/').next().map(str::to_owned)));
        }
    }
    assert_eq!(
        (&named, &named),
        (&known, &objects(options).await),
        "objects that items name, that the table knows, that are there"
    );
}

/// The same bucket behind what is done to requests.
pub(crate) fn cutting(bodies: Bodies, cut: Cut) -> Bodies {
    Bodies { store: Arc::new(Cutting { inner: bodies.store, cut }), ..bodies }
}

#[derive(Debug, Clone)]
struct Cutting {
    inner: Arc<dyn ObjectStore>,
    cut: Cut,
}

fn error(refused: Refused) -> Error {
    Error::Generic { store: "cut", source: refused }
}

impl Cutting {
    async fn ask<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        self.cut.send().map_err(error)?;
        let answer = request.await?;
        self.cut.answer().map_err(error)?;
        Ok(answer)
    }

    fn never<T>() -> Result<T> {
        Err(error("nobody asks for this".into()))
    }
}

impl fmt::Display for Cutting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")
    }
}

#[async_trait]
impl ObjectStore for Cutting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.ask(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Self::never()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let cutting = self.clone();
        let delete = move |location: Path| {
            let cutting = cutting.clone();
            async move {
                cutting.ask(cutting.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Self::never()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Self::never()
    }
}
