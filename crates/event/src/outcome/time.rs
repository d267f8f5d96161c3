//! When it happened.

use super::leftovers::Leftovers;
use super::members::Members;
use super::names::Name;
use super::value::Member;
use crate::Timestamp;
use crate::json::Kind;

/// The first of these that can be read:
/// - `eventTime`: milliseconds as a whole number in `v2.detail.events.…`, a text in audits and transcriptions (Genesys'
///   published blueprints and SDK have both). A number below [`SECONDS_BELOW`] is seconds, as other senders write them;
/// - `timestamp`: a text; of a webhook, or when Genesys published the event. A number is read like that of `eventTime`;
/// - `time` of an EventBridge envelope: a text.
///
/// Those that come after it are known too, and say less; they are not left over.
pub(super) fn occurred<'a>(members: &mut Members<'a>, left: &mut Leftovers<'a>) -> Option<Timestamp> {
    let mut occurred = None;
    for name in [Name::EventTime, Name::Timestamp, Name::Time] {
        let Some(member) = members.take(name) else { continue };
        let read = match member.value.kind() {
            Kind::Number if name != Name::Time => number(member),
            _ => text(member),
        };
        occurred = occurred.or(member.or_unrecognised(read, left));
    }
    occurred
}

/// A number below this is seconds: as milliseconds it would be a time before March 1973, and as seconds it is one before the
/// year 5139. No contact centre has sent events in the former, and none will in the latter.
const SECONDS_BELOW: u64 = 100_000_000_000;
/// The first millisecond of the year 1. What is before it is a date that nobody meant, and one that Python has not.
const FIRST: i64 = -62_135_596_800_000;

fn number(member: Member<'_>) -> Option<Timestamp> {
    let scale = |is_seconds| if is_seconds { 1_000 } else { 1 };
    let millis = match member.as_whole() {
        Some(whole) => whole.checked_mul(scale(whole.unsigned_abs() < SECONDS_BELOW))?,
        None => {
            let number: f64 = member.value.as_str().parse().ok()?;
            let millis = number * scale(number.abs() < SECONDS_BELOW as f64) as f64;
            // Seconds with three decimals are not quite what they say; by a microsecond they are not off.
            ((millis * 1_000.0).round() / 1_000.0).floor() as i64
        }
    };
    in_range(Timestamp::from_millis(millis))
}

/// A time of RFC 3339, which says its zone; what is finer than a millisecond is cut off.
fn text(member: Member<'_>) -> Option<Timestamp> {
    let time: jiff::Timestamp = member.value.string()?.parse().ok()?;
    in_range(Timestamp::from_millis(time.as_millisecond()))
}

/// The time, if it can be written with a year of four digits, which are not 0000.
pub(super) fn in_range(time: Timestamp) -> Option<Timestamp> {
    (time.as_millis() >= FIRST && jiff::Timestamp::from_millisecond(time.as_millis()).is_ok()).then_some(time)
}
