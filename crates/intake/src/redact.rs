//! What a source's rules for redaction do: no body of it is stored as it came.
//!
//! Events are redacted after their identity, conversation and topic were taken, so an event that is sent again is known
//! however rules and keys have changed. A body that no rule can be applied to (it is no JSON, or nobody has vouched for it)
//! is sealed, and opened again when it is shown, released or mended. A source without rules pays nothing.

use std::sync::Arc;

use bytes::Bytes;
use event::BodyError;
use queue::{Content, Mention};
use redaction::{Redactor, Rekey};

use crate::options::SEARCHED_AT_A_TIME;
use crate::quarantine::{Quarantine, QuarantineError, QuarantineQuery, QuarantineSelection};
use crate::server::Shared;
use crate::source::{ServedSource, Source};

/// Why an authentic body is no event. Sending it again would not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It cannot be split.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It cannot be redacted.
    #[error("the body cannot be redacted: {0}")]
    Redaction(redaction::Error),
}

/// The events of a body, as they are stored.
pub(crate) struct Events {
    pub(crate) events: Vec<queue::NewEvent>,
    /// How the queue tells a duplicate of one from a conflict.
    pub(crate) content: Content,
}

impl Events {
    /// The bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.body.len()).sum()
    }
}

/// Makes events of a body.
pub(crate) fn events(served: &ServedSource, body: &Bytes) -> Result<Events, Unusable> {
    let events = served.splitter.split(body)?;
    dressed(served.source.redaction.as_ref(), events, body.len()).map_err(Unusable::Redaction)
}

/// Events as they are stored; `bytes` is the size of what they were made of.
pub(crate) fn dressed(
    redactor: Option<&Arc<Redactor>>,
    events: Vec<event::NewEvent>,
    bytes: usize,
) -> Result<Events, redaction::Error> {
    let Some(redactor) = redactor else {
        return Ok(Events { events, content: Content::Plain(event::content_hash) });
    };
    let content = content(redactor, &events);
    let max = redaction::limits::redacted_max(bytes);
    let mut left = max;
    let redacted = |mut event: event::NewEvent| -> Result<_, redaction::Error> {
        event.body = redactor.apply_within(&event.body, left).map_err(|error| match error {
            redaction::Error::TooLarge { .. } => redaction::Error::TooLarge { max },
            error => error,
        })?;
        left = left.saturating_sub(event.body.len());
        Ok(event)
    };
    let events = events.into_iter().map(redacted).collect::<Result<_, _>>()?;
    Ok(Events { events, content })
}

/// While there are several keys, what was stored with another one is compared as if it had been made with the first.
fn content(redactor: &Arc<Redactor>, events: &[event::NewEvent]) -> Content {
    match Rekey::new(redactor, events.iter().map(|event| event.body.clone())) {
        None => Content::Plain(event::content_hash),
        Some(rekey) => Content::Known(Arc::new(move |body| event::content_hash(&rekey.now(body)))),
    }
}

/// A body that is no event, as it is stored.
pub(crate) fn unreadable(source: &Source, body: Bytes) -> Result<Bytes, redaction::Error> {
    match &source.redaction {
        Some(redactor) => redactor.keys().seal(&source.name, &body),
        None => Ok(body),
    }
}

/// The body of a refused request, as it is kept; `None` if it cannot be.
pub(crate) fn kept(source: &Source, body: &Bytes) -> Option<Bytes> {
    match &source.redaction {
        Some(redactor) => {
            let sealed = redactor.keys().seal(&source.name, body);
            sealed.inspect_err(|error| tracing::error!(%error, "a refused request is not kept")).ok()
        }
        // A piece of a larger buffer would keep all of it.
        None => Some(Bytes::copy_from_slice(body)),
    }
}

impl Shared {
    /// A stored body as it came.
    pub(crate) fn opened(&self, source: &str, body: Bytes) -> Result<Bytes, redaction::Error> {
        redaction::Keys::opened(self.redaction_keys.load().as_deref(), source, body)
    }

    /// Whether a body is sealed, can be opened, and mentions a conversation. Whoever has no key for one cannot say so, and
    /// cannot read it.
    pub(crate) fn sealed_mentions(&self, source: &str, body: Bytes, conversation: &Mention) -> bool {
        redaction::is_sealed(&body) && self.opened(source, body).is_ok_and(|body| conversation.is_in(&body))
    }
}

/// See [`crate::Handle::erase_refused`]. Sealed requests go first, since what is left of any on the disk is erased with
/// the others.
pub(crate) async fn erase_refused(shared: &Shared, conversation: &str, dry_run: bool) -> Result<u64, QuarantineError> {
    let closed = || QuarantineError::Closed("this server has none".to_owned());
    let quarantine = &**shared.quarantine.get().ok_or_else(closed)?;
    let sealed = match shared.redaction_keys.load().is_some() {
        true => sealed_mentioning(shared, quarantine, conversation).await?,
        false => Vec::new(),
    };
    let mut erased = sealed.len() as u64;
    if !dry_run && !sealed.is_empty() {
        erased = quarantine.remove(QuarantineSelection::Ids(sealed)).await?;
    }
    Ok(erased + quarantine.erase(conversation.to_owned(), dry_run).await?)
}

/// The sealed requests whose bodies name a conversation.
async fn sealed_mentioning(
    shared: &Shared,
    quarantine: &dyn Quarantine,
    conversation: &str,
) -> Result<Vec<u64>, QuarantineError> {
    let mention = Mention::of(conversation);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = QuarantineQuery { source: None, after, limit: SEARCHED_AT_A_TIME };
        let page = quarantine.list(page).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        for entry in page {
            let Some(request) = quarantine.read(entry.id).await? else { continue };
            if shared.sealed_mentions(&request.source, request.body, &mention) {
                found.push(entry.id);
            }
        }
    }
}
