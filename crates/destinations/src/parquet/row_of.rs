//! A row, made of an outcome. It is the row that its JSON text would give ([`Row::parse`]), which a property test holds to.

use std::borrow::Cow;

use event::Timestamp;
use event::outcome::{
    CodeKind, Compliance, Durations, Empathy, ExtraText, Intent, Label, Leftover, Number, Outcome, Scale, Sentiment,
    Severity, Talk, Topic, TrendClass, Violation, Wrapup,
};

use super::extra;
use super::row::{Cell, Row};
use super::schema::VERSION;

impl<'a> Row<'a> {
    /// Of an outcome, and of what was written of it: all of the text, and where `extra` is in it.
    pub(super) fn of(outcome: Outcome<'a>, text: &str, extra: &ExtraText) -> Self {
        let object = &text[extra.place.clone()];
        let rewritten = if extra.names_differ { None } else { extra::with(object, &[]) };
        let extra = rewritten.unwrap_or_else(|| object.to_owned());
        Self::new(vec![
            Cell::Integer(VERSION.into()),
            Cell::Text(outcome.event_id.to_string().into()),
            Cell::Text(outcome.source.into()),
            outcome.topic.map(Cow::from).into(),
            outcome.received_at.into(),
            outcome.occurred_at.into(),
            outcome.conversation_id.map(Cow::from).into(),
            outcome.participant_id.into(),
            outcome.session_id.into(),
            outcome.agent_id.into(),
            outcome.queue_id.into(),
            outcome.division_id.into(),
            outcome.media_type.into(),
            outcome.direction.into(),
            outcome.sentiment.into(),
            outcome.empathy.into(),
            outcome.intents.into(),
            outcome.keywords.into(),
            outcome.topics.into(),
            outcome.categories.into(),
            outcome.wrapup.into(),
            outcome.disconnect_type.into(),
            outcome.durations.into(),
            outcome.talk.into(),
            outcome.compliance.into(),
            outcome.transcript_uri.into(),
            outcome.unrecognised.into(),
            Cell::Text(extra.into()),
        ])
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Vec<T>> for Cell<'a> {
    fn from(list: Vec<T>) -> Self {
        if list.is_empty() { Self::Null } else { Self::List(list.into_iter().map(Into::into).collect()) }
    }
}

impl<'a> From<Cow<'a, str>> for Cell<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<&'static str> for Cell<'_> {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Cell<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Number<'_>> for Cell<'_> {
    fn from(number: Number<'_>) -> Self {
        Self::Number(number.as_f64())
    }
}

/// One that cannot be written as text is none.
impl From<Timestamp> for Cell<'_> {
    fn from(time: Timestamp) -> Self {
        match jiff::Timestamp::from_millisecond(time.as_millis()) {
            Ok(_) => Self::Time(time.as_millis()),
            Err(_) => Self::Null,
        }
    }
}

impl<'a> From<Sentiment<'a>> for Cell<'a> {
    fn from(sentiment: Sentiment<'a>) -> Self {
        Self::of_members([
            sentiment.score.into(),
            sentiment.label.map(Label::as_str).into(),
            sentiment.scale.map(Scale::as_str).into(),
            sentiment.given.into(),
            sentiment.trend.into(),
            sentiment.trend_class.map(TrendClass::as_str).into(),
        ])
    }
}

impl<'a> From<Empathy<'a>> for Cell<'a> {
    fn from(Empathy { agent_id, score }: Empathy<'a>) -> Self {
        Self::of_members([agent_id.into(), score.into()])
    }
}

impl<'a> From<Intent<'a>> for Cell<'a> {
    fn from(Intent { name, confidence }: Intent<'a>) -> Self {
        Self::of_members([name.into(), confidence.into()])
    }
}

impl<'a> From<Topic<'a>> for Cell<'a> {
    fn from(Topic { id, name, participant }: Topic<'a>) -> Self {
        Self::of_members([id.into(), name.into(), participant.into()])
    }
}

impl<'a> From<Wrapup<'a>> for Cell<'a> {
    fn from(Wrapup { code, kind, notes, duration_ms }: Wrapup<'a>) -> Self {
        Self::of_members([code.into(), kind.map(CodeKind::as_str).into(), notes.into(), duration_ms.into()])
    }
}

impl From<Durations> for Cell<'_> {
    fn from(durations: Durations) -> Self {
        Self::of_members([
            durations.interacting_ms.into(),
            durations.held_ms.into(),
            durations.alerting_ms.into(),
            durations.contacting_ms.into(),
            durations.dialing_ms.into(),
            durations.callback_ms.into(),
            durations.connected_ms.into(),
        ])
    }
}

impl<'a> From<Talk<'a>> for Cell<'a> {
    fn from(talk: Talk<'a>) -> Self {
        Self::of_members([
            talk.agent_percent.into(),
            talk.customer_percent.into(),
            talk.silence_percent.into(),
            talk.ivr_percent.into(),
            talk.acd_percent.into(),
            talk.overtalk_percent.into(),
            talk.other_percent.into(),
            talk.overtalk_count.into(),
        ])
    }
}

impl<'a> From<Compliance<'a>> for Cell<'a> {
    fn from(Compliance { count, severity, violations }: Compliance<'a>) -> Self {
        Self::of_members([count.into(), severity.map(Severity::as_str).into(), violations.into()])
    }
}

impl<'a> From<Violation<'a>> for Cell<'a> {
    fn from(Violation { code, kind, rule, severity, description }: Violation<'a>) -> Self {
        let severity = severity.map(Severity::as_str);
        Self::of_members([code.into(), kind.into(), rule.into(), severity.into(), description.into()])
    }
}

impl<'a> From<Leftover<'a>> for Cell<'a> {
    fn from(left: Leftover<'a>) -> Self {
        let path: Cow<'a, str> = left.path.to_string().into();
        Self::of_members([path.into(), Cow::from(left.value.as_str()).into()])
    }
}
