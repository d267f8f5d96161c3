//! Requests to the bus, one after the other, each with up to ten entries.
//!
//! Each entry gets what EventBridge says of it. A request that is refused because of what is in it is halved until the
//! bad entry is alone.

use std::sync::Arc;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata as _;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use outbound::aws::{About, Trouble, trouble};
use tokio::sync::OnceCell;

use super::entry::Entry;
use super::options::Options;
use crate::batch::{Batch, Batched};
use crate::{BoxFuture, Receipt, SendError, told};

/// What errors call it.
const SERVICE: &str = "EventBridge";

/// The bus, and the client that is made when it is first needed.
pub(super) struct Bus {
    options: Options,
    client: OnceCell<Client>,
}

impl Bus {
    pub(super) fn new(options: Options) -> Self {
        Self { options, client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        let made = || async { Client::new(&self.options.access.config(self.options.timeout).await) };
        self.client.get_or_init(made).await
    }

    /// Puts the entries at these places; what each came to is put into the batch. Fails if all did.
    async fn request(&self, batch: &mut Batch<Entry>, places: &[usize]) -> Result<(), Trouble> {
        let entries = places.iter().map(|place| request_entry(&self.options.bus, batch.item(*place))).collect();
        let request = self.client().await.put_events().set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| trouble(SERVICE, error.code(), error.message(), &error))?;
        // The results are in the order of the entries; one that is missing says nothing.
        let mut results = answer.entries().iter();
        for place in places {
            batch.settle(
                *place,
                match results.next().map(|result| (result.error_code(), result.error_message(), result.event_id())) {
                    Some((Some(code), message, _)) => Err(told::of_entry(SERVICE, code, message, false)),
                    Some((None, _, Some(_))) => Ok(Receipt::default()),
                    Some((None, _, None)) | None => {
                        Err(SendError::transient("EventBridge has said nothing about this entry of a request"))
                    }
                },
            );
        }
        Ok(())
    }

    async fn put(&self, batch: &mut Batch<Entry>) {
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

fn request_entry(bus: &str, entry: &Entry) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(&entry.source)
        .detail_type(&entry.detail_type)
        .detail(&entry.detail)
        .set_time(entry.time)
        .set_resources((!entry.resources.is_empty()).then(|| entry.resources.clone()))
        .build()
}

/// One of the lanes.
pub(super) struct Lane(pub(super) Arc<Bus>);

impl Batched for Lane {
    type Item = Entry;

    fn run<'a>(&'a self, batch: &'a mut Batch<Entry>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let within = self.0.options.timeout;
            if tokio::time::timeout(within, self.0.put(batch)).await.is_err() {
                batch.fail(&told::no_answer(SERVICE, within));
            }
        })
    }
}
