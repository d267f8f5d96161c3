//! The table: items with a stamp, and conditional writes of one or of many.
//!
//! Every write gives its items a new random stamp, and asks for the stamp that it has read. So a write happens only to
//! what its writer has seen, and no state comes back unnoticed. An answer that is lost does no harm: a single write that
//! is repeated finds its own stamp, a transaction that is repeated is known to DynamoDB by its token for ten minutes.
//! Reads are strongly consistent. What is too large for an item, or for a transaction, is an object in S3 that the item
//! names ([`objects`]).

mod check;
mod create;
mod failure;
mod objects;

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use queue::QueueError;
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use check::{Lack, check_table};
pub use create::{back_up, create_table, expire};
pub(crate) use objects::Objects;

use crate::codec;
use failure::{refused, wrong};

/// The attribute of an item that names the object which has what it holds.
const OBJECT: &str = "o";

/// Names an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) partition: String,
    pub(crate) sort: String,
}

impl Key {
    pub(crate) fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.partition, self.sort)
    }
}

/// Tells one state of an item from all others.
pub(crate) type Stamp = [u8; 16];

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Nothing,
    Stamp(Stamp),
    /// Whatever is there: another write of the same transaction says that it may be overwritten.
    Anything,
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    data: Data,
}

/// What an item holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Data {
    Here(Vec<u8>),
    /// In the object of this name.
    InObject(String),
}

impl Item {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, QueueError> {
        match &self.data {
            Data::Here(data) => codec::unpack(&self.key, data),
            Data::InObject(name) => Err(QueueError::Damaged {
                detail: format!(
                    "item {}: what it holds is in object `{name}`, and nothing of that kind may be",
                    self.key
                ),
            }),
        }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) expected: Expected,
    /// `None` deletes.
    data: Option<Data>,
    /// In seconds of Unix time; DynamoDB may drop the item some days after.
    expires: Option<i64>,
}

impl Write {
    pub(crate) fn put<T: Serialize>(key: Key, expected: Expected, value: &T) -> Result<Self, QueueError> {
        Ok(Self { key, expected, data: Some(Data::Here(codec::pack(value)?)), expires: None })
    }

    pub(crate) fn delete(key: Key, expected: Expected) -> Self {
        Self { key, expected, data: None, expires: None }
    }

    pub(crate) fn expiring(self, at: event::Timestamp) -> Self {
        Self { expires: Some(at.as_millis() / 1_000), ..self }
    }

    pub(crate) fn bytes(&self) -> usize {
        // The names and values of key, stamp and expiry, generously.
        200 + self.key.partition.len() + self.key.sort.len() + self.data.as_ref().map_or(0, Data::bytes)
    }
}

impl Data {
    /// Bytes that it takes in an item.
    fn bytes(&self) -> usize {
        match self {
            Self::Here(data) => data.len(),
            Self::InObject(name) => name.len(),
        }
    }
}

/// What became of a single write.
#[derive(Debug)]
pub(crate) enum Written {
    Done,
    /// Something else is there than was expected: this, or nothing.
    Refused(Option<Item>),
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Done(Stamp),
    /// Nothing was written; the places of the writes that found something else than they expected. None of them if
    /// another transaction was at the same items.
    Refused(Vec<usize>),
}

/// A DynamoDB table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
    objects: Option<Objects>,
}

impl Table {
    pub(crate) fn new(client: Client, name: &str, objects: Option<Objects>) -> Self {
        Self { client, name: name.to_owned(), objects }
    }

    /// An item, with what it holds, wherever that is.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, QueueError> {
        match self.look(key).await? {
            Some(item) => self.fetch(item).await,
            None => Ok(None),
        }
    }

    async fn look(&self, key: &Key) -> Result<Option<Item>, QueueError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let request = request.set_key(Some(names(key)));
        let answer = request.send().await.map_err(|error| wrong(&self.name, "reading", &error))?;
        answer.item.map(|item| self.item(item)).transpose()
    }

    /// The items of a partition whose sort keys are in this range, in their order, at most so many. What is in objects is not
    /// fetched.
    pub(crate) async fn range(
        &self,
        partition: &str,
        from: &str,
        to: &str,
        order: Direction,
        max: usize,
    ) -> Result<Vec<Item>, QueueError> {
        let (mut items, mut next) = (Vec::new(), None);
        loop {
            let left = i32::try_from(max - items.len()).unwrap_or(i32::MAX);
            let request = self.client.query().table_name(&self.name).consistent_read(true);
            let request = request
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
                .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
                .expression_attribute_values(":to", AttributeValue::S(to.to_owned()))
                .scan_index_forward(order == Direction::Up)
                .limit(left)
                .set_exclusive_start_key(next.take());
            let answer = request.send().await.map_err(|error| wrong(&self.name, "reading", &error))?;
            for item in answer.items.unwrap_or_default() {
                items.push(self.item(item)?);
            }
            next = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if next.is_none() || items.len() >= max {
                return Ok(items);
            }
        }
    }

    /// One conditional write.
    pub(crate) async fn write(&self, write: Write) -> Result<Written, QueueError> {
        let stamp: Stamp = rand::rng().random();
        self.write_as(write, stamp).await
    }

    /// The same, with the stamp that the item gets.
    pub(crate) async fn write_as(&self, write: Write, stamp: Stamp) -> Result<Written, QueueError> {
        let Write { key, expected, data, expires } = write;
        let Some(data) = data else {
            return Err(QueueError::Invalid("items are deleted in transactions only".to_owned()));
        };
        let request = self.client.put_item().table_name(&self.name);
        let request = request
            .set_item(Some(full(&key, stamp, data, expires)))
            .set_condition_expression(condition(expected))
            .set_expression_attribute_values(values(expected))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(Written::Done) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let there = failed.item.clone().map(|item| self.item(item)).transpose()?;
                // It was ours, and the answer got lost.
                let ours = there.as_ref().is_some_and(|item| item.stamp == stamp);
                Ok(if ours { Written::Done } else { Written::Refused(there) })
            }
            Some(PutItemError::TransactionConflictException(_)) => Ok(Written::Refused(None)),
            _ => Err(wrong(&self.name, "writing", &error)),
        }
    }

    /// Many conditional writes, all or none.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<Committed, QueueError> {
        match &self.objects {
            Some(objects) => self.commit_with(objects, writes).await,
            None => self.transact(writes).await,
        }
    }

    async fn transact(&self, writes: Vec<Write>) -> Result<Committed, QueueError> {
        let stamp: Stamp = rand::rng().random();
        let token = stamp.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let items = writes.into_iter().map(|write| self.part(write, stamp)).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.transact_write_items().client_request_token(token).set_transact_items(Some(items));
        let Err(error) = request.send().await else { return Ok(Committed::Done(stamp)) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                refused(&self.name, cancelled.cancellation_reasons())
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Committed::Refused(Vec::new())),
            _ => Err(wrong(&self.name, "writing", &error)),
        }
    }

    fn part(&self, write: Write, stamp: Stamp) -> Result<TransactWriteItem, QueueError> {
        let Write { key, expected, data, expires } = write;
        let built = match data {
            Some(data) => {
                let put = Put::builder().table_name(&self.name).set_item(Some(full(&key, stamp, data, expires)));
                let put = put.set_condition_expression(condition(expected));
                let put = put.set_expression_attribute_values(values(expected)).build();
                put.map(|put| TransactWriteItem::builder().put(put).build())
            }
            None => {
                let delete = Delete::builder().table_name(&self.name).set_key(Some(names(&key)));
                let delete = delete.set_condition_expression(condition(expected));
                let delete = delete.set_expression_attribute_values(values(expected)).build();
                delete.map(|delete| TransactWriteItem::builder().delete(delete).build())
            }
        };
        built.map_err(|error| QueueError::Invalid(format!("a transaction lacks something: {error}")))
    }

    fn item(&self, mut item: HashMap<String, AttributeValue>) -> Result<Item, QueueError> {
        let mut text = |name: &str| match item.remove(name) {
            Some(AttributeValue::S(text)) => Some(text),
            _ => None,
        };
        let key = text("pk").zip(text("sk")).map(|(pk, sk)| Key::new(pk, sk));
        let mut bytes = |name: &str| match item.remove(name) {
            Some(AttributeValue::B(bytes)) => Some(bytes.into_inner()),
            _ => None,
        };
        let (stamp, here) = (bytes("w").and_then(|stamp| Stamp::try_from(stamp).ok()), bytes("d"));
        let elsewhere = match item.remove(OBJECT) {
            Some(AttributeValue::S(name)) => Some(Data::InObject(name)),
            _ => None,
        };
        let data = here.map(Data::Here).or(elsewhere);
        let item = key.zip(stamp).zip(data).map(|((key, stamp), data)| Item { key, stamp, data });
        item.ok_or_else(|| QueueError::Damaged {
            detail: format!(
                "table `{}` has an item that is none of Aftercall's: give it a table of its own",
                self.name
            ),
        })
    }
}

/// In which order items are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

fn names(key: &Key) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(key.partition.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sort.clone())),
    ])
}

fn full(key: &Key, stamp: Stamp, data: Data, expires: Option<i64>) -> HashMap<String, AttributeValue> {
    let mut item = names(key);
    item.insert("w".to_owned(), AttributeValue::B(Blob::new(stamp)));
    match data {
        Data::Here(data) => item.insert("d".to_owned(), AttributeValue::B(Blob::new(data))),
        Data::InObject(name) => item.insert(OBJECT.to_owned(), AttributeValue::S(name)),
    };
    if let Some(expires) = expires {
        item.insert(create::EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
    }
    item
}

fn condition(expected: Expected) -> Option<String> {
    match expected {
        Expected::Nothing => Some("attribute_not_exists(pk)".to_owned()),
        Expected::Stamp(_) => Some("w = :w".to_owned()),
        Expected::Anything => None,
    }
}

fn values(expected: Expected) -> Option<HashMap<String, AttributeValue>> {
    match expected {
        Expected::Nothing | Expected::Anything => None,
        Expected::Stamp(stamp) => Some(HashMap::from([(":w".to_owned(), AttributeValue::B(Blob::new(stamp)))])),
    }
}
