//! What is too large for an item, or for a transaction: objects in S3, each named by one item (a claim check).
//!
//! Each object has an entry in the table, which is written before it and deleted behind it, so there is no object that the
//! table does not know of. A transaction that names objects is committed when they are there. What an item does not name
//! any more is deleted at once by whoever has changed the item, and is looked for by upkeep, too:
//!
//! | a crash | leaves | and then |
//! |---|---|---|
//! | before the object is there | an entry | upkeep drops it once it has been without use for an hour |
//! | before the transaction | an entry and an object | the same |
//! | behind a transaction that changes or deletes the item | an entry and an object that nothing names | the same |
//! | between deleting the object and its entry | an entry | the same |
//!
//! An object is never written over. Whoever finds that one is gone looks at the item again: it may have been changed
//! meanwhile. If it has not, the item is damaged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parking_lot::Mutex;
use queue::QueueError;
use rand::RngExt;
use tokio::time::Instant;

use super::{Committed, Data, Direction, Expected, Item, Key, Stamp, Table, Write, Written};
use crate::keys;
use crate::options::{Bodies, OBJECTS_OF_A_SWEEP, PARALLEL, TRANSACTION_BYTES};
use crate::table::failure::wrong;

/// Objects, and what upkeep remembers of them.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    inline_bytes: usize,
    unused_for: Duration,
    sweep: Arc<Mutex<Sweep>>,
}

/// Where upkeep is.
#[derive(Debug, Default)]
struct Sweep {
    /// The entry behind which it goes on.
    after: String,
    /// Since when nothing names an object, by its entry.
    unused: HashMap<String, Instant>,
}

impl Objects {
    pub(crate) fn new(bodies: &Bodies) -> Self {
        let Bodies { store, inline_bytes, unused_for } = bodies.clone();
        Self { store, inline_bytes, unused_for, sweep: Arc::default() }
    }

    /// Which of these writes go into objects: what is too large for an item, and then the largest until the rest is one
    /// transaction.
    fn chosen(&self, writes: &[Write]) -> Vec<usize> {
        let size = |at: &usize| writes.get(*at).map_or(0, Write::bytes);
        let may = |(_, write): &(usize, &Write)| write.key.may_be_object() && write.data.is_some();
        let mut may: Vec<usize> = writes.iter().enumerate().filter(may).map(|(at, _)| at).collect();
        may.sort_by_key(|at| std::cmp::Reverse(size(at)));
        let mut total: usize = writes.iter().map(Write::bytes).sum();
        let mut chosen = Vec::new();
        for at in may {
            let bytes = size(&at);
            if bytes <= self.inline_bytes && total <= TRANSACTION_BYTES {
                break;
            }
            total -= bytes;
            chosen.push(at);
        }
        chosen
    }
}

/// Bytes that these writes take in a transaction, once what is large is in objects.
pub(crate) fn bytes_in_items(objects: Option<&Objects>, writes: &[Write]) -> usize {
    let chosen = objects.map(|objects| objects.chosen(writes)).unwrap_or_default();
    let inside = writes.iter().enumerate().filter(|(at, _)| !chosen.contains(at));
    inside.map(|(_, write)| write.bytes()).sum::<usize>() + chosen.len() * 300
}

/// A failure of the store.
fn failed(doing: &str, name: &str, error: &object_store::Error) -> QueueError {
    QueueError::Transient {
        detail: format!(
            "{doing} object `{name}`: {error}; does the bucket of queue.bodies exist, and do the credentials allow \
             s3:GetObject, PutObject and DeleteObject?"
        ),
    }
}

/// The entry of an object.
fn entry(key: &Key, name: &str) -> Key {
    Key::new(keys::OBJECTS, format!("{}/{}/{name}", key.partition, key.sort))
}

/// The item and the object that an entry is for.
fn of_entry(sort: &str) -> Option<(Key, &str)> {
    let mut parts = sort.rsplitn(3, '/');
    let (name, sort, partition) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Key::new(partition, sort), name))
}

impl Table {
    pub(crate) fn bytes_in_items(&self, writes: &[Write]) -> usize {
        bytes_in_items(self.objects.as_ref(), writes)
    }

    /// Commits writes, the large ones of which become objects first, and deletes what is not named any more.
    pub(super) async fn commit_with(&self, objects: &Objects, mut writes: Vec<Write>) -> Result<Committed, QueueError> {
        let changed: Vec<Key> = writes
            .iter()
            .filter(|write| write.key.may_be_object() && write.expected != Expected::Nothing)
            .map(|write| write.key.clone())
            .collect();
        let mut new = Vec::new();
        for at in objects.chosen(&writes) {
            let Some(write) = writes.get_mut(at) else { continue };
            let name: Stamp = rand::rng().random();
            let name = name.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if let Some(Data::Here(data)) = write.data.replace(Data::InObject(name.clone())) {
                new.push((write.key.clone(), name, Bytes::from(data)));
            }
        }
        let putting = new.iter().map(|(key, name, data)| self.put_object(objects, key, name, data.clone()));
        let putting: Vec<_> = putting.collect();
        stream::iter(putting).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        let committed = self.transact(writes).await?;
        if let Committed::Refused(_) = committed {
            for (key, name, _) in &new {
                self.drop_object(objects, &entry(key, name), name).await;
            }
        } else {
            let named: Vec<&str> = new.iter().map(|(_, name, _)| name.as_str()).collect();
            let dropping: Vec<_> = changed.iter().map(|key| self.drop_unnamed(objects, key, &named)).collect();
            stream::iter(dropping).buffer_unordered(PARALLEL).collect::<()>().await;
        }
        Ok(committed)
    }

    async fn put_object(&self, objects: &Objects, key: &Key, name: &str, data: Bytes) -> Result<(), QueueError> {
        let entry = Write::put(entry(key, name), Expected::Nothing, &())?;
        let Written::Done = self.write(entry).await? else {
            return Err(QueueError::Transient { detail: format!("object `{name}` is there already; try again") });
        };
        let put = objects.store.put(&Path::from(name), data.into()).await;
        put.map(drop).map_err(|error| failed("writing", name, &error))
    }

    /// Deletes the objects of an item but for these; what fails is left to upkeep.
    async fn drop_unnamed(&self, objects: &Objects, key: &Key, named: &[&str]) {
        let (first, last) = (entry(key, ""), entry(key, "~"));
        let range = self.range(keys::OBJECTS, &first.sort, &last.sort, Direction::Up, usize::MAX).await;
        for item in range.unwrap_or_default() {
            if let Some((_, name)) = of_entry(&item.key.sort).filter(|(_, name)| !named.contains(name)) {
                self.drop_object(objects, &item.key, name).await;
            }
        }
    }

    /// Deletes an object and its entry; whether it is gone.
    async fn drop_object(&self, objects: &Objects, entry: &Key, name: &str) -> bool {
        match objects.store.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                let error = failed("deleting", name, &error);
                tracing::warn!(%error, "an object that is not needed any more is deleted by upkeep later");
                return false;
            }
        }
        let request = self.client.delete_item().table_name(&self.name).set_key(Some(super::names(entry)));
        let deleted = request.send().await.map_err(|error| wrong(&self.name, "writing", &error));
        deleted.is_ok()
    }

    /// An item with what it holds; `None` if it is gone meanwhile.
    pub(crate) async fn fetch(&self, item: Item) -> Result<Option<Item>, QueueError> {
        let mut item = item;
        loop {
            let Data::InObject(name) = &item.data else { return Ok(Some(item)) };
            let Some(objects) = &self.objects else {
                return Err(QueueError::Invalid(format!(
                    "item {} is in S3, and no bucket is configured: name that of the other servers in [queue.bodies]",
                    item.key
                )));
            };
            let got = match objects.store.get(&Path::from(name.as_str())).await {
                Ok(got) => got.bytes().await,
                Err(error) => Err(error),
            };
            match got {
                Ok(data) => return Ok(Some(Item { data: Data::Here(data.into()), ..item })),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("reading", name, &error)),
            }
            // It may have been changed since it was read.
            match self.look(&item.key).await? {
                None => return Ok(None),
                Some(now) if now.stamp == item.stamp => {
                    return Err(QueueError::Damaged {
                        detail: format!(
                            "item {}: its object `{name}` is gone from the bucket; restore it there",
                            item.key
                        ),
                    });
                }
                Some(now) => item = now,
            }
        }
    }

    /// Looks at some entries, and deletes objects that nothing has named for a while; how many.
    pub(crate) async fn sweep_objects(&self) -> Result<u64, QueueError> {
        let Some(objects) = &self.objects else { return Ok(0) };
        let after = objects.sweep.lock().after.clone();
        let from = format!("{after}\u{1}");
        let entries = self.range(keys::OBJECTS, &from, "~", Direction::Up, OBJECTS_OF_A_SWEEP).await?;
        let next =
            if entries.len() < OBJECTS_OF_A_SWEEP { None } else { entries.last().map(|item| item.key.sort.clone()) };
        let mut swept = 0;
        for item in &entries {
            let Some((key, name)) = of_entry(&item.key.sort) else { continue };
            let now = self.look(&key).await?;
            let is_named = now.is_some_and(|item| item.data == Data::InObject(name.to_owned()));
            let is_old = {
                let unused = &mut objects.sweep.lock().unused;
                if is_named {
                    unused.remove(&item.key.sort);
                } else {
                    unused.entry(item.key.sort.clone()).or_insert_with(Instant::now);
                }
                unused.get(&item.key.sort).is_some_and(|since| since.elapsed() >= objects.unused_for)
            };
            if is_old && self.drop_object(objects, &item.key, name).await {
                objects.sweep.lock().unused.remove(&item.key.sort);
                swept += 1;
            }
        }
        objects.sweep.lock().after = next.unwrap_or_default();
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_leads_to_its_item_and_its_object() {
        let key = keys::chunk(1_234);
        assert_eq!(of_entry(&entry(&key, "ab12").sort), Some((key, "ab12")));
        assert_eq!(of_entry("nothing"), None);
    }

    proptest! {
        #[test]
        fn what_is_left_fits_a_transaction_and_nothing_small_is_moved_in_vain(
            sizes in prop::collection::vec(0usize..500_000, 0..30), inline in 0usize..400_000,
        ) {
            let bodies = Bodies { store: Arc::new(object_store::memory::InMemory::new()), inline_bytes: inline, unused_for: Duration::ZERO };
            let objects = Objects::new(&bodies);
            let write = |(place, size): (u64, &usize)| Write {
                key: keys::chunk(place), expected: Expected::Nothing, data: Some(Data::Here(vec![0; *size])), expires: None,
            };
            let mut writes: Vec<Write> = (0..).zip(&sizes).map(write).collect();
            writes.push(Write::put(keys::head(), Expected::Nothing, &[0u8; 32]).unwrap());
            let chosen = objects.chosen(&writes);
            prop_assert!(!chosen.contains(&sizes.len()), "the head is never an object");
            prop_assert!(bytes_in_items(Some(&objects), &writes) <= TRANSACTION_BYTES + 300 * sizes.len());
            let total: usize = writes.iter().map(Write::bytes).sum();
            for (at, write) in writes.iter().enumerate() {
                let is_large = write.bytes() > inline && write.key.may_be_object();
                prop_assert!(!is_large || chosen.contains(&at));
                prop_assert!(is_large || total > TRANSACTION_BYTES || !chosen.contains(&at));
            }
        }
    }
}
