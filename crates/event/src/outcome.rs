//! The *outcome*: one record of what became of a call, made of whatever shape the event has that tells it.
//!
//! It is made of one event and of nothing else, so the same event always has the same outcome. What it has, where each
//! field comes from, and the rules for scales, labels and severities stand in `docs/outcome.md`; the code of each rule
//! names its source.
//!
//! Four things hold for every body:
//! - A field has one type, always; what is missing is null, and a list is empty.
//! - Nothing is guessed. A value of a known name that cannot be understood is in [`Outcome::unrecognised`] as it was
//!   written, and a member of an unknown name in [`Outcome::extra`].
//! - Making it cannot fail. A body that is no JSON object tells nothing, so of it only what is known of the event is there.
//! - Nothing is copied but strings with escapes in them. Numbers that are only handed on keep their digits.
//!
//! Business fields stand in several places ([`Seat`]). Where a name stands in more than one, the innermost counts, and
//! the others are kept in [`Outcome::extra`]. Of members with the same name in one object the last one counts.

mod compliance;
mod json;
mod leftovers;
mod lists;
mod measures;
mod members;
mod names;
mod object;
mod seat;
mod sentiment;
mod time;
mod value;
mod wrapup;
mod write;

use std::borrow::Cow;

use crate::{Event, EventId, Timestamp};

pub use compliance::{Compliance, MAX_VIOLATIONS, Severity, Violation};
pub use json::{ExtraText, FREE_PATH, PATHS};
pub use leftovers::{Leftover, Path};
pub use lists::{Empathy, Intent, MAX_ELEMENTS, Topic};
pub use measures::{Durations, Talk};
pub use members::MAX_EXTRA;
pub use object::MAX_INNER_MEMBERS;
pub use sentiment::{Label, Scale, Sentiment, TrendClass};
pub use value::Number;
pub use wrapup::{CodeKind, Wrapup};

use leftovers::Leftovers;
use members::Members;
use names::Name;
#[cfg(doc)]
use seat::Seat;
use value::Member;

/// Version of the record: the number changes when a field changes its meaning or its type, or goes. A new field does not
/// change it.
pub const SCHEMA: u32 = 1;

/// What became of a call, as far as one event tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<'a> {
    /// The event's id.
    pub event_id: EventId,
    /// The source that it came in by.
    pub source: &'a str,
    /// What kind of event it is.
    pub topic: Option<&'a str>,
    /// When it was received.
    pub received_at: Option<Timestamp>,
    /// When what it tells of happened: `eventTime`, else `timestamp`, else the `time` of an EventBridge envelope.
    pub occurred_at: Option<Timestamp>,
    /// The conversation, as routes and destinations know it.
    pub conversation_id: Option<&'a str>,
    /// `participantId`.
    pub participant_id: Option<Cow<'a, str>>,
    /// `sessionId`.
    pub session_id: Option<Cow<'a, str>>,
    /// `agentId` of a webhook, else `userId` of Genesys' events.
    pub agent_id: Option<Cow<'a, str>>,
    /// `queueId`.
    pub queue_id: Option<Cow<'a, str>>,
    /// `divisionId`.
    pub division_id: Option<Cow<'a, str>>,
    /// `mediaType`, in upper case.
    pub media_type: Option<Cow<'a, str>>,
    /// `direction`, in upper case.
    pub direction: Option<Cow<'a, str>>,
    /// How the customer felt.
    pub sentiment: Sentiment<'a>,
    /// How much empathy each agent showed.
    pub empathy: Vec<Empathy<'a>>,
    /// What the customer wanted.
    pub intents: Vec<Intent<'a>>,
    /// What was said.
    pub keywords: Vec<Cow<'a, str>>,
    /// Topics that were detected.
    pub topics: Vec<Topic<'a>>,
    /// Ids of the categories that the conversation fell in.
    pub categories: Vec<Cow<'a, str>>,
    /// What the agent made of it.
    pub wrapup: Wrapup<'a>,
    /// `disconnectType`, in upper case.
    pub disconnect_type: Option<Cow<'a, str>>,
    /// How long what took.
    pub durations: Durations,
    /// Who talked how much.
    pub talk: Talk<'a>,
    /// What was not in order.
    pub compliance: Compliance<'a>,
    /// `transcriptUri`: where the transcript is. Only the event says it that is published when one was stored.
    pub transcript_uri: Option<Cow<'a, str>>,
    /// Values of known names that could not be understood, as they are written.
    pub unrecognised: Vec<Leftover<'a>>,
    /// Members of unknown names, as they are written.
    pub extra: Vec<Leftover<'a>>,
}

impl<'a> Outcome<'a> {
    /// What an event tells.
    pub fn of(event: &'a Event) -> Self {
        let mut members = Members::of(&event.body);
        let mut left = Leftovers::default();
        members.drop_envelope(&event.topic);
        members.conversation(event.conversation.as_deref(), &mut left);
        for wrapper in [Name::Detail, Name::EventBody, Name::Data] {
            // A wrapper that is taken as a member is not an object.
            members.take(wrapper).into_iter().for_each(|member| left.unrecognised(member));
        }
        let mut outcome = Self {
            event_id: event.id,
            source: &event.source,
            topic: Some(&*event.topic).filter(|topic| !topic.is_empty()),
            received_at: time::in_range(event.received),
            occurred_at: time::occurred(&mut members, &mut left),
            conversation_id: event.conversation.as_deref(),
            participant_id: members.name(Name::ParticipantId, &mut left),
            session_id: members.name(Name::SessionId, &mut left),
            agent_id: members.first([Name::AgentId, Name::UserId], Member::name, &mut left),
            queue_id: members.name(Name::QueueId, &mut left),
            division_id: members.name(Name::DivisionId, &mut left),
            media_type: members.word(Name::MediaType, &mut left),
            direction: members.word(Name::Direction, &mut left),
            sentiment: Sentiment::read(&mut members, &mut left),
            empathy: lists::empathy(&mut members, &mut left),
            intents: lists::intents(&mut members, &mut left),
            keywords: lists::keywords(&mut members, &mut left),
            topics: lists::topics(&mut members, &mut left),
            categories: lists::categories(&mut members, &mut left),
            wrapup: Wrapup::read(&mut members, &mut left),
            disconnect_type: members.word(Name::DisconnectType, &mut left),
            durations: Durations::read(&mut members, &mut left),
            talk: Talk::read(&mut members, &mut left),
            compliance: Compliance::read(&mut members, &mut left),
            transcript_uri: members.name(Name::TranscriptUri, &mut left),
            unrecognised: Vec::new(),
            extra: Vec::new(),
        };
        members.leave(&mut left);
        (outcome.unrecognised, outcome.extra) = left.into_parts();
        outcome
    }
}

#[cfg(test)]
mod tests;
