//! The requests to a queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};
use outbound::aws::{Trouble, trouble};

use super::options::{DELETE_PAUSE, DELETE_TRIES, MESSAGES_MAX, REQUEST_TIMEOUT, SqsQueue};

/// A message that this process holds.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) body: String,
    /// What it is deleted by.
    pub(super) receipt: String,
}

/// A queue that is read.
pub(super) struct Queue {
    client: Client,
    settings: SqsQueue,
}

impl Queue {
    pub(super) async fn open(settings: &SqsQueue) -> Self {
        let access = settings.access.of_queue(&settings.queue_url);
        let client = Client::new(&access.config(settings.wait + REQUEST_TIMEOUT).await);
        Self { client, settings: settings.clone() }
    }

    pub(super) fn visibility(&self) -> Duration {
        self.settings.visibility
    }

    /// What the audit trail says of its messages.
    pub(super) fn proof(&self) -> String {
        let name = self.settings.queue_url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        format!("SQS queue {name}")
    }

    /// Waits for messages, and keeps them from others.
    pub(super) async fn receive(&self) -> Result<Vec<Message>, Trouble> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.settings.queue_url)
            .max_number_of_messages(count(self.settings.max_messages.clamp(1, MESSAGES_MAX)))
            .wait_time_seconds(seconds(self.settings.wait))
            .visibility_timeout(seconds(self.settings.visibility));
        let answer = request.send().await.map_err(|error| trouble("SQS", error.code(), error.message(), &error))?;
        let message = |message: aws_sdk_sqs::types::Message| {
            Some(Message { body: message.body.unwrap_or_default(), receipt: message.receipt_handle? })
        };
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    /// Deletes them; what cannot be deleted is tried again a few times. How many are left, and why.
    pub(super) async fn delete(&self, mut receipts: Vec<String>) -> Result<(), (usize, String)> {
        let mut pause = DELETE_PAUSE;
        for attempt in 1.. {
            let (left, why) = self.delete_once(receipts).await;
            receipts = left;
            if receipts.is_empty() {
                return Ok(());
            }
            if attempt == DELETE_TRIES {
                return Err((receipts.len(), why));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn delete_once(&self, receipts: Vec<String>) -> (Vec<String>, String) {
        let (mut left, mut why) = (Vec::new(), String::new());
        for part in receipts.chunks(MESSAGES_MAX) {
            let entry = |(place, receipt): (usize, &String)| {
                DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt).build().ok()
            };
            let entries = part.iter().enumerate().filter_map(entry).collect();
            let request = self.client.delete_message_batch().queue_url(&self.settings.queue_url);
            match request.set_entries(Some(entries)).send().await {
                Ok(answer) => {
                    for failed in answer.failed() {
                        why = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
                        left.extend(failed.id().parse().ok().and_then(|place: usize| part.get(place).cloned()));
                    }
                }
                Err(error) => {
                    why = trouble("SQS", error.code(), error.message(), &error).text;
                    left.extend_from_slice(part);
                }
            }
        }
        (left, why)
    }

    /// Keeps messages from others for so long from now on; with zero gives them back. That it fails is no harm: they come
    /// again, and are known.
    pub(super) async fn keep(&self, receipts: &[String], visibility: Duration) -> Result<(), String> {
        let mut failure = None;
        for part in receipts.chunks(MESSAGES_MAX) {
            let entry = |(place, receipt): (usize, &String)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(place.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(seconds(visibility))
                    .build()
                    .ok()
            };
            let entries = part.iter().enumerate().filter_map(entry).collect();
            let request = self.client.change_message_visibility_batch().queue_url(&self.settings.queue_url);
            match request.set_entries(Some(entries)).send().await {
                Ok(answer) => failure = answer.failed().first().map(|failed| failed.code().to_owned()).or(failure),
                Err(error) => failure = Some(trouble("SQS", error.code(), error.message(), &error).text),
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
