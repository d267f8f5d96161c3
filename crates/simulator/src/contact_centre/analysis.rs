//! The post-call analysis: what was said, how it sounded and what was not in order, as a webhook's body.

use super::{Knobs, body, wording};
use crate::dice::Dice;
use crate::json;
use crate::{Tag, Uuid};

/// The webhook's `eventType`.
pub(super) const TOPIC: &str = "conversation.analysis.completed";

/// The `data` of an analysis of what this agent said last.
pub(super) fn data(dice: &mut Dice, knobs: &Knobs, agent: Uuid, agent_name: &str) -> String {
    let mut text = String::with_capacity(600);
    let intents = some(dice, wording::INTENTS, 2);
    let keywords = some(dice, wording::KEYWORDS, 4);
    let violations = if dice.chance(0.15) { some(dice, wording::VIOLATIONS, 2) } else { Vec::new() };
    json::object(&mut text, |data| {
        data.text("agentId", agent.to_string());
        data.text("agentName", agent_name);
        data.object("sentiment", |sentiment| {
            if dice.chance(0.8) {
                sentiment.text("overall", dice.pick(wording::SENTIMENTS));
            } else {
                sentiment.raw("overall", unit_number(dice, knobs));
            }
            sentiment.raw("trend", unit_number(dice, knobs));
        });
        data.array("intents", intents.len(), |index, out| {
            json::object(out, |intent| {
                intent.text("name", intents[index]);
                intent.raw("confidence", unit_number(dice, knobs));
            });
        });
        data.texts("keywords", &keywords);
        data.texts("complianceViolations", &violations);
        data.raw("talkSeconds", number(dice, knobs, 15, 1_800));
    });
    text
}

/// The whole body of the webhook.
pub(super) fn webhook(dice: &mut Dice, tag: Tag, at_ms: i64, data: &str) -> String {
    let mut text = String::with_capacity(900);
    json::object(&mut text, |webhook| {
        webhook.text("webhookEventId", dice.uuid().to_string());
        webhook.text("eventType", TOPIC);
        webhook.text("timestamp", body::time_with_millis(at_ms));
        webhook.text("conversationId", tag.conversation().to_string());
        webhook.raw("data", data);
        webhook.text(Tag::MEMBER, tag.to_string());
    });
    text
}

/// Up to `most` of the choices, each at most once and at least one.
fn some(dice: &mut Dice, choices: &[&'static str], most: u64) -> Vec<&'static str> {
    let mut picked: Vec<_> = (0..dice.between(1, most)).map(|_| dice.pick(choices)).collect();
    picked.sort_unstable();
    picked.dedup();
    picked
}

/// A number from -1 to 1 with as many digits as it happens to have, or an odd one.
fn unit_number(dice: &mut Dice, knobs: &Knobs) -> String {
    if dice.chance(knobs.odd) {
        return dice.pick(wording::ODD_NUMBERS).to_owned();
    }
    let (sign, digits) = (if dice.chance(0.5) { "-" } else { "" }, dice.between(1, 6) as usize);
    format!("{sign}0.{:0digits$}", dice.below(10u64.pow(digits as u32)))
}

fn number(dice: &mut Dice, knobs: &Knobs, low: u64, high: u64) -> String {
    if dice.chance(knobs.odd) {
        dice.pick(wording::ODD_NUMBERS).to_owned()
    } else {
        dice.between(low, high).to_string()
    }
}
