//! Where a span stands: in which trace, under which id. Written as W3C's Trace Context does (`traceparent`).

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use event::EventId;

/// Names a trace; not all zeros.
pub type TraceId = [u8; 16];
/// Names a span in its trace; not all zeros.
pub type SpanId = [u8; 8];

/// Bytes of a `traceparent` of version 00: `00-` trace `-` span `-` flags.
const LENGTH: usize = 55;
/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// A span's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its trace.
    pub trace: TraceId,
    /// Its id there.
    pub span: SpanId,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl Place {
    /// Where an event's story begins: the same in every process, whoever has stored or delivers the event.
    pub fn of_event(event: EventId, sampled: bool) -> Self {
        let trace = *event.as_bytes();
        let mut span = [0; 8];
        span.iter_mut()
            .zip(trace.iter().zip(&trace[8..]))
            .for_each(|(byte, (one, other))| *byte = one ^ other.rotate_left(3));
        if span == [0; 8] {
            // No id, says the standard.
            span[7] = 1;
        }
        Self { trace, span, sampled }
    }

    /// Reads a `traceparent`. What does not follow the rules is as good as none; of later versions what is known is read.
    pub fn parse(header: &str) -> Option<Self> {
        let text = header.trim_matches([' ', '\t']).as_bytes();
        let version = number(text.get(..2)?)?;
        let rest = match version {
            0 if text.len() == LENGTH => text,
            1..=0xfe if text.len() == LENGTH || text.get(LENGTH) == Some(&b'-') => text.get(..LENGTH)?,
            _ => return None,
        };
        let is_apart = [2, 35, 52].iter().all(|at| rest[*at] == b'-');
        let (trace, span) = (bytes::<16>(&rest[3..35])?, bytes::<8>(&rest[36..52])?);
        let sampled = number(&rest[53..55])? & SAMPLED != 0;
        (is_apart && trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled })
    }
}

impl fmt::Display for Place {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled) * SAMPLED)
    }
}

/// The id of a span that nobody has to find: by chance. Not a secret, so what seeds hash maps is good enough.
pub(crate) fn span_id() -> SpanId {
    RandomState::new().hash_one(0_u8).max(1).to_be_bytes()
}

/// The id of a trace that no event is in.
pub(crate) fn trace_id() -> TraceId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&span_id());
    id[8..].copy_from_slice(&span_id());
    id
}

fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = number(pair)?;
    }
    Some(bytes)
}

/// Two hexadecimal digits, in lower case as the rules say.
fn number(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let place = Place::parse(GOOD).unwrap();
        assert!(place.sampled);
        assert_eq!(place.to_string(), GOOD);
        assert!(!Place::parse(&GOOD.replace("-01", "-02")).unwrap().sampled, "other flags mean nothing here");
        assert_eq!(Place::parse(&format!("{}-more", GOOD.replacen("00", "cc", 1))), Some(place), "a later version");
    }

    #[test]
    fn what_is_against_the_rules_is_as_good_as_none() {
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".{0,80}") {
            Place::parse(&header);
        }

        #[test]
        fn every_place_survives_a_header(bytes: [u8; 16], sampled: bool) {
            let place = Place::of_event(EventId::from_hash(bytes), sampled);
            prop_assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
    }

    #[test]
    fn ids_by_chance_differ() {
        let mut ids: Vec<_> = (0..1_000).map(|_| span_id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
    }
}
