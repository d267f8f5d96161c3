//! Messages of SQS as Lambda hands them over, and which of them have to come again.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::runtime::Failure;

/// What is used of an event.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(rename = "Records", borrow)]
    pub(super) records: Vec<Record<'a>>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) message_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) body: Cow<'a, str>,
    #[serde(rename = "eventSourceARN", borrow, default)]
    pub(super) queue: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Attributes<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Attributes<'a> {
    #[serde(rename = "DeadLetterQueueSourceArn", borrow, default)]
    came_from: Option<Cow<'a, str>>,
}

impl<'a> Batch<'a> {
    pub(super) fn parse(event: &'a [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(event).map_err(|error| {
            Failure::new("Event", format!("this is no event of SQS: {error}; look at what invokes it"))
        })
    }

    /// Whether its messages are in an order that has to be kept.
    pub(super) fn is_ordered(&self) -> bool {
        self.records.first().is_some_and(|record| record.queue.ends_with(".fifo"))
    }
}

impl Record<'_> {
    /// The name of the queue that it was sent to first: of one from a dead-letter queue, the queue before that.
    pub(super) fn first_queue(&self) -> &str {
        name_of(self.attributes.came_from.as_deref().unwrap_or(&self.queue))
    }

    pub(super) fn body(&self) -> Bytes {
        Bytes::copy_from_slice(self.body.as_bytes())
    }
}

/// The name of the queue of an ARN or an address.
pub(super) fn name_of(queue: &str) -> &str {
    queue.trim_end_matches('/').rsplit([':', '/']).next().unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failures<'a> {
    batch_item_failures: Vec<ItemFailure<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure<'a> {
    item_identifier: &'a str,
}

/// Which messages have to come again; all others are deleted. A wrong key or an unknown id would make SQS take all of them
/// for failed.
pub(super) fn failures<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<Bytes, Failure> {
    let batch_item_failures = ids.into_iter().map(|item_identifier| ItemFailure { item_identifier }).collect();
    let failures = Failures { batch_item_failures };
    serde_json::to_vec(&failures).map(Bytes::from).map_err(|error| Failure::new("Bug", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"Records":[{"messageId":"m-1","receiptHandle":"r","body":"{\"a\":1}",
        "attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1"},"messageAttributes":{},"md5OfBody":"x",
        "eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:intake","awsRegion":"us-east-1"}]}"#;

    #[test]
    fn a_message_says_which_queue_it_was_sent_to_first() {
        let batch = Batch::parse(EVENT.as_bytes()).unwrap();
        assert_eq!((batch.records[0].first_queue(), batch.is_ordered()), ("intake", false));
        assert_eq!(&batch.records[0].body()[..], br#"{"a":1}"#);
        let dead = EVENT.replace(
            r#""SentTimestamp""#,
            r#""DeadLetterQueueSourceArn":"arn:aws:sqs:us-east-1:000000000000:before.fifo","SentTimestamp""#,
        );
        assert_eq!(Batch::parse(dead.as_bytes()).unwrap().records[0].first_queue(), "before.fifo");
        let ordered = EVENT.replace(":intake", ":intake.fifo");
        assert!(Batch::parse(ordered.as_bytes()).unwrap().is_ordered());
        assert_eq!(name_of("https://sqs.us-east-1.amazonaws.com/1/intake/"), "intake");
        assert!(Batch::parse(b"[]").unwrap_err().message.contains("no event of SQS"));
    }

    #[test]
    fn failures_have_exactly_the_keys_that_lambda_wants() {
        let text = |ids: &[&str]| String::from_utf8(failures(ids.iter().copied()).unwrap().to_vec()).unwrap();
        assert_eq!(text(&[]), r#"{"batchItemFailures":[]}"#);
        let two = r#"{"batchItemFailures":[{"itemIdentifier":"m-1"},{"itemIdentifier":"m-2"}]}"#;
        assert_eq!(text(&["m-1", "m-2"]), two);
    }
}
