//! A request in which only ids change from one sending to the next.

use super::Options;
use crate::client::Auth;
use crate::json;
use crate::{Tag, Uuid};

/// Writes requests: everything but ids and authentication is written once.
#[derive(Debug, Clone)]
pub(super) struct Template {
    auth: Auth,
    idempotency_key: bool,
    head: Vec<u8>,
    body: Vec<u8>,
    /// Where the batch's own id stands, when there is one.
    batch_id: Option<usize>,
    items: Vec<Places>,
}

/// Where the ids of one event stand in the body.
#[derive(Debug, Clone, Copy)]
struct Places {
    id: usize,
    conversation: usize,
    tag: usize,
}

/// The events of one connection: they follow each other, conversation by conversation.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    run: u64,
    lane: u64,
    events: u64,
    requests: u64,
    per_conversation: u64,
}

/// Stands where an id will be.
const NO_ID: Uuid = Uuid::from_bits(0);
/// What fills an event up to its size.
const PROSE: &str =
    "The customer asked why the invoice was higher than last month and the agent explained the new tariff. ";

impl Template {
    pub(super) fn new(options: &Options) -> Self {
        let item = fitted_event(options.event_bytes);
        let mut text = String::new();
        let batch = options.events_per_request > 1;
        if batch {
            json::object(&mut text, |batch| {
                batch.text("webhookEventId", NO_ID.to_string());
                batch.text("eventType", "conversation.analysis.completed");
                batch.array("data", options.events_per_request, |_, out| out.push_str(&item));
            });
        } else {
            text.push_str(&item);
        }
        let ids = after_each(&text, "\"webhookEventId\":\"");
        let (batch_id, ids) = if batch { (ids.first().copied(), &ids[1..]) } else { (None, &ids[..]) };
        let conversations = after_each(&text, "\"conversationId\":\"");
        let tags = after_each(&text, "\"externalTag\":\"");
        let items = ids.iter().zip(conversations).zip(tags);
        let items = items.map(|((&id, conversation), tag)| Places { id, conversation, tag }).collect();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            options.path,
            options.target,
            text.len()
        );
        Self {
            auth: options.auth.clone(),
            idempotency_key: options.idempotency_key,
            head: head.into_bytes(),
            body: text.into_bytes(),
            batch_id,
            items,
        }
    }

    /// Writes the request with the sequence's next events over what is in `out`.
    pub(super) fn write(&mut self, sequence: &mut Sequence, out: &mut Vec<u8>) {
        let request = sequence.request_id();
        if let Some(at) = self.batch_id {
            self.body[at..at + Uuid::TEXT_LEN].copy_from_slice(&request.text());
        }
        for places in &self.items {
            let (id, tag) = sequence.event();
            let conversation = tag.conversation().text();
            self.body[places.id..places.id + Uuid::TEXT_LEN].copy_from_slice(&id.text());
            self.body[places.conversation..places.conversation + Uuid::TEXT_LEN].copy_from_slice(&conversation);
            self.body[places.tag..places.tag + Uuid::TEXT_LEN].copy_from_slice(&conversation);
            let ordinal = places.tag + Uuid::TEXT_LEN + 1..places.tag + Tag::TEXT_LEN;
            write_digits(&mut self.body[ordinal], tag.ordinal());
        }
        out.clear();
        out.extend_from_slice(&self.head);
        for (name, value) in self.auth.headers(&self.body, sequence.requests) {
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        if self.idempotency_key {
            for part in [b"idempotency-key: ", &request.text()[..], b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
    }
}

impl Sequence {
    pub(super) fn new(options: &Options, lane: usize) -> Self {
        let per_conversation = u64::from(options.events_per_conversation);
        Self { run: options.run, lane: lane as u64, events: 0, requests: 0, per_conversation }
    }

    /// The id of a request, which no event has.
    fn request_id(&mut self) -> Uuid {
        self.requests += 1;
        self.id(2, self.requests)
    }

    /// The next event's id and tag.
    fn event(&mut self) -> (Uuid, Tag) {
        let number = self.events;
        self.events += 1;
        let conversation = self.id(1, number / self.per_conversation);
        (self.id(0, number), Tag::new(conversation, (number % self.per_conversation) as u32))
    }

    /// 64 bits of the run, 2 of the kind, 16 of the connection and 46 that count.
    fn id(&self, kind: u64, number: u64) -> Uuid {
        Uuid::from_bits(u128::from(self.run) << 64 | u128::from(kind << 62 | self.lane << 46 | number))
    }
}

/// An event of this size, with its ids still to be written.
fn fitted_event(bytes: usize) -> String {
    let bare = event("");
    event(&PROSE.repeat(bytes / PROSE.len() + 1)[..bytes.saturating_sub(bare.len())])
}

fn event(summary: &str) -> String {
    let mut text = String::new();
    json::object(&mut text, |event| {
        event.text("webhookEventId", NO_ID.to_string());
        event.text("eventType", "conversation.analysis.completed");
        event.text("timestamp", "2026-03-02T08:00:00.000Z");
        event.text("conversationId", NO_ID.to_string());
        event.object("data", |data| {
            data.text("agentId", NO_ID.to_string());
            data.object("sentiment", |sentiment| {
                sentiment.text("overall", "neutral");
                sentiment.raw("score", "-0.125");
            });
            data.texts("intents", &["billing_question"]);
            data.texts("complianceViolations", &[""; 0]);
            data.text("summary", summary);
        });
        event.text(Tag::MEMBER, Tag::new(NO_ID, 0).to_string());
    });
    text
}

fn after_each(text: &str, what: &str) -> Vec<usize> {
    text.match_indices(what).map(|(at, _)| at + what.len()).collect()
}

fn write_digits(out: &mut [u8], mut number: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sign::{Scheme, Signer};

    fn options(events_per_request: usize) -> Options {
        let signer = Signer::new(Scheme::Genesys, "Sommerregen").unwrap();
        Options {
            events_per_request,
            auth: Auth::Signed(signer),
            events_per_conversation: 3,
            ..Options::new("127.0.0.1:80".parse().unwrap())
        }
    }

    /// The head and the body of the next request.
    fn next(template: &mut Template, sequence: &mut Sequence) -> (String, Vec<u8>) {
        let mut out = b"what was here before".to_vec();
        template.write(sequence, &mut out);
        let end = memchr::memmem::find(&out, b"\r\n\r\n").unwrap();
        (String::from_utf8(out[..end].to_vec()).unwrap(), out[end + 4..].to_vec())
    }

    #[test]
    fn a_request_is_signed_and_has_the_size_asked_for() {
        let options = options(1);
        let (mut template, mut sequence) = (Template::new(&options), Sequence::new(&options, 0));
        for _ in 0..3 {
            let (head, body) = next(&mut template, &mut sequence);
            assert_eq!(body.len(), options.event_bytes);
            assert!(head.starts_with("POST /in/genesys HTTP/1.1\r\n") && head.contains("content-length: 1024\r\n"));
            let Auth::Signed(signer) = &options.auth else { unreachable!() };
            assert!(head.ends_with(&signer.headers(&body, "", 0)[0].1));
        }
    }

    #[test]
    fn every_event_is_new_and_conversations_follow_each_other() {
        let options = options(4);
        let mut template = Template::new(&options);
        let (mut ids, mut tags) = (Vec::new(), Vec::new());
        for lane in 0..3 {
            let mut sequence = Sequence::new(&options, lane);
            for _ in 0..5 {
                let body: Value = serde_json::from_slice(&next(&mut template, &mut sequence).1).unwrap();
                ids.push(body["webhookEventId"].to_string());
                for event in body["data"].as_array().unwrap() {
                    ids.push(event["webhookEventId"].to_string());
                    let tag = Tag::find_in(event.to_string().as_bytes()).unwrap();
                    assert_eq!(event["conversationId"], tag.conversation().to_string());
                    tags.push((lane, tag));
                }
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (75, 75));
        assert!(tags.iter().zip(0u32..).all(|((_, tag), n)| tag.ordinal() == n % 20 % 3));
        let conversations: std::collections::HashSet<_> = tags.iter().map(|(_, tag)| tag.conversation()).collect();
        assert_eq!(conversations.len(), 3 * 7);
    }
}
