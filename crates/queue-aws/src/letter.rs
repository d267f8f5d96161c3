//! Dead letters: what is known of one in one item, its body in another, and an edited copy in a third, so that a list
//! reads no bodies and each may be as large as an item can be.

mod moved;

use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};
use queue::{
    Attempts, By, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Edit, Failure, Grouping, Order,
    QueueError, Rejection, Seq, Stored, Why, body_hash,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::choose::held;
use crate::head::{self, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::options::EXPIRY_SLACK;
use crate::shard::{Delivery, conversation_named};
use crate::table::{Committed, Direction, Expected, Item, Write};
use crate::trail::Trail;

/// Dead letters that are read in one go.
const LETTERS_OF_A_QUERY: usize = 500;

/// A dead letter, as it is stored, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    died: Timestamp,
    pub(crate) destination: Option<Arc<str>>,
    seq: Option<u64>,
    event: Option<EventId>,
    source: Arc<str>,
    topic: Arc<str>,
    pub(crate) conversation: Option<Arc<str>>,
    received: Timestamp,
    made: u32,
    charged: u32,
    tried: (Option<Timestamp>, Option<Timestamp>),
    /// As JSON, which it is elsewhere too; so it may get fields.
    failure: String,
    /// Where its event stood first.
    pub(crate) first: u64,
    pub(crate) altered: bool,
    pub(crate) replayed: bool,
    /// The shard of its destination that knows of it.
    pub(crate) shard: u8,
    edit: Option<KeptEdit>,
    #[serde(skip)]
    body: Option<Vec<u8>>,
    /// The edited copy that it comes with.
    #[serde(skip)]
    copy: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptEdit {
    name: Arc<str>,
    reason: Arc<str>,
    at: Timestamp,
}

/// A body that was refused, as it is stored: by the hash of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    received: Timestamp,
    letter: u64,
}

impl Letter {
    /// Of an event that has died at a destination.
    pub(crate) fn of(
        destination: &Destination,
        stored: &Stored,
        attempts: Attempts,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Self, QueueError> {
        let event = &stored.event;
        Ok(Self {
            died: now,
            destination: Some(Arc::clone(&destination.name)),
            seq: Some(stored.seq.0),
            event: Some(event.id),
            source: Arc::clone(&event.source),
            topic: Arc::clone(&event.topic),
            conversation: event.conversation.clone(),
            received: event.received,
            made: attempts.made,
            charged: attempts.charged,
            tried: (attempts.first, attempts.last),
            failure: json(failure)?,
            first: stored.first_seq().0,
            altered: stored.again.is_some_and(|again| again.edited),
            replayed: stored.again.is_some_and(|again| again.why == Why::Replayed),
            shard: 0,
            edit: None,
            body: Some(event.body.to_vec()),
            copy: None,
        })
    }

    /// Of a delivery whose event is not in the log any more, or cannot be read.
    pub(crate) fn of_missing(
        destination: &Destination,
        place: u64,
        delivery: &Delivery,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Self, QueueError> {
        let attempts = delivery.attempts();
        Ok(Self {
            died: now,
            destination: Some(Arc::clone(&destination.name)),
            seq: Some(place),
            event: None,
            source: Arc::from(""),
            topic: Arc::from(""),
            conversation: None,
            received: delivery.since,
            made: attempts.made,
            charged: attempts.charged,
            tried: (attempts.first, attempts.last),
            failure: json(failure)?,
            first: delivery.first(place),
            altered: false,
            replayed: false,
            shard: 0,
            edit: None,
            body: None,
            copy: None,
        })
    }

    fn of_rejection(rejection: &Rejection) -> Result<Self, QueueError> {
        Ok(Self {
            died: rejection.received,
            destination: None,
            seq: None,
            event: None,
            source: Arc::clone(&rejection.source),
            topic: Arc::from(""),
            conversation: None,
            received: rejection.received,
            made: 0,
            charged: 0,
            tried: (None, None),
            failure: json(&rejection.failure)?,
            first: 0,
            altered: false,
            replayed: false,
            shard: 0,
            edit: None,
            body: Some(rejection.body.to_vec()),
            copy: None,
        })
    }

    /// Bytes of its items, about.
    pub(crate) fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
            + self.failure.len()
            + self.conversation.as_ref().map_or(0, |text| text.len())
            + 1_000
    }

    /// As a list has it.
    pub(crate) fn listed(&self, id: DeadLetterId) -> Result<DeadLetter, QueueError> {
        let failure = serde_json::from_str(&self.failure)
            .map_err(|error| QueueError::Damaged { detail: format!("dead letter {}: {error}", id.0) })?;
        let (first, last) = self.tried;
        Ok(DeadLetter {
            id,
            died: self.died,
            destination: self.destination.clone(),
            seq: self.seq.map(Seq),
            event: self.event,
            source: Arc::clone(&self.source),
            topic: Arc::clone(&self.topic),
            conversation: self.conversation.clone(),
            attempts: Attempts { made: self.made, charged: self.charged, first, last },
            failure,
            behind_dead: false,
            held: 0,
            received: None,
            body: None,
            edit: self.edit.as_ref().map(|edit| Edit {
                by: By::new(Arc::clone(&edit.name), edit.at).because(Arc::clone(&edit.reason)),
                body: None,
            }),
            altered: false,
        })
    }

    pub(crate) fn has_edit(&self) -> bool {
        self.edit.is_some()
    }
}

fn json(failure: &Failure) -> Result<String, QueueError> {
    serde_json::to_string(failure).map_err(|error| QueueError::Invalid(format!("a failure cannot be stored: {error}")))
}

/// The writes that make a dead letter.
pub(crate) fn creation(id: u64, letter: &Letter) -> Result<Vec<Write>, QueueError> {
    let id = DeadLetterId(id);
    let mut writes = vec![Write::put(keys::letter(id), Expected::Nothing, letter)?];
    if let Some(body) = &letter.body {
        writes.push(Write::put(keys::letter_body(id), Expected::Nothing, &ByteBuf::from(body.clone()))?);
    }
    if let Some(copy) = &letter.copy {
        writes.push(Write::put(keys::letter_copy(id), Expected::Nothing, &ByteBuf::from(copy.clone()))?);
    }
    Ok(writes)
}

/// The writes that take a dead letter away.
pub(crate) fn removal(id: DeadLetterId, letter: &Letter, expected: Expected) -> Vec<Write> {
    let mut writes =
        vec![Write::delete(keys::letter(id), expected), Write::delete(keys::letter_body(id), Expected::Anything)];
    if letter.has_edit() {
        writes.push(Write::delete(keys::letter_copy(id), Expected::Anything));
    }
    writes
}

fn id_of(item: &Item) -> Result<DeadLetterId, QueueError> {
    let damaged = |_| QueueError::Damaged { detail: format!("item {} has no number", item.key) };
    item.key.sort.parse().map(DeadLetterId).map_err(damaged)
}

impl Inner {
    /// A dead letter as it is stored, and what a write of it has to expect.
    pub(crate) async fn letter(&self, id: DeadLetterId) -> Result<Option<(Letter, Expected)>, QueueError> {
        let item = self.table.get(&keys::letter(id)).await?;
        item.map(|item| Ok((item.read()?, Expected::Stamp(item.stamp)))).transpose()
    }

    /// All dead letters behind one, in their order, until `each` wants no more.
    pub(crate) async fn each_letter(
        &self,
        after: DeadLetterId,
        mut each: impl FnMut(DeadLetter) -> bool,
    ) -> Result<(), QueueError> {
        let mut from = after.0.saturating_add(1);
        loop {
            let range = (keys::number(from), keys::LAST);
            let items = self.table.range(keys::LETTERS, &range.0, range.1, Direction::Up, LETTERS_OF_A_QUERY).await?;
            let Some(last) = items.last() else { return Ok(()) };
            from = id_of(last)?.0.saturating_add(1);
            for item in &items {
                let letter: Letter = item.read()?;
                if !each(letter.listed(id_of(item)?)?) {
                    return Ok(());
                }
            }
        }
    }

    pub(crate) async fn dead_letters(&self, query: DeadLetterQuery) -> Result<Vec<DeadLetter>, QueueError> {
        let mut letters = Vec::new();
        let after = query.after.unwrap_or(DeadLetterId(0));
        let each = |letter: DeadLetter| {
            if query.selects(&letter) {
                letters.push(letter);
            }
            letters.len() < query.page()
        };
        self.each_letter(after, each).await?;
        Ok(letters)
    }

    pub(crate) async fn dead_letter_groups(&self, query: DeadLetterQuery) -> Result<Vec<DeadLetterGroup>, QueueError> {
        let mut grouping = Grouping::new(self.reviews().await?);
        let each = |letter: DeadLetter| {
            if query.selects(&letter) {
                grouping.add(&letter)
            } else {
                grouping.pass_over(&letter)
            }
            true
        };
        self.each_letter(DeadLetterId(0), each).await?;
        Ok(grouping.groups())
    }

    /// One with its bodies, and what is known of its conversation.
    pub(crate) async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, QueueError> {
        let Some((kept, _)) = self.letter(id).await? else { return Ok(None) };
        let letter = self.with_bodies(id, &kept).await?;
        let destination = kept.destination.as_ref().and_then(|name| self.wired.read().named(name));
        let (Some(destination), Some(name)) = (destination, &kept.conversation) else { return Ok(Some(letter)) };
        let conversation = conversation_named(name).0;
        let part = self.part(destination.id, kept.shard).await?;
        let setting = *destination.setting.lock();
        let behind_dead =
            setting.order == Order::Conversation && part.shard.is_behind_dead(Some(conversation), kept.first);
        // However late it is: what waits for a retry waits for no dead letter, but what was to be retried by now does.
        let rules = self.rules(setting, Timestamp::from_millis(i64::MAX));
        let held = held(&part.shard, rules).get(&conversation).copied().unwrap_or(0);
        Ok(Some(DeadLetter { behind_dead, held, ..letter }))
    }

    /// One with its bodies; as it is if they have gone since.
    pub(crate) async fn with_bodies(&self, id: DeadLetterId, kept: &Letter) -> Result<DeadLetter, QueueError> {
        let mut letter = kept.listed(id)?;
        letter.received = Some(kept.received);
        letter.altered = kept.altered;
        letter.body = self.bytes(&keys::letter_body(id)).await?;
        if let Some(edit) = &mut letter.edit {
            edit.body = self.bytes(&keys::letter_copy(id)).await?;
        }
        Ok(letter)
    }

    /// The body of a dead letter.
    pub(crate) async fn letter_bytes(&self, id: DeadLetterId) -> Result<Option<Bytes>, QueueError> {
        self.bytes(&keys::letter_body(id)).await
    }

    async fn bytes(&self, key: &crate::table::Key) -> Result<Option<Bytes>, QueueError> {
        let item = self.table.get(key).await?;
        item.map(|item| item.read::<ByteBuf>().map(|bytes| Bytes::from(bytes.into_vec()))).transpose()
    }

    /// Keeps an edited copy, or drops it: one transaction, so that a letter says of a copy only what is there.
    pub(crate) async fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> Result<bool, QueueError> {
        self.takes(copy.as_ref().map_or(0, Bytes::len))?;
        let mut tries = 0;
        loop {
            let Some((mut letter, expected)) = self.letter(id).await? else { return Ok(false) };
            let key = keys::letter_copy(id);
            letter.edit = copy.as_ref().map(|_| KeptEdit {
                name: Arc::clone(&by.name),
                reason: Arc::clone(&by.reason),
                at: by.at,
            });
            let bytes = copy.clone();
            let copy = match &copy {
                Some(copy) => Write::put(key, Expected::Anything, &ByteBuf::from(copy.to_vec()))?,
                None => Write::delete(key, Expected::Anything),
            };
            let (mut head, at_head) = self.head().await?;
            let mut trail = Trail::behind(&head);
            trail.push(queue::trail::edited(id, bytes.as_deref(), &by));
            let mut writes = trail.finish(&mut head)?;
            writes.extend([head::write(&head, at_head)?, Write::put(keys::letter(id), expected, &letter)?, copy]);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(true);
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Keeps a body that is no event, once within the dedupe window.
    pub(crate) async fn reject(&self, rejection: Rejection) -> Result<DeadLetterId, QueueError> {
        self.takes(rejection.body.len())?;
        let letter = Letter::of_rejection(&rejection)?;
        let window = self.options.queue.dedupe_window;
        let key = keys::refused(body_hash(&rejection.body));
        let mut tries = 0;
        loop {
            let there = self.table.get(&key).await?;
            let expected = there.as_ref().map_or(Expected::Nothing, |item| Expected::Stamp(item.stamp));
            if let Some(before) = there.map(|item| item.read::<Refused>()).transpose()?
                && before.received.until(rejection.received) < window
            {
                return Ok(DeadLetterId(before.letter));
            }
            let (mut head, at_head) = self.head().await?;
            head.last_letter += 1;
            head.letters += 1;
            let refused = Refused { received: rejection.received, letter: head.last_letter };
            let expires = rejection.received.plus(window).plus(EXPIRY_SLACK);
            let mut trail = Trail::behind(&head);
            trail.push(queue::trail::rejected(DeadLetterId(head.last_letter), &rejection));
            let mut writes = trail.finish(&mut head)?;
            writes.push(head::write(&head, at_head)?);
            writes.push(Write::put(key.clone(), expected, &refused)?.expiring(expires));
            writes.extend(creation(head.last_letter, &letter)?);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(DeadLetterId(head.last_letter));
            }
            contended(tries).await?;
            tries += 1;
        }
    }
}
