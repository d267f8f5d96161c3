//! The format of a segment of the journal, version 1.
//!
//! ```text
//! segment  "ACPQJ\0\0\x01" · created (i64, milliseconds since 1970) · frame*
//! frame    "ACPF" · length of the body (u32) · CRC-32 of the body (u32) · body: record+
//! record   event id (16 bytes) · time (i64, milliseconds since 1970) · length of the payload (u32) · payload
//! ```
//!
//! Numbers are little-endian. A frame is what was written and synced at once; its deliveries were reported after that. So a
//! crash leaves at most one frame torn, the last one, of which nobody was told. A bad frame with a good one behind it is
//! damage.

use event::EventId;

/// How a segment begins; the last byte is the version.
pub(super) const MAGIC: &[u8; 8] = b"ACPQJ\0\0\x01";
/// Bytes before the first frame.
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 8;
const FRAME_MAGIC: &[u8; 4] = b"ACPF";
const FRAME_HEAD_BYTES: usize = 12;
const RECORD_HEAD_BYTES: usize = 28;

/// A delivery, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) event: EventId,
    /// The time that its folder is made of, in milliseconds since 1970.
    pub(super) time: i64,
    pub(super) payload: &'a [u8],
}

/// How a segment begins that was made at a time.
pub(super) fn head(created: i64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head[MAGIC.len()..].copy_from_slice(&created.to_le_bytes());
    head
}

/// Makes a frame.
#[derive(Default)]
pub(super) struct Frame {
    text: Vec<u8>,
}

impl Frame {
    /// Appends a record.
    pub(super) fn push(&mut self, record: Record<'_>) {
        if self.text.is_empty() {
            self.text.resize(FRAME_HEAD_BYTES, 0);
        }
        self.text.extend_from_slice(record.event.as_bytes());
        self.text.extend_from_slice(&record.time.to_le_bytes());
        // A payload is some megabytes at most.
        self.text.extend_from_slice(&u32::try_from(record.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.text.extend_from_slice(record.payload);
    }

    /// What is to be written; empty if there is no record.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if let Some((head, body)) = self.text.split_at_mut_checked(FRAME_HEAD_BYTES) {
            head[..4].copy_from_slice(FRAME_MAGIC);
            head[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
            head[8..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        }
        self.text
    }
}

/// What is in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) created: i64,
    pub(super) records: Vec<Record<'a>>,
    /// Where the last good frame ends.
    pub(super) good: usize,
    /// Nothing but a torn frame is behind that.
    pub(super) is_torn: bool,
}

/// Why a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It does not begin as one of this version does.
    Head,
    /// What stands at this byte is damaged, and there is more behind it.
    Frame(usize),
}

/// Reads a segment, which may end in a torn frame.
pub(super) fn read(text: &[u8]) -> Result<Segment<'_>, Damage> {
    let created = text.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<8>()).ok_or(Damage::Head)?;
    let mut segment =
        Segment { created: i64::from_le_bytes(*created), records: Vec::new(), good: HEAD_BYTES, is_torn: false };
    while segment.good < text.len() {
        match frame(&text[segment.good..]) {
            Some(body) if push_records(body, &mut segment.records) => segment.good += FRAME_HEAD_BYTES + body.len(),
            _ if is_followed(&text[segment.good..]) => return Err(Damage::Frame(segment.good)),
            _ => {
                segment.is_torn = true;
                break;
            }
        }
    }
    Ok(segment)
}

/// The body of the frame at the start.
fn frame(text: &[u8]) -> Option<&[u8]> {
    let (head, rest) = text.split_first_chunk::<FRAME_HEAD_BYTES>()?;
    let head = head.strip_prefix(FRAME_MAGIC)?;
    let (length, crc) = (head.first_chunk::<4>()?, head.last_chunk::<4>()?);
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (crc32fast::hash(body) == u32::from_le_bytes(*crc)).then_some(body)
}

/// Whether a good frame begins somewhere behind the start.
fn is_followed(text: &[u8]) -> bool {
    (1..text.len().saturating_sub(FRAME_HEAD_BYTES))
        .any(|at| text[at..].starts_with(FRAME_MAGIC) && frame(&text[at..]).is_some())
}

/// Whether the body is records through and through.
fn push_records<'a>(mut body: &'a [u8], records: &mut Vec<Record<'a>>) -> bool {
    while !body.is_empty() {
        let Some((head, rest)) = body.split_first_chunk::<RECORD_HEAD_BYTES>() else { return false };
        let (Some(id), Some(length)) = (head.first_chunk::<16>(), head.last_chunk::<4>()) else { return false };
        let Some(time) = head[16..].first_chunk::<8>() else { return false };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((payload, next)) = rest.split_at_checked(length) else { return false };
        records.push(Record { event: EventId::from_bytes(*id), time: i64::from_le_bytes(*time), payload });
        body = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(groups: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut text = head(7).to_vec();
        for group in groups {
            let mut frame = Frame::default();
            for (at, payload) in group.iter().enumerate() {
                frame.push(Record { event: EventId::from_hash([at as u8; 16]), time: at as i64, payload });
            }
            text.extend(frame.finish());
        }
        text
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_torn_end_costs_one_frame(
            groups in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..4), 1..4),
            torn in 1_usize..20,
        ) {
            let text = segment(&groups);
            let read_back = read(&text).unwrap();
            let payloads: Vec<_> = read_back.records.iter().map(|record| record.payload.to_vec()).collect();
            prop_assert_eq!(payloads, groups.concat());
            prop_assert!(!read_back.is_torn && read_back.good == text.len() && read_back.created == 7);
            let whole = segment(&groups[..groups.len() - 1]);
            let cut = (text.len() - torn).max(whole.len() + 1);
            let read_back = read(&text[..cut]).unwrap();
            prop_assert_eq!((read_back.good, read_back.is_torn), (whole.len(), true));
        }

        #[test]
        fn any_changed_byte_is_seen(
            groups in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..3), 2..4),
            at in any::<prop::sample::Index>(),
        ) {
            let mut text = segment(&groups);
            let first = segment(&groups[..1]).len();
            let at = HEAD_BYTES + at.index(first - HEAD_BYTES);
            text[at] ^= 0x55;
            prop_assert_eq!(read(&text), Err(Damage::Frame(HEAD_BYTES)));
        }

        #[test]
        fn any_bytes_are_a_segment_or_damage(bytes in any::<Vec<u8>>()) {
            let _ = read(&bytes);
            let _ = read(&[head(0).to_vec(), bytes].concat());
        }
    }
}
