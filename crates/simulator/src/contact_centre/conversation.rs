//! The life-cycle of one conversation: who joins and leaves when, and what is published about it.

use std::sync::Arc;

use super::{Knobs, Source, analysis, wording};
use crate::dice::Dice;
use crate::json::{self, Object};
use crate::{Tag, Uuid};

/// Something that happened in a conversation and is published once.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) tag: Tag,
    pub(super) source: Source,
    /// The last parts of the topic's name, such as `user.end`.
    pub(super) topic: &'static str,
    /// When it is due to be emitted, in milliseconds of Unix time.
    pub(super) emit_ms: i64,
    /// The business fields as a JSON object: an envelope's `eventBody`, or the whole body of a webhook.
    pub(super) body: Arc<str>,
    /// The contact centre may open another conversation after this one.
    pub(super) ends_conversation: bool,
}

/// All that happens in one conversation that starts at `start_ms`, in order; never empty.
pub(super) fn plan(dice: &mut Dice, knobs: &Knobs, start_ms: i64) -> Vec<Happening> {
    let mut plot = Plot::new(dice, knobs, start_ms);
    if plot.dice.chance(knobs.abandoned) {
        plot.customer_gives_up();
    } else {
        plot.agents_help();
    }
    plot.into_happenings()
}

/// Who takes part: a participant of the conversation with the session of its leg.
#[derive(Clone, Copy)]
struct Party {
    participant: Uuid,
    session: Uuid,
}

/// A scene on the way to becoming a [`Happening`]; ordinals are only known once all scenes are.
struct Scene {
    at_ms: i64,
    topic: &'static str,
    party: Option<Party>,
    /// The scene's own members: a JSON object.
    own: String,
}

struct Plot<'a> {
    dice: &'a mut Dice,
    knobs: &'a Knobs,
    id: Uuid,
    media: (&'static str, &'static str),
    direction: &'static str,
    phone: u64,
    contact: Uuid,
    queue: Uuid,
    division: Uuid,
    customer: Party,
    now_ms: i64,
    scenes: Vec<Scene>,
}

impl<'a> Plot<'a> {
    fn new(dice: &'a mut Dice, knobs: &'a Knobs, start_ms: i64) -> Self {
        let media = *dice.pick(wording::MEDIA);
        Self {
            id: dice.uuid(),
            media,
            direction: if dice.chance(0.8) { "INBOUND" } else { "OUTBOUND" },
            phone: dice.between(100, 9_999_999),
            contact: dice.uuid(),
            queue: named("queue", dice.below(6)),
            division: named("division", dice.below(2)),
            customer: Party { participant: dice.uuid(), session: dice.uuid() },
            now_ms: start_ms,
            scenes: Vec::new(),
            dice,
            knobs,
        }
    }

    fn customer_gives_up(&mut self) {
        self.customer_arrives();
        let waited = self.pass(3_000, 240_000);
        self.queue_ends("ABANDON", None, waited);
        self.pass(1, 20);
        self.customer_leaves("CLIENT", waited);
    }

    fn agents_help(&mut self) {
        let began = self.now_ms;
        self.customer_arrives();
        let mut last_acw = self.now_ms;
        let mut agents = 0;
        let mut agent;
        loop {
            agents += 1;
            agent = self.dice.below(wording::AGENTS.len() as u64);
            let transfers = agents < self.knobs.agents_max && self.dice.chance(self.knobs.transferred);
            let waited = self.pass(500, 90_000);
            self.queue_ends("ANSWERED", Some(agent), waited);
            last_acw = last_acw.max(self.agent_session(agent, transfers));
            if !transfers {
                break;
            }
            self.pass(200, 8_000);
            self.queue_begins();
        }
        self.pass(1, 40);
        self.customer_leaves("PEER", (self.now_ms - began).unsigned_abs());
        self.analyses(agent, last_acw.max(self.now_ms));
    }

    fn customer_arrives(&mut self) {
        let (contact, division) = (self.contact, self.division);
        self.scene("customer.start", Some(self.customer), |own| {
            own.text("externalContactId", contact.to_string());
            own.text("divisionId", division.to_string());
        });
        self.pass(20, 400);
        if self.dice.chance(0.3) {
            self.flow_outcome();
        }
        self.queue_begins();
    }

    fn flow_outcome(&mut self) {
        let began = self.now_ms;
        self.pass(4_000, 40_000);
        let (flow, outcome, ended) =
            (named("flow", self.dice.below(3)), named("outcome", self.dice.below(4)), self.now_ms);
        let value = self.dice.pick(&["SUCCESS", "FAILURE"]);
        self.scene("flow.outcome", Some(self.customer), |own| {
            own.text("flowId", flow.to_string());
            own.text("flowVersion", "12.0");
            own.text("flowType", "INBOUNDCALL");
            own.text("flowOutcomeId", outcome.to_string());
            own.raw("flowOutcomeStartTime", began.to_string());
            own.raw("flowOutcomeEndTime", ended.to_string());
            own.text("flowOutcomeValue", value);
            own.array("flowMilestones", 0, |_, _| {});
        });
    }

    fn queue_begins(&mut self) {
        let queue = self.queue;
        self.scene("acd.start", Some(self.customer), |own| own.text("queueId", queue.to_string()));
    }

    fn queue_ends(&mut self, outcome: &str, answered_by: Option<u64>, waited: u64) {
        let (queue, priority) = (self.queue, self.dice.below(5));
        self.scene("acd.end", Some(self.customer), |own| {
            own.text("queueId", queue.to_string());
            own.text("acdOutcome", outcome);
            if let Some(agent) = answered_by {
                own.text("answeredUserId", named("agent", agent).to_string());
            }
            own.raw("connectedDurationMs", waited.to_string());
            own.raw("routingPriority", priority.to_string());
        });
    }

    /// An agent joins, talks, leaves and wraps up. Returns when the wrap-up ended; the plot goes on when the agent has left.
    fn agent_session(&mut self, agent: u64, transfers: bool) -> i64 {
        let party = Party { participant: self.dice.uuid(), session: self.dice.uuid() };
        let (user, queue, division) =
            (named("agent", agent).to_string(), self.queue.to_string(), self.division.to_string());
        let who = |own: &mut Object<'_>| {
            own.text("userId", &user);
            own.text("queueId", &queue);
            own.text("divisionId", &division);
        };
        self.scene("user.start", Some(party), who);
        let alerting = self.dice.between(500, 9_000);
        let talked = self.pass(15_000, 900_000);
        let held = if self.dice.chance(0.3) { self.dice.below(talked / 3) } else { 0 };
        self.scene("user.end", Some(party), |own| {
            who(own);
            own.text("disconnectType", if transfers { "TRANSFER" } else { "CLIENT" });
            own.raw("interactingDurationMs", (talked - held).to_string());
            own.raw("heldDurationMs", held.to_string());
            own.raw("alertingDurationMs", alerting.to_string());
        });
        let left = self.now_ms;
        self.wrap_up(party, &user, &queue);
        std::mem::replace(&mut self.now_ms, left)
    }

    /// `acw` and `wrapup` tell the same, the second without naming the agent.
    fn wrap_up(&mut self, party: Party, user: &str, queue: &str) {
        let took = self.pass(2_000, 120_000);
        let reserved = self.dice.chance(0.2);
        let odd = self.dice.chance(self.knobs.odd);
        let code = if reserved { self.dice.pick(wording::RESERVED_CODES).to_owned() } else { self.wrapup_code() };
        let escaped = self.dice.pick(wording::ESCAPED_NOTES);
        let note = self.dice.pick(wording::NOTES);
        let codes = |own: &mut Object<'_>| {
            own.text("queueId", queue);
            own.text("wrapupCode", &code);
            match (reserved, odd) {
                (true, _) => {}
                (false, true) => own.raw("wrapupNotes", escaped),
                (false, false) => own.text("wrapupNotes", note),
            }
            own.raw("wrapupDurationMs", took.to_string());
        };
        self.scene("acw", Some(party), |own| {
            own.text("userId", user);
            codes(own);
        });
        self.now_ms += 1;
        self.scene("wrapup", Some(party), codes);
    }

    fn wrapup_code(&mut self) -> String {
        named("wrapupCode", self.dice.below(20)).to_string()
    }

    fn customer_leaves(&mut self, disconnect: &str, stayed: u64) {
        let (contact, division) = (self.contact, self.division);
        self.scene("customer.end", Some(self.customer), |own| {
            own.text("disconnectType", disconnect);
            own.text("externalContactId", contact.to_string());
            own.text("divisionId", division.to_string());
            own.raw("interactingDurationMs", stayed.to_string());
        });
    }

    /// Analytics come some time after the last wrap-up, in rounds; one in ten is followed by a revision.
    fn analyses(&mut self, agent: u64, after_ms: i64) {
        const ROUND_MS: i64 = 10_000;
        self.now_ms = after_ms;
        loop {
            self.pass(20_000, 180_000);
            self.now_ms += ROUND_MS - self.now_ms % ROUND_MS;
            let own = analysis::data(self.dice, self.knobs, named("agent", agent), wording::AGENTS[agent as usize]);
            self.scenes.push(Scene { at_ms: self.now_ms, topic: analysis::TOPIC, party: None, own });
            if !self.dice.chance(0.1) {
                break;
            }
        }
    }

    /// Lets time pass; returns how much, in milliseconds.
    fn pass(&mut self, low_ms: u64, high_ms: u64) -> u64 {
        let passed = self.dice.between(low_ms, high_ms);
        self.now_ms += passed as i64;
        passed
    }

    fn scene(&mut self, topic: &'static str, party: Option<Party>, own: impl FnOnce(&mut Object<'_>)) {
        let mut text = String::new();
        json::object(&mut text, own);
        self.scenes.push(Scene { at_ms: self.now_ms, topic, party, own: text });
    }

    /// Puts the scenes into the order of time, and gives each its ordinal and a time of its own.
    fn into_happenings(mut self) -> Vec<Happening> {
        let mut scenes = std::mem::take(&mut self.scenes);
        scenes.sort_by_key(|scene| scene.at_ms);
        let (mut at_ms, mut emit_ms) = (i64::MIN, i64::MIN);
        let mut happenings = Vec::with_capacity(scenes.len());
        for (ordinal, scene) in scenes.into_iter().enumerate() {
            at_ms = scene.at_ms.max(at_ms.saturating_add(1));
            emit_ms = emit_ms.max(at_ms + self.dice.between(40, 500) as i64);
            let late_ms =
                if self.dice.chance(self.knobs.reordered) { self.dice.between(5_000, 120_000) as i64 } else { 0 };
            let tag = Tag::new(self.id, ordinal as u32);
            let (source, body) = match scene.party {
                Some(party) => (Source::EventBridge, self.event_body(tag, at_ms, party, &scene.own)),
                None => (Source::Genesys, analysis::webhook(self.dice, tag, at_ms, &scene.own)),
            };
            happenings.push(Happening {
                tag,
                source,
                topic: scene.topic,
                emit_ms: emit_ms + late_ms,
                body: body.into(),
                ends_conversation: false,
            });
        }
        happenings
    }

    fn event_body(&self, tag: Tag, at_ms: i64, party: Party, own: &str) -> String {
        let mut text = String::with_capacity(900);
        json::object(&mut text, |body| {
            body.raw("eventTime", at_ms.to_string());
            body.text("conversationId", self.id.to_string());
            body.text("participantId", party.participant.to_string());
            body.text("sessionId", party.session.to_string());
            body.text("mediaType", self.media.0);
            body.text("provider", self.media.1);
            body.text("direction", self.direction);
            body.text("ani", format!("tel:+1555{:07}", self.phone));
            body.text("dnis", "tel:+15550100100");
            body.members(own);
            body.texts("conversationExternalContactIds", &[self.contact.to_string()]);
            body.text(Tag::MEMBER, tag.to_string());
        });
        text
    }
}

/// The id that a thing of the contact centre always has: its queues, agents and codes are the same for every seed.
fn named(what: &str, number: u64) -> Uuid {
    Uuid::random(
        u128::from(xxhash_rust::xxh3::xxh3_64_with_seed(what.as_bytes(), number))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    )
}
