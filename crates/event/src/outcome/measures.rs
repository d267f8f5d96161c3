//! How long what took, and who talked how much.

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::object::Object;
use super::value::Number;

/// Times of a session, in milliseconds (SDK, the detail events `user.end`, `customer.end` and `acd.end`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the members")]
pub struct Durations {
    pub interacting_ms: Option<i64>,
    pub held_ms: Option<i64>,
    pub alerting_ms: Option<i64>,
    pub contacting_ms: Option<i64>,
    pub dialing_ms: Option<i64>,
    pub callback_ms: Option<i64>,
    pub connected_ms: Option<i64>,
}

/// `participantMetrics` of the speech and text analytics API: percentages of the conversation.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are those of the members")]
pub struct Talk<'a> {
    pub agent_percent: Option<Number<'a>>,
    pub customer_percent: Option<Number<'a>>,
    pub silence_percent: Option<Number<'a>>,
    pub ivr_percent: Option<Number<'a>>,
    pub acd_percent: Option<Number<'a>>,
    pub overtalk_percent: Option<Number<'a>>,
    pub other_percent: Option<Number<'a>>,
    pub overtalk_count: Option<i64>,
}

impl Durations {
    pub(super) fn read<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Self {
        let mut read = |name| members.take(name).and_then(|member| member.whole(left));
        Self {
            interacting_ms: read(Name::InteractingDurationMs),
            held_ms: read(Name::HeldDurationMs),
            alerting_ms: read(Name::AlertingDurationMs),
            contacting_ms: read(Name::ContactingDurationMs),
            dialing_ms: read(Name::DialingDurationMs),
            callback_ms: read(Name::CallbackDurationMs),
            connected_ms: read(Name::ConnectedDurationMs),
        }
    }
}

impl<'a> Talk<'a> {
    pub(super) fn read(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Self {
        let Some(member) = members.take(Name::ParticipantMetrics) else { return Self::default() };
        let Some(mut object) = member.or_unrecognised(Object::read(member), left) else { return Self::default() };
        let mut percent = |name| object.take(name).and_then(|member| member.number(left));
        let talk = Self {
            agent_percent: percent("agentDurationPercentage"),
            customer_percent: percent("customerDurationPercentage"),
            silence_percent: percent("silenceDurationPercentage"),
            ivr_percent: percent("ivrDurationPercentage"),
            acd_percent: percent("acdDurationPercentage"),
            overtalk_percent: percent("overtalkDurationPercentage"),
            other_percent: percent("otherDurationPercentage"),
            overtalk_count: object.take("overtalkCount").and_then(|member| member.whole(left)),
        };
        object.leave(left);
        talk
    }
}
