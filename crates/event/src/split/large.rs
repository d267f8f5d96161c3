//! Splitting a body that is too large for memory: the same events as [`Splitter::split`] makes, with two passes.
//!
//! The first pass ([`Splitter::outline`]) looks at all of the body. It checks the grammar, every item and their number,
//! and finds where the batch is and what it lends its items. Only then does the second ([`Portions`]) make events, some
//! at a time. What the first has passed, the second cannot refuse, so a body is still taken whole or not at all.
//!
//! Three things differ from small bodies. A batch that states no id is identified by the SHA-256 of its bytes and not by
//! its content, which would have to be sorted in memory. A single event, and all that is around the batch's array, have
//! limits of their own ([`LargeLimits`]). And when several things are wrong with a body, another of them may be named.

use std::sync::Arc;

use super::around::{Around, Candidate, Walk, place};
use super::conversations::Conversations;
use super::items::{Collected, Items, Parent, Wrapping};
use super::stored::{Stored, Window};
use super::{Batch, Body, NewEvent, SourceKind, Splitter};
use crate::json::{self, Kind, Pointer, Scanner};
use crate::{BodyError, EventId, identity};

/// Largest event, or other single piece, of a body that is split without being in memory. Also the size up to which
/// bodies need not be split so. Some sixteen thousand times the usual event.
pub const MAX_PIECE_BYTES: usize = 16 * 1024 * 1024;

/// What splitting a large body may cost in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeLimits {
    /// Bytes of the body that are read at once, and of the events that are made at once. Default 256 KiB.
    pub window: usize,
    /// Bytes of an item, for which the window grows. Default [`MAX_PIECE_BYTES`].
    pub piece: usize,
    /// Bytes around the array of a batch. Default 1 MiB.
    pub around: usize,
    /// Events that are made at once. Default 2,048: half of a commit of the queue.
    pub events: usize,
}

impl Default for LargeLimits {
    fn default() -> Self {
        Self { window: 256 * 1024, piece: MAX_PIECE_BYTES, around: 1024 * 1024, events: 2_048 }
    }
}

/// A large body was not split.
#[derive(Debug, thiserror::Error)]
pub enum LargeError {
    /// It cannot become events.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It cannot be read back.
    #[error("the body cannot be read back: {0}")]
    Read(#[from] std::io::Error),
}

/// What was found out about a large body: where its batch is, and what that lends its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Where the array begins.
    at: u64,
    wrapped: bool,
    events: usize,
    stated: Option<EventId>,
    topic: Option<Arc<str>>,
    conversation: Option<Arc<str>>,
    conversations: Box<[u64]>,
}

impl Outline {
    /// How many events the body holds.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Gives away the [keys](crate::conversation_key) of the conversations that its events belong to, in ascending order.
    pub fn take_conversations(&mut self) -> Box<[u64]> {
        std::mem::take(&mut self.conversations)
    }
}

/// How far a batch's array has been gone through.
pub(super) struct Portion {
    wrapping: Wrapping,
    /// What is found out while the events are only checked; without it they are made.
    checked: Option<Conversations>,
    /// Items of the array so far.
    index: usize,
    /// Events so far.
    events: usize,
    /// Another item comes next.
    pub(super) more: bool,
    /// What is wrong with the first item that is no event.
    wrong: Option<BodyError>,
}

impl Portion {
    pub(super) fn checking(wrapping: Wrapping) -> Self {
        Self { checked: Some(Conversations::default()), ..Self::making(wrapping) }
    }

    fn making(wrapping: Wrapping) -> Self {
        Self { wrapping, checked: None, index: 0, events: 0, more: false, wrong: None }
    }

    /// The conversations of its events; those that say none belong to `inherited`.
    fn conversations(&mut self, inherited: Option<&str>) -> Box<[u64]> {
        self.checked.take().unwrap_or_default().keys(inherited)
    }
}

impl Splitter {
    /// Goes through a large body without making events: all that [`Self::split`] checks is checked.
    ///
    /// # Errors
    /// If anything in the body cannot become an event, if something in it is over its limit, or if it holds no batch.
    pub fn outline(&self, body: impl Stored, limits: LargeLimits) -> Result<Outline, LargeError> {
        let mut window = Window::new(body, 0, limits);
        let head = window.head()?;
        if let Some(encoding) = json::other_encoding(&head) {
            return Err(BodyError::Encoding { encoding }.into());
        }
        window.begin_at(json::mark_len(&head) as u64);
        let outline = match window.peek()?.map(Kind::of) {
            None => return Err(BodyError::Empty.into()),
            Some(Kind::Array) => self.outline_array(&mut window),
            Some(Kind::Object) => self.outline_object(&mut window),
            Some(found) => {
                window.take(|_| Ok(()), |scanner| scanner.skip().map(drop))?;
                at_end(&mut window)?;
                return Err(BodyError::NotAnEvent { found }.into());
            }
        }?;
        Ok(outline)
    }

    /// Makes the events of a body that has this outline. `digest` is the SHA-256 of all its bytes.
    pub fn portions<S: Stored>(&self, body: S, outline: Outline, digest: [u8; 32], limits: LargeLimits) -> Portions<S> {
        let window = Window::new(body, outline.at, limits);
        let wrapping = if outline.wrapped { Wrapping::Payload } else { Wrapping::None };
        let portion = Portion::making(wrapping);
        Portions { splitter: self.clone(), window, outline, digest, portion, begun: false }
    }

    fn outline_array(&self, window: &mut Window<impl Stored>) -> Result<Outline, LargeError> {
        let at = window.place();
        let wrapping = match self.kind {
            SourceKind::Webhook if self.batch == Batch::Never => return Err(BodyError::NotSplit.into()),
            SourceKind::Webhook => Wrapping::None,
            SourceKind::EventBridge => Wrapping::Payload,
        };
        let mut found = Portion::checking(wrapping);
        found.more = window.take(|_| Ok(()), |scanner| Ok(scanner.enter_array()))?;
        while found.more {
            portion(window, self, &mut found, None)?;
            if let Some(wrong) = found.wrong {
                return Err(wrong.into());
            }
        }
        at_end(window)?;
        let wrapped = wrapping == Wrapping::Payload;
        let conversations = found.conversations(None);
        Ok(Outline { at, wrapped, events: found.events, stated: None, topic: None, conversation: None, conversations })
    }

    fn outline_object(&self, window: &mut Window<impl Stored>) -> Result<Outline, LargeError> {
        let limits = window.limits();
        let alone = || BodyError::NoLargeBatch { max: limits.piece, around: limits.around };
        let Some(path) = self.path() else { return Err(alone().into()) };
        let around = Around::new(limits.around, limits.piece);
        let mut walk = Walk { window, splitter: self, path, around, candidate: None };
        walk.value(0)?;
        at_end(walk.window)?;
        let Walk { around, candidate, .. } = walk;
        let whole = Body { bytes: &bytes::Bytes::new(), text: around.text() };
        let fields = self.reader.read(whole.text).map_err(|fault| whole.error(fault))?;
        let is_batch = match self.kind {
            SourceKind::EventBridge => fields.request_payload().is_some(),
            SourceKind::Webhook => true,
        };
        let Some(Candidate { at, mut portion }) = candidate.filter(|_| is_batch) else { return Err(alone().into()) };
        if let Some(wrong) = portion.wrong.take() {
            return Err(wrong.into());
        }
        let (mut stated, mut topic, mut conversation) = (None, None, None);
        if self.kind == SourceKind::Webhook {
            // An empty array makes no batch.
            if portion.events == 0 {
                return Err(alone().into());
            }
            stated = identity::stated(&fields);
            (topic, conversation) = (fields.topic().map(Arc::from), fields.conversation().map(Arc::from));
        }
        let conversations = portion.conversations(conversation.as_deref());
        Ok(Outline { at, wrapped: false, events: portion.events, stated, topic, conversation, conversations })
    }

    /// The names on the way to the array of a batch in an object, if it can be in one.
    fn path(&self) -> Option<Vec<String>> {
        match (self.kind, &self.batch) {
            (SourceKind::EventBridge, _) => Some(vec!["requestPayload".to_owned()]),
            (SourceKind::Webhook, Batch::Auto) => Some(vec!["data".to_owned()]),
            (SourceKind::Webhook, Batch::At(pointer)) => Some(pointer.tokens().map(str::to_owned).collect()),
            (SourceKind::Webhook, Batch::Never) => None,
        }
    }

    /// How many of the first items of a batch the settings point into, to find what the batch says of itself.
    pub(super) fn pointed_items<'p>(batch: &Batch, pointers: impl Iterator<Item = &'p Pointer>) -> usize {
        let path: Vec<&str> = match batch {
            Batch::Auto => vec!["data"],
            Batch::At(pointer) => pointer.tokens().collect(),
            Batch::Never => return 0,
        };
        let into = |pointer: &Pointer| {
            let tokens: Vec<&str> = pointer.tokens().collect();
            let rest = tokens.strip_prefix(path.as_slice())?;
            place(rest.first()?).map(|place| place.saturating_add(1))
        };
        pointers.filter_map(into).max().unwrap_or(0)
    }
}

fn at_end(window: &mut Window<impl Stored>) -> Result<(), LargeError> {
    match window.peek()? {
        None => Ok(()),
        Some(_) => window.take(|_| Ok(()), |scanner| scanner.end()),
    }
}

/// The events of a large body, some at a time.
pub struct Portions<S> {
    splitter: Splitter,
    window: Window<S>,
    outline: Outline,
    digest: [u8; 32],
    portion: Portion,
    begun: bool,
}

impl<S: Stored> Portions<S> {
    /// The next events, in their order: at least one, but for the end.
    ///
    /// # Errors
    /// If the body cannot be read, or is not the one that the outline was made of.
    pub fn next_events(&mut self) -> Result<Option<Vec<NewEvent>>, LargeError> {
        if !self.begun {
            self.portion.more = self.window.take(|_| Ok(()), |scanner| Ok(scanner.enter_array()))?;
            self.begun = true;
        }
        while self.portion.more {
            let items = portion(&mut self.window, &self.splitter, &mut self.portion, None)?;
            if let Some(wrong) = self.portion.wrong.take() {
                return Err(wrong.into());
            }
            let Outline { stated, topic, conversation, .. } = &self.outline;
            let unstated = || EventId::from_identity("batch", [self.digest.as_slice()]);
            let parent = Parent::of_large(*stated, unstated, topic.clone(), conversation.clone());
            let events = items.of_batch(&parent);
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        Ok(None)
    }
}

/// Takes as many items as are whole in the window, and reads on if that is none. Those that settings point into are
/// copied to `around`. What is wrong with an item is noted, so that the rest is still gone through.
pub(super) fn portion<S: Stored>(
    window: &mut Window<S>,
    splitter: &Splitter,
    portion: &mut Portion,
    mut around: Option<&mut Around>,
) -> Result<Collected, LargeError> {
    loop {
        let (bytes, text) = window.rest()?;
        let body = Body { bytes: &bytes, text };
        let mut items = Items::going_on(splitter, &body, portion.events, portion.checked.as_mut());
        let mut scanner = Scanner::new(text);
        let mut taken = 0;
        while portion.more && items.len() < window.limits().events {
            let unit = splitter.reader.take(&mut scanner);
            let unit = unit.and_then(|fields| Ok((fields, scanner.next_element()?)));
            let (fields, more) = match unit {
                Ok(unit) => unit,
                Err(fault) if window.is_real(fault, text.len()) => return Err(window.fault(fault)),
                Err(_) => break,
            };
            if portion.wrong.is_none() {
                portion.wrong = items.in_turn(portion.index, &fields, portion.wrapping).err();
            }
            if let Some(around) = around.as_deref_mut().filter(|_| portion.index < splitter.pointed) {
                around.push(if portion.index == 0 { "" } else { "," })?;
                around.push(fields.value().as_str())?;
            }
            (portion.index, portion.more, taken) = (portion.index + 1, more, scanner.at());
        }
        portion.events += items.len();
        let collected = items.collected();
        window.pass(taken);
        if taken > 0 {
            return Ok(collected);
        }
        window.more()?;
    }
}
