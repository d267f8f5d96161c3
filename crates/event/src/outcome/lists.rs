//! The lists of an outcome, apart from violations.

use std::borrow::Cow;

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::object::Object;
use super::value::{Member, Number};
use crate::json::Kind;

/// Most elements that are taken of one list. If it has more, the whole list is kept as unrecognised besides. No real one
/// comes near it; a body of 10 MiB can have millions.
pub const MAX_ELEMENTS: usize = 1_000;

/// What the customer wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Intent<'a> {
    /// Its name.
    pub name: Option<Cow<'a, str>>,
    /// How sure the analysis is; its scale is not documented, so it is handed on.
    pub confidence: Option<Number<'a>>,
}

/// A topic that was detected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Topic<'a> {
    /// `topicId`.
    pub id: Option<Cow<'a, str>>,
    /// `topicName`, or what the list has as a text.
    pub name: Option<Cow<'a, str>>,
    /// Who spoke of it.
    pub participant: Option<Cow<'a, str>>,
}

/// How much empathy an agent showed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Empathy<'a> {
    /// The agent.
    pub agent_id: Option<Cow<'a, str>>,
    /// How much; its scale is not documented, so it is handed on.
    pub score: Option<Number<'a>>,
}

/// `intents`: texts, or objects with `name` and `confidence`.
pub(super) fn intents<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Vec<Intent<'a>> {
    list(members, Name::Intents, left, |element, left| match element.value.kind() {
        Kind::String => Some(Intent { name: element.name(left), confidence: None }),
        _ => object(element, left, |object, left| Intent {
            name: object.take("name").and_then(|member| member.name(left)),
            confidence: object.take("confidence").and_then(|member| member.number(left)),
        }),
    })
}

/// `keywords`: texts, or objects with `name`.
pub(super) fn keywords<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Vec<Cow<'a, str>> {
    list(members, Name::Keywords, left, |element, left| match element.value.kind() {
        Kind::String => element.name(left),
        _ => object(element, left, |object, left| object.take("name").and_then(|member| member.name(left)))?,
    })
}

/// `topics`: texts, or the objects of Genesys' topics-detected notification (SDK,
/// `V2StaTopicsDetectedTopicTopicsDetectedMessage`).
pub(super) fn topics<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Vec<Topic<'a>> {
    list(members, Name::Topics, left, |element, left| match element.value.kind() {
        Kind::String => Some(Topic { name: element.name(left), ..Topic::default() }),
        _ => object(element, left, |object, left| Topic {
            id: object.take("topicId").and_then(|member| member.name(left)),
            name: object.take("topicName").and_then(|member| member.name(left)),
            participant: object.take("participant").and_then(|member| member.name(left)),
        }),
    })
}

/// `categoryIds` of Genesys' conversation-categories notification: ids.
pub(super) fn categories<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Vec<Cow<'a, str>> {
    list(members, Name::CategoryIds, left, |element, left| element.name(left))
}

/// `empathyScores` of the speech and text analytics API, and `agents` of the empathy-overall notification (SDK,
/// `V2StaEmpathyOverall…`). Agents without `overallEmpathyScore` are something else and left over.
pub(super) fn empathy<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Vec<Empathy<'a>> {
    let mut empathy = list(members, Name::EmpathyScores, left, |element, left| {
        object(element, left, |object, left| Empathy {
            agent_id: object.take("userId").and_then(|member| member.name(left)),
            score: object.take("score").and_then(|member| member.number(left)),
        })
    });
    empathy.extend(list(members, Name::Agents, left, |element, left| {
        let mut object = match Object::read(element) {
            Some(object) => object,
            None => return element.or_unrecognised(None, left),
        };
        let Some(score) = object.take("overallEmpathyScore") else {
            left.extra(element);
            return None;
        };
        let agent_id = object.take("agentId").and_then(|member| member.name(left));
        let score = score.number(left);
        object.leave(left);
        Some(Empathy { agent_id, score })
    }));
    empathy
}

fn list<'a, T>(
    members: &mut Members<'a>,
    name: Name,
    left: &mut Leftovers<'a>,
    mut read: impl FnMut(Member<'a>, &mut Leftovers<'a>) -> Option<T>,
) -> Vec<T> {
    let Some(list) = members.take(name) else { return Vec::new() };
    let (mut taken, mut elements) = (Vec::new(), 0);
    list.elements(left, |element, left| {
        elements += 1;
        if elements <= MAX_ELEMENTS {
            taken.extend(read(element, left));
        }
    });
    if elements > MAX_ELEMENTS {
        left.unrecognised(list);
    }
    taken
}

/// An element that must be an object; what `read` does not take of it is left over.
fn object<'a, T>(
    element: Member<'a>,
    left: &mut Leftovers<'a>,
    read: impl FnOnce(&mut Object<'a>, &mut Leftovers<'a>) -> T,
) -> Option<T> {
    let mut object = element.or_unrecognised(Object::read(element), left)?;
    let value = read(&mut object, left);
    object.leave(left);
    Some(value)
}
