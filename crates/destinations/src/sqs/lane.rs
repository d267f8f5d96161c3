//! Requests to the queue, one after the other, each with up to ten messages.
//!
//! Each message gets what SQS says of it. A request that is refused because of what is in it is halved until the bad
//! message is alone.

use std::sync::Arc;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use outbound::aws::{About, Trouble, trouble};
use tokio::sync::OnceCell;

use super::message::Message;
use super::options::Options;
use crate::batch::{Batch, Batched};
use crate::{BoxFuture, Receipt, SendError, told};

/// What errors call it.
const SERVICE: &str = "SQS";

/// The queue, and the client that is made when it is first needed.
pub(super) struct Queue {
    options: Options,
    client: OnceCell<Client>,
}

impl Queue {
    pub(super) fn new(mut options: Options) -> Self {
        options.access = options.access.of_queue(&options.queue_url);
        Self { options, client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        let made = || async { Client::new(&self.options.access.config(self.options.timeout).await) };
        self.client.get_or_init(made).await
    }

    /// Sends the messages at these places; what each came to is put into the batch. Fails if all did.
    async fn request(&self, batch: &mut Batch<Message>, places: &[usize]) -> Result<(), Trouble> {
        let entries = places.iter().map(|place| entry(*place, batch.item(*place))).collect::<Result<_, _>>()?;
        let client = self.client().await;
        let request = client.send_message_batch().queue_url(&self.options.queue_url).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| trouble(SERVICE, error.code(), error.message(), &error))?;
        let place = |id: &str| id.parse().ok().filter(|place| places.contains(place));
        for taken in answer.successful() {
            if let Some(place) = place(taken.id()) {
                batch.settle(place, Ok(Receipt::default()));
            }
        }
        for failed in answer.failed() {
            if let Some(place) = place(failed.id()) {
                let error = told::of_entry(SERVICE, failed.code(), failed.message(), failed.sender_fault());
                batch.settle(place, Err(error));
            }
        }
        let silent = SendError::transient("SQS has said nothing about this message of a request");
        places.iter().for_each(|place| batch.settle(*place, Err(silent.clone())));
        Ok(())
    }

    async fn send(&self, batch: &mut Batch<Message>) {
        let mut parts = vec![(0..batch.len()).collect::<Vec<_>>()];
        while let Some(mut part) = parts.pop() {
            let Err(trouble) = self.request(batch, &part).await else { continue };
            match (trouble.about, &part[..]) {
                (About::Content, [alone]) => batch.settle(*alone, Err(told::of_content(trouble.text))),
                (About::Content, _) => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                _ => return batch.fail(&told::of_all(&trouble)),
            }
        }
    }
}

fn entry(place: usize, message: &Message) -> Result<SendMessageBatchRequestEntry, Trouble> {
    let wrong = |error: aws_sdk_sqs::error::BuildError| Trouble { about: About::Content, text: error.to_string() };
    let mut entry = SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(&message.body);
    for (name, text) in &message.attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(text).build().map_err(wrong)?;
        entry = entry.message_attributes(*name, value);
    }
    if let Some(fifo) = &message.fifo {
        entry = entry.message_group_id(&fifo.group).message_deduplication_id(&fifo.deduplication);
    }
    entry.build().map_err(wrong)
}

/// One of the lanes.
pub(super) struct Lane(pub(super) Arc<Queue>);

impl Batched for Lane {
    type Item = Message;

    fn run<'a>(&'a self, batch: &'a mut Batch<Message>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let within = self.0.options.timeout;
            if tokio::time::timeout(within, self.0.send(batch)).await.is_err() {
                batch.fail(&told::no_answer(SERVICE, within));
            }
        })
    }
}
