//! What the agent made of a conversation.

use std::borrow::Cow;

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::value::Member;
use crate::topic;

/// What reserved codes begin with: `ININ-WRAP-UP-TIMEOUT`, `ININ-WRAP-UP-SKIPPED`, `ININ-OUTBOUND-…`.
const RESERVED: &str = "ININ-";

/// A wrap-up. Genesys' events say `wrapupCode` and `wrapupNotes`, its analytics `wrapUpCode` and `wrapUpNote`; its own
/// blueprint for EventBridge also has `wrapupDurationms`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wrapup<'a> {
    /// The code.
    pub code: Option<Cow<'a, str>>,
    /// What the code is.
    pub kind: Option<CodeKind>,
    /// What the agent wrote.
    pub notes: Option<Cow<'a, str>>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// What a wrap-up code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// A UUID, whose name the platform's API knows.
    Id,
    /// One that Genesys sets by itself, when the agent chose none.
    Reserved,
    /// Something that people understand.
    Name,
}

impl CodeKind {
    /// As it is written in an outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reserved => "reserved",
            Self::Name => "name",
        }
    }

    fn of(code: &str) -> Self {
        if topic::is_uuid(code) {
            Self::Id
        } else if code.starts_with(RESERVED) {
            Self::Reserved
        } else {
            Self::Name
        }
    }
}

impl<'a> Wrapup<'a> {
    pub(super) fn read(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Self {
        let code = members.first([Name::WrapupCode, Name::WrapUpCode], Member::name, left);
        Self {
            kind: code.as_deref().map(CodeKind::of),
            code,
            notes: members.first([Name::WrapupNotes, Name::WrapUpNote], Member::text, left),
            duration_ms: members.first([Name::WrapupDurationMs, Name::WrapupDurationms], Member::whole, left),
        }
    }
}
