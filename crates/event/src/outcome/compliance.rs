//! Compliance: what was not in order in a call.

use std::borrow::Cow;

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::object::Object;
use super::value::Member;
use crate::json::Kind;

/// Most violations that are listed. All are counted, and all have their part in the highest severity; if there are more,
/// the whole list is kept as unrecognised besides.
pub const MAX_VIOLATIONS: usize = 1_000;

/// What was not in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compliance<'a> {
    /// How many violations there are; none if the event says nothing of compliance.
    pub count: Option<i64>,
    /// The highest severity of all; none if no violation has one that is known.
    pub severity: Option<Severity>,
    /// Each of them.
    pub violations: Vec<Violation<'a>>,
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violation<'a> {
    /// `code`, or what the list has as a text.
    pub code: Option<Cow<'a, str>>,
    /// `type`.
    pub kind: Option<Cow<'a, str>>,
    /// `rule`.
    pub rule: Option<Cow<'a, str>>,
    /// `severity`, if it is one of the four.
    pub severity: Option<Severity>,
    /// `description`.
    pub description: Option<Cow<'a, str>>,
}

/// How bad it is. In ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// As it is written in an outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Low, Self::Medium, Self::High, Self::Critical];
        all.into_iter().find(|severity| text.trim().eq_ignore_ascii_case(severity.as_str()))
    }
}

impl<'a> Compliance<'a> {
    /// `complianceViolations`: texts, or objects. An element of another kind is unrecognised, and a violation all the
    /// same: that something was not in order must not be overlooked. If it is no list, how many there are is not known.
    pub(super) fn read(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Self {
        let mut compliance = Self::default();
        let Some(list) = members.take(Name::ComplianceViolations) else { return compliance };
        let mut count = 0;
        let mut overflow = Leftovers::default();
        let is_list = list.elements(left, |element, left| {
            count += 1;
            let is_listed = compliance.violations.len() < MAX_VIOLATIONS;
            let violation = Violation::read(element, if is_listed { &mut *left } else { &mut overflow });
            compliance.severity = compliance.severity.max(violation.severity);
            if is_listed {
                compliance.violations.push(violation);
            } else {
                overflow = Leftovers::default();
            }
        });
        compliance.count = is_list.then_some(count);
        if compliance.violations.len() < usize::try_from(count).unwrap_or_default() {
            left.unrecognised(list);
        }
        compliance
    }
}

impl<'a> Violation<'a> {
    fn read(element: Member<'a>, left: &mut Leftovers<'a>) -> Self {
        if element.value.kind() == Kind::String {
            return Self { code: element.name(left), ..Self::default() };
        }
        let Some(mut object) = element.or_unrecognised(Object::read(element), left) else { return Self::default() };
        let violation = Self {
            code: object.take("code").and_then(|member| member.name(left)),
            kind: object.take("type").and_then(|member| member.name(left)),
            rule: object.take("rule").and_then(|member| member.name(left)),
            severity: object.take("severity").and_then(|member| {
                let severity = member.value.string().and_then(|text| Severity::read(&text));
                member.or_unrecognised(severity, left)
            }),
            description: object.take("description").and_then(|member| member.text(left)),
        };
        object.leave(left);
        violation
    }
}
