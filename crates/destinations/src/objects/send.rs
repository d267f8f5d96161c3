//! One attempt: makes the object, or finds that it is there.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use super::erase::{Wanted, erase};
use super::key::Template;
use super::options::Options;
use storage::Location;

use crate::store;
use crate::{BoxFuture, Destination, Erased, Erasure, OpenError, OutgoingDelivery, Receipt, SendError, Unerased};

/// A place in an object store. Cheap to clone.
#[derive(Clone)]
pub struct ObjectsDestination(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    is_directory: bool,
    shown: String,
    template: Template,
    timeout: std::time::Duration,
}

impl ObjectsDestination {
    /// Opens the place. A directory is made; S3 is not asked anything yet.
    ///
    /// # Errors
    /// What is wrong with an option, or with the directory.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let template = Template::parse(&options.key)?;
        let objects = store::open(&options.location, options.timeout)?;
        let is_directory = matches!(options.location, Location::Directory(_));
        let shown = options.location.shown();
        Ok(Self(Arc::new(Inner { objects, is_directory, shown, template, timeout: options.timeout })))
    }

    /// Whether the options make sense. Makes nothing.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn check(options: &Options) -> Result<(), OpenError> {
        Template::parse(&options.key).map(drop)
    }
}

impl Inner {
    async fn attempt(&self, delivery: OutgoingDelivery) -> Result<Receipt, SendError> {
        let key = self.template.key(&delivery)?;
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&key, delivery.payload.clone().into(), options).await {
            Ok(_) => Ok(Receipt::default()),
            Err(Error::AlreadyExists { .. }) => self.compare(&key, &delivery.payload).await,
            Err(error) => Err(store::unreachable(&self.shown, &error)),
        }
    }

    /// There is an object: this very delivery made it before, or something else did.
    async fn compare(&self, key: &Path, payload: &Bytes) -> Result<Receipt, SendError> {
        let failed = |error: &Error| store::unreachable(&self.shown, error);
        let found = self.objects.get(key).await.map_err(|error| failed(&error))?;
        if found.meta.size == payload.len() as u64 && found.bytes().await.map_err(|error| failed(&error))? == *payload {
            return Ok(Receipt::default());
        }
        let cure = "objects are never written over; remove it, or let `object` name another place, and redrive";
        Err(SendError::permanent(format!("`{key}` in {} is there with another content: {cure}", self.shown)))
    }
}

impl Destination for ObjectsDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let within = self.0.timeout;
            let late = || {
                let shown = &self.0.shown;
                SendError::transient(format!(
                    "the object store {shown} has not answered within {} s",
                    within.as_secs_f32()
                ))
            };
            tokio::time::timeout(within, self.0.attempt(delivery)).await.unwrap_or_else(|_| Err(late()))
        })
    }

    fn erases(&self) -> bool {
        true
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Option<Erased>, SendError>> {
        Box::pin(async move {
            let wanted = match Wanted::of(&self.0.template, &erasure.conversation) {
                Ok(wanted) => wanted,
                Err(why) => {
                    let kept = vec![Unerased { name: self.0.shown.clone(), rows: None, why }];
                    return Ok(Some(Erased { kept, ..Erased::default() }));
                }
            };
            let erased = erase(&*self.0.objects, self.0.is_directory, &wanted, &erasure).await;
            erased.map(Some).map_err(|error| store::unreachable(&self.0.shown, &error))
        })
    }
}
