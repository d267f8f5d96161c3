//! Sentiment: one score from -1 to 1, and one label.
//!
//! Where a score is looked for, in this order:
//!
//! | member | scale |
//! |---|---|
//! | `sentimentScore`, `sentimentOverallScore` | -1 to 1: what Genesys' speech and text analytics give, of which its interface shows a hundred times as much |
//! | `sentiment.score`, `sentiment.overall`, `sentiment` itself | not documented, so it is decided by the number |
//!
//! **A number whose scale is not documented**: up to 1, either way, it is on the scale from -1 to 1; up to 100 on that
//! from -100 to 100; beyond that on none that is known, so it is not recognised. The numbers of one `sentiment` object
//! have one scale: if one is beyond 1, all are on that from -100 to 100.
//!
//! **A label** is `positive`, `neutral`, `negative` or `mixed`, however it is written. By itself it gives the score 1, 0
//! or -1, which is how Genesys' transcripts write the sentiment of a phrase; `mixed` gives none. A score by itself gives
//! the label of its sign: no document draws a line between neutral and slightly positive, so none is drawn here.

use std::borrow::Cow;

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::object::Object;
use super::value::Member;
use crate::json::Kind;

/// How the customer felt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sentiment<'a> {
    /// From -1 (negative) to 1 (positive).
    pub score: Option<f64>,
    /// What the event says, or the sign of the score.
    pub label: Option<Label>,
    /// What the score was made of.
    pub scale: Option<Scale>,
    /// That, as it was written.
    pub given: Option<Cow<'a, str>>,
    /// How the score changed during the conversation, from -1 to 1.
    pub trend: Option<f64>,
    /// The same in words.
    pub trend_class: Option<TrendClass>,
}

/// What kind of sentiment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Label {
    Positive,
    Neutral,
    Negative,
    Mixed,
}

/// What a score was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A number from -1 to 1.
    Unit,
    /// A number from -100 to 100.
    Percent,
    /// A label.
    Label,
}

/// How sentiment changed, in Genesys' classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrendClass {
    NotCalculated,
    Declining,
    SlightlyDeclining,
    NoChange,
    SlightlyImproving,
    Improving,
}

impl Label {
    /// As it is written in an outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Neutral => "neutral",
            Self::Negative => "negative",
            Self::Mixed => "mixed",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Positive, Self::Neutral, Self::Negative, Self::Mixed];
        all.into_iter().find(|label| text.trim().eq_ignore_ascii_case(label.as_str()))
    }

    const fn score(self) -> Option<f64> {
        match self {
            Self::Positive => Some(1.0),
            Self::Neutral => Some(0.0),
            Self::Negative => Some(-1.0),
            Self::Mixed => None,
        }
    }

    const fn of(score: f64) -> Self {
        if score > 0.0 {
            Self::Positive
        } else if score < 0.0 {
            Self::Negative
        } else {
            Self::Neutral
        }
    }
}

impl Scale {
    /// As it is written in an outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Percent => "percent",
            Self::Label => "label",
        }
    }

    /// A number of this scale, brought to the one from -1 to 1.
    fn score(self, number: f64) -> Option<f64> {
        let score = if self == Self::Percent { number / 100.0 } else { number };
        // Adding zero makes one of both zeros.
        (score.abs() <= 1.0).then_some(score + 0.0)
    }

    /// The scale of numbers of which none is documented.
    fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        if numbers.into_iter().any(|number| number.abs() > 1.0) { Self::Percent } else { Self::Unit }
    }
}

impl TrendClass {
    /// As it is written in an outcome: Genesys' own words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCalculated => "NotCalculated",
            Self::Declining => "Declining",
            Self::SlightlyDeclining => "SlightlyDeclining",
            Self::NoChange => "NoChange",
            Self::SlightlyImproving => "SlightlyImproving",
            Self::Improving => "Improving",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [
            Self::NotCalculated,
            Self::Declining,
            Self::SlightlyDeclining,
            Self::NoChange,
            Self::SlightlyImproving,
            Self::Improving,
        ];
        all.into_iter().find(|class| text.trim().eq_ignore_ascii_case(class.as_str()))
    }
}

impl<'a> Sentiment<'a> {
    pub(super) fn read(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Self {
        let mut sentiment = Self::default();
        for name in [Name::SentimentScore, Name::SentimentOverallScore] {
            members.take(name).into_iter().for_each(|member| sentiment.take_score(member, Scale::Unit, left));
        }
        for name in [Name::SentimentTrend, Name::SentimentTrendScore] {
            members.take(name).into_iter().for_each(|member| sentiment.take_trend(member, Scale::Unit, left));
        }
        let class = members.take(Name::SentimentTrendClass);
        class.into_iter().for_each(|member| sentiment.take_class(member, left));
        members.take(Name::Sentiment).into_iter().for_each(|member| sentiment.take_all(member, left));
        sentiment.complete();
        sentiment
    }

    /// `sentiment`: an object, or the score or label itself.
    fn take_all(&mut self, member: Member<'a>, left: &mut Leftovers<'a>) {
        let Some(mut object) = Object::read(member) else {
            return self.take_overall(member, Scale::of(number(member)), left);
        };
        let [score, overall, label, trend, class] =
            ["score", "overall", "label", "trend", "trendClass"].map(|name| object.take(name));
        let scale = Scale::of([score, overall, trend].into_iter().flatten().filter_map(number));
        score.into_iter().for_each(|member| self.take_score(member, scale, left));
        overall.into_iter().for_each(|member| self.take_overall(member, scale, left));
        label.into_iter().for_each(|member| self.take_label(member, left));
        match trend {
            Some(member) if member.value.kind() == Kind::String => self.take_class(member, left),
            Some(member) => self.take_trend(member, scale, left),
            None => {}
        }
        class.into_iter().for_each(|member| self.take_class(member, left));
        object.leave(left);
    }

    fn take_overall(&mut self, member: Member<'a>, scale: Scale, left: &mut Leftovers<'a>) {
        match member.value.kind() {
            Kind::String => self.take_label(member, left),
            _ => self.take_score(member, scale, left),
        }
    }

    fn take_score(&mut self, member: Member<'a>, scale: Scale, left: &mut Leftovers<'a>) {
        let read = number(member).and_then(|number| scale.score(number));
        let Some(score) = member.or_unrecognised(read, left) else { return };
        if self.score.is_some() {
            return left.extra(member);
        }
        (self.score, self.scale, self.given) = (Some(score), Some(scale), Some(member.value.as_str().into()));
    }

    fn take_label(&mut self, member: Member<'a>, left: &mut Leftovers<'a>) {
        let Some(text) = member.text(left) else { return };
        let Some(label) = member.or_unrecognised(Label::read(&text), left) else { return };
        if self.label.is_some() {
            return left.extra(member);
        }
        self.label = Some(label);
        if self.score.is_none() {
            self.given = Some(text);
        }
    }

    fn take_trend(&mut self, member: Member<'a>, scale: Scale, left: &mut Leftovers<'a>) {
        let read = number(member).and_then(|number| scale.score(number));
        let Some(trend) = member.or_unrecognised(read, left) else { return };
        match self.trend {
            Some(_) => left.extra(member),
            None => self.trend = Some(trend),
        }
    }

    fn take_class(&mut self, member: Member<'a>, left: &mut Leftovers<'a>) {
        let Some(text) = member.text(left) else { return };
        let Some(class) = member.or_unrecognised(TrendClass::read(&text), left) else { return };
        match self.trend_class {
            Some(_) => left.extra(member),
            None => self.trend_class = Some(class),
        }
    }

    /// The score by the label, or the label by the score.
    fn complete(&mut self) {
        match (self.score, self.label) {
            (None, Some(label)) => (self.score, self.scale) = (label.score(), Some(Scale::Label)),
            (Some(score), None) => self.label = Some(Label::of(score)),
            _ => {}
        }
    }
}

fn number(member: Member<'_>) -> Option<f64> {
    let is_number = member.value.kind() == Kind::Number;
    member.value.as_str().parse().ok().filter(|number: &f64| is_number && number.is_finite())
}
