//! An outcome as JSON text.

use std::collections::HashSet;
use std::ops::Range;

use super::write::{Object, Out, Write};
use super::{
    CodeKind, Compliance, Durations, Empathy, Intent, Label, Leftover, Outcome, SCHEMA, Scale, Sentiment, Severity,
    Talk, Topic, TrendClass, Violation, Wrapup,
};

/// Every field that has a value of its own, as an event pattern names it: an outcome has these and no others, apart from
/// those in [`FREE_PATH`].
pub const PATHS: &[&str] = &[
    "schema",
    "event_id",
    "source",
    "topic",
    "received_at",
    "occurred_at",
    "conversation_id",
    "participant_id",
    "session_id",
    "agent_id",
    "queue_id",
    "division_id",
    "media_type",
    "direction",
    "sentiment.score",
    "sentiment.label",
    "sentiment.scale",
    "sentiment.given",
    "sentiment.trend",
    "sentiment.trend_class",
    "empathy.agent_id",
    "empathy.score",
    "intents.name",
    "intents.confidence",
    "keywords",
    "topics.id",
    "topics.name",
    "topics.participant",
    "categories",
    "wrapup.code",
    "wrapup.kind",
    "wrapup.notes",
    "wrapup.duration_ms",
    "disconnect_type",
    "durations.interacting_ms",
    "durations.held_ms",
    "durations.alerting_ms",
    "durations.contacting_ms",
    "durations.dialing_ms",
    "durations.callback_ms",
    "durations.connected_ms",
    "talk.agent_percent",
    "talk.customer_percent",
    "talk.silence_percent",
    "talk.ivr_percent",
    "talk.acd_percent",
    "talk.overtalk_percent",
    "talk.other_percent",
    "talk.overtalk_count",
    "compliance.count",
    "compliance.severity",
    "compliance.violations.code",
    "compliance.violations.type",
    "compliance.violations.rule",
    "compliance.violations.severity",
    "compliance.violations.description",
    "transcript_uri",
    "unrecognised.path",
    "unrecognised.value",
];

/// Under this the fields have the names that their senders gave them.
pub const FREE_PATH: &str = "extra";

/// About how long the text is without what is taken from the body, in bytes.
const FRAME_BYTES: usize = 1_600;
/// Names of members that are compared one with the other rather than put into a set.
const FEW_NAMES: usize = 16;

/// [`Outcome::extra`] in a text that an outcome was written to: one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraText {
    /// Where it stands in the text.
    pub place: Range<usize>,
    /// Whether each name is in it once.
    pub names_differ: bool,
}

impl Outcome<'_> {
    /// Appends it as one JSON object.
    pub fn write_json(&self, out: &mut String) -> ExtraText {
        let extra: usize = self.extra.iter().map(|left| left.value.as_str().len() + 48).sum();
        out.reserve(FRAME_BYTES + extra);
        self.write(&mut Out { text: out, is_sparse: false })
    }

    /// It as one JSON object.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Appends it as one JSON object, without members that are null or empty. [`Outcome::extra`] is always there.
    pub fn write_sparse_json(&self, out: &mut String) -> ExtraText {
        self.write(&mut Out { text: out, is_sparse: true })
    }

    fn write(&self, out: &mut Out<'_>) -> ExtraText {
        let members = Object::new(out)
            .put("schema", &i64::from(SCHEMA))
            .put("event_id", &self.event_id)
            .put("source", self.source)
            .put("topic", &self.topic)
            .put("received_at", &self.received_at)
            .put("occurred_at", &self.occurred_at)
            .put("conversation_id", &self.conversation_id)
            .put("participant_id", &self.participant_id)
            .put("session_id", &self.session_id)
            .put("agent_id", &self.agent_id)
            .put("queue_id", &self.queue_id)
            .put("division_id", &self.division_id)
            .put("media_type", &self.media_type)
            .put("direction", &self.direction)
            .put_object("sentiment", &self.sentiment)
            .put("empathy", &self.empathy)
            .put("intents", &self.intents)
            .put("keywords", &self.keywords)
            .put("topics", &self.topics)
            .put("categories", &self.categories)
            .put_object("wrapup", &self.wrapup)
            .put("disconnect_type", &self.disconnect_type)
            .put_object("durations", &self.durations)
            .put_object("talk", &self.talk)
            .put_object("compliance", &self.compliance)
            .put("transcript_uri", &self.transcript_uri)
            .put("unrecognised", &self.unrecognised);
        let (members, extra) = members.put_with("extra", |out| write_extra(&self.extra, out));
        members.end();
        extra
    }
}

impl Write for Sentiment<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("score", &self.score)
            .put("label", &self.label.map(Label::as_str))
            .put("scale", &self.scale.map(Scale::as_str))
            .put("given", &self.given)
            .put("trend", &self.trend)
            .put("trend_class", &self.trend_class.map(TrendClass::as_str))
            .end();
    }
}

impl Write for Empathy<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out).put("agent_id", &self.agent_id).put("score", &self.score).end();
    }
}

impl Write for Intent<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out).put("name", &self.name).put("confidence", &self.confidence).end();
    }
}

impl Write for Topic<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out).put("id", &self.id).put("name", &self.name).put("participant", &self.participant).end();
    }
}

impl Write for Wrapup<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("code", &self.code)
            .put("kind", &self.kind.map(CodeKind::as_str))
            .put("notes", &self.notes)
            .put("duration_ms", &self.duration_ms)
            .end();
    }
}

impl Write for Durations {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("interacting_ms", &self.interacting_ms)
            .put("held_ms", &self.held_ms)
            .put("alerting_ms", &self.alerting_ms)
            .put("contacting_ms", &self.contacting_ms)
            .put("dialing_ms", &self.dialing_ms)
            .put("callback_ms", &self.callback_ms)
            .put("connected_ms", &self.connected_ms)
            .end();
    }
}

impl Write for Talk<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("agent_percent", &self.agent_percent)
            .put("customer_percent", &self.customer_percent)
            .put("silence_percent", &self.silence_percent)
            .put("ivr_percent", &self.ivr_percent)
            .put("acd_percent", &self.acd_percent)
            .put("overtalk_percent", &self.overtalk_percent)
            .put("other_percent", &self.other_percent)
            .put("overtalk_count", &self.overtalk_count)
            .end();
    }
}

impl Write for Compliance<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("count", &self.count)
            .put("severity", &self.severity.map(Severity::as_str))
            .put("violations", &self.violations)
            .end();
    }
}

impl Write for Violation<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out)
            .put("code", &self.code)
            .put("type", &self.kind)
            .put("rule", &self.rule)
            .put("severity", &self.severity.map(Severity::as_str))
            .put("description", &self.description)
            .end();
    }
}

/// The value is a text that holds JSON, so that its type is always the same.
impl Write for Leftover<'_> {
    fn write(&self, out: &mut Out<'_>) {
        Object::new(out).put("path", &*self.path.to_string()).put("value", self.value.as_str()).end();
    }
}

/// One object, its members named after where they stood.
fn write_extra(extra: &[Leftover<'_>], out: &mut Out<'_>) -> ExtraText {
    let begins = out.len();
    let mut names = Vec::with_capacity(extra.len());
    let mut path = String::new();
    out.push('{');
    for (at, left) in extra.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        path.clear();
        left.path.write(&mut path, false);
        let begins = out.len();
        path.as_str().write(out);
        names.push(begins..out.len());
        out.push(':');
        left.value.write(out);
    }
    out.push('}');
    ExtraText { place: begins..out.len(), names_differ: all_differ(out, &names) }
}

/// Whether no two of these places have the same text.
fn all_differ(text: &str, places: &[Range<usize>]) -> bool {
    if places.len() > FEW_NAMES {
        let all: HashSet<&str> = places.iter().map(|place| &text[place.clone()]).collect();
        return all.len() == places.len();
    }
    let is_first = |(at, place): (usize, &Range<usize>)| {
        places[..at].iter().all(|other| text[other.clone()] != text[place.clone()])
    };
    places.iter().enumerate().all(is_first)
}
