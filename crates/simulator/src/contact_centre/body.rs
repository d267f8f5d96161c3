//! Puts what happened into the body of a request: envelopes, wrappers and batches.

use jiff::Timestamp;

use super::conversation::Happening;
use super::{Knobs, Source, analysis};
use crate::Uuid;
use crate::dice::Dice;
use crate::json;

/// The form in which a request's events are written.
#[derive(Debug, Clone)]
pub(super) enum Publication {
    /// EventBridge envelopes: an object, or an array for several events.
    Envelopes {
        /// Fields right under `detail` and not in `detail.eventBody`.
        flat: bool,
        /// Each envelope inside `{"requestPayload": …}`.
        wrapped: bool,
    },
    /// Webhook bodies; several are the `data` of one more, or an array.
    Webhooks {
        /// Several bodies are written as an array.
        bare_array: bool,
        /// A line end follows the body, which a signature has to cover.
        line_end: bool,
    },
}

impl Publication {
    pub(super) fn choose(dice: &mut Dice, knobs: &Knobs, source: Source) -> Self {
        match source {
            Source::EventBridge => {
                Self::Envelopes { flat: dice.chance(knobs.flat), wrapped: dice.chance(knobs.wrapped) }
            }
            Source::Genesys => Self::Webhooks { bare_array: dice.chance(0.3), line_end: dice.chance(knobs.odd) },
        }
    }
}

/// The body of a request with these events, published at `now_ms`; `happenings` must not be empty.
pub(super) fn write(
    dice: &mut Dice,
    publication: &Publication,
    organization: Uuid,
    now_ms: i64,
    happenings: &[Happening],
) -> String {
    let mut out = String::with_capacity(happenings.len() * 1_400);
    match *publication {
        Publication::Envelopes { flat, wrapped } => one_or_array(&mut out, happenings, |happening, out| {
            let envelope =
                Envelope { happening, flat, id: dice.uuid(), correlation: dice.uuid(), organization, now_ms };
            if wrapped {
                json::object(out, |wrapper| wrapper.object("requestPayload", |members| envelope.members(members)));
            } else {
                json::object(out, |members| envelope.members(members));
            }
        }),
        Publication::Webhooks { bare_array, line_end } => {
            if bare_array || happenings.len() == 1 {
                one_or_array(&mut out, happenings, |happening, out| out.push_str(&happening.body));
            } else {
                json::object(&mut out, |batch| {
                    batch.text("webhookEventId", dice.uuid().to_string());
                    batch.text("eventType", analysis::TOPIC);
                    batch.text("timestamp", time_with_millis(now_ms));
                    batch.array("data", happenings.len(), |index, out| out.push_str(&happenings[index].body));
                });
            }
            if line_end {
                out.push('\n');
            }
        }
    }
    out
}

fn one_or_array(out: &mut String, happenings: &[Happening], mut item: impl FnMut(&Happening, &mut String)) {
    match happenings {
        [only] => item(only, out),
        several => json::array(out, several.len(), |index, out| item(&several[index], out)),
    }
}

struct Envelope<'a> {
    happening: &'a Happening,
    flat: bool,
    id: Uuid,
    correlation: Uuid,
    organization: Uuid,
    now_ms: i64,
}

impl Envelope<'_> {
    fn members(&self, envelope: &mut json::Object<'_>) {
        let Happening { tag, topic, body, .. } = self.happening;
        envelope.text("version", "0");
        envelope.text("id", self.id.to_string());
        envelope.text("detail-type", format!("v2.detail.events.conversation.{{id}}.{topic}"));
        envelope.text("source", format!("aws.partner/genesys.com/cloud/{}/aftercall", self.organization));
        envelope.text("account", "000000000000");
        envelope.text("time", time_in_seconds(self.now_ms));
        envelope.text("region", "eu-central-1");
        envelope.array("resources", 0, |_, _| {});
        if self.flat {
            envelope.raw("detail", body);
            return;
        }
        envelope.object("detail", |detail| {
            detail.text("topicName", format!("v2.detail.events.conversation.{}.{topic}", tag.conversation()));
            detail.text("version", "2");
            detail.raw("eventBody", body);
            detail.object("metadata", |metadata| metadata.text("CorrelationId", self.correlation.to_string()));
            detail.text("timestamp", time_with_millis(self.now_ms));
        });
    }
}

/// RFC 3339 in UTC with milliseconds, as Genesys writes it.
pub(super) fn time_with_millis(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// RFC 3339 in UTC to the second, as EventBridge writes it.
fn time_in_seconds(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.0}"))
}
