//! The format of a segment of the journal, version 2.
//!
//! ```text
//! segment  "ACPQJ\0\0\x02" · created (i64, milliseconds since 1970) · mark · mark · frame*
//! mark     bytes of the segment that are synced (u64) · CRC-32 of `created` and of them (u32)
//! frame    "ACPF" · length of the body (u32) · CRC-32 of the body (u32) · body: record+
//! record   event id (16 bytes) · time (i64, milliseconds since 1970) · length of the payload (u32) · payload
//! ```
//!
//! Numbers are little-endian. A frame is what was written and synced at once; its deliveries were reported after that. So a
//! crash leaves at most one frame torn, the last one, of which nobody was told. A bad frame with a good one behind it is
//! damage, and so is one before the mark: the mark goes to the disk with the frame behind what it tells of, or a moment
//! later when nothing comes, in one place of two by turns, so that a torn one leaves the other. A closed segment ends where
//! its mark says. An empty payload is one that was erased.
//!
//! Version 1 has no marks, `1` as its last byte of the beginning, and is read only.

use event::EventId;

/// How a segment begins; a byte with the version follows.
const MAGIC: &[u8; 7] = b"ACPQJ\0\0";
/// The version that is written.
const VERSION: u8 = 2;
/// Bytes before the first frame.
pub(super) const HEAD_BYTES: usize = CREATED_END + 2 * MARK_BYTES;
/// The same, in version 1.
const HEAD_BYTES_1: usize = CREATED_END;
const CREATED_END: usize = MAGIC.len() + 1 + 8;
const MARK_BYTES: usize = 12;
const FRAME_MAGIC: &[u8; 4] = b"ACPF";
const FRAME_HEAD_BYTES: usize = 12;
const RECORD_HEAD_BYTES: usize = 28;
/// Records of a frame of a segment that is written as a whole; payloads have some megabytes at most, and a frame's length
/// has 32 bits.
const GROUP: usize = 256;

/// A delivery, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) event: EventId,
    /// The time that its folder is made of, in milliseconds since 1970.
    pub(super) time: i64,
    pub(super) payload: &'a [u8],
}

/// How a segment begins that was made at a time, and has nothing in it yet.
pub(super) fn head(created: i64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head[MAGIC.len()] = VERSION;
    head[MAGIC.len() + 1..CREATED_END].copy_from_slice(&created.to_le_bytes());
    for place in [0, 1] {
        let (at, text) = mark(created, HEAD_BYTES as u64, place);
        head[at..at + MARK_BYTES].copy_from_slice(&text);
    }
    head
}

/// Whether it is the torn beginning of a segment of version 1, which was not made as a whole.
pub(super) fn is_begun_only(text: &[u8]) -> bool {
    text.len() < HEAD_BYTES_1 && text.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(&[1]))
}

/// The mark for so many bytes, and where it goes: an even `turn` has another place than an odd one.
pub(super) fn mark(created: i64, synced: u64, turn: usize) -> (usize, [u8; MARK_BYTES]) {
    let mut text = [0; MARK_BYTES];
    text[..8].copy_from_slice(&synced.to_le_bytes());
    text[8..].copy_from_slice(&mark_crc(created, synced).to_le_bytes());
    (CREATED_END + turn % 2 * MARK_BYTES, text)
}

fn mark_crc(created: i64, synced: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&created.to_le_bytes());
    crc.update(&synced.to_le_bytes());
    crc.finalize()
}

/// A frame of these records.
pub(super) fn frame_of(records: &[Record<'_>]) -> Vec<u8> {
    let bytes: usize = records.iter().map(|record| RECORD_HEAD_BYTES + record.payload.len()).sum();
    let mut frame = Frame { text: Vec::with_capacity(FRAME_HEAD_BYTES + bytes) };
    records.iter().for_each(|record| frame.push(*record));
    frame.finish()
}

/// Makes a frame.
#[derive(Default)]
struct Frame {
    text: Vec<u8>,
}

impl Frame {
    /// Appends a record.
    fn push(&mut self, record: Record<'_>) {
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
    fn finish(mut self) -> Vec<u8> {
        if let Some((head, body)) = self.text.split_at_mut_checked(FRAME_HEAD_BYTES) {
            head[..4].copy_from_slice(FRAME_MAGIC);
            head[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
            head[8..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        }
        self.text
    }
}

/// A segment of these records, all of which are synced when it is.
pub(super) fn whole(created: i64, records: &[Record<'_>]) -> Vec<u8> {
    let mut text = head(created).to_vec();
    for group in records.chunks(GROUP) {
        text.extend(frame_of(group));
    }
    for turn in [0, 1] {
        let (at, mark) = mark(created, text.len() as u64, turn);
        text[at..at + MARK_BYTES].copy_from_slice(&mark);
    }
    text
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
    /// So many bytes were synced, as far as is known; none in version 1, which does not say.
    pub(super) synced: Option<usize>,
    /// The turn of the next mark.
    pub(super) turn: usize,
}

/// Why a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It does not begin as one of a version that is known does.
    Head,
    /// What stands at this byte is damaged.
    Frame(usize),
    /// It has fewer bytes than were synced.
    Cut {
        /// So many were synced.
        synced: usize,
    },
}

/// Reads a segment, which may end in a torn frame.
pub(super) fn read(text: &[u8]) -> Result<Segment<'_>, Damage> {
    let (version, rest) = text.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or(Damage::Head)?;
    let created = i64::from_le_bytes(*rest.first_chunk::<8>().ok_or(Damage::Head)?);
    let (start, synced, turn) = match version {
        1 => (HEAD_BYTES_1, None, 0),
        2 => {
            let (synced, place) = synced(text, created).ok_or(Damage::Head)?;
            (HEAD_BYTES, Some(synced), place + 1)
        }
        _ => return Err(Damage::Head),
    };
    let mut segment = Segment { created, records: Vec::new(), good: start, is_torn: false, synced, turn };
    if let Some(synced) = synced.filter(|synced| *synced > text.len()) {
        return Err(Damage::Cut { synced });
    }
    while segment.good < text.len() {
        match frame(&text[segment.good..]) {
            Some(body) if push_records(body, &mut segment.records) => segment.good += FRAME_HEAD_BYTES + body.len(),
            _ if synced.is_some_and(|synced| segment.good < synced) || is_followed(&text[segment.good..]) => {
                return Err(Damage::Frame(segment.good));
            }
            _ => {
                segment.is_torn = true;
                break;
            }
        }
    }
    Ok(segment)
}

/// What the marks say: the later one that is whole, and its place.
fn synced(text: &[u8], created: i64) -> Option<(usize, usize)> {
    let marks = text.get(CREATED_END..HEAD_BYTES)?.chunks_exact(MARK_BYTES);
    let read = |(place, mark): (usize, &[u8])| {
        let synced = u64::from_le_bytes(*mark.first_chunk()?);
        let crc = u32::from_le_bytes(*mark.last_chunk()?);
        (crc == mark_crc(created, synced)).then_some((usize::try_from(synced).ok()?, place))
    };
    marks.enumerate().filter_map(read).max()
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

    /// With a mark at the end of so many groups.
    fn marked(groups: &[Vec<Vec<u8>>], until: usize) -> Vec<u8> {
        let mut text = segment(groups);
        let (at, mark) = mark(7, segment(&groups[..until]).len() as u64, until);
        text[at..at + mark.len()].copy_from_slice(&mark);
        text
    }

    #[test]
    fn a_segment_of_version_1_is_read() {
        let mut text = MAGIC.to_vec();
        text.push(1);
        text.extend(7_i64.to_le_bytes());
        let mut frame = Frame::default();
        frame.push(Record { event: EventId::from_hash([1; 16]), time: 2, payload: b"x" });
        text.extend(frame.finish());
        let segment = read(&text).unwrap();
        assert_eq!((segment.created, segment.records.len(), segment.synced), (7, 1, None));
        text[7] = 3;
        assert_eq!(read(&text), Err(Damage::Head));
    }

    proptest! {
        #[test]
        fn a_segment_that_was_cut_short_is_damage_wherever_it_was_cut(
            groups in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..4), 2..5),
            at in any::<prop::sample::Index>(),
            torn_mark in any::<bool>(),
        ) {
            let until = groups.len() - 1;
            let mut text = marked(&groups, until);
            let synced = segment(&groups[..until]).len();
            prop_assert_eq!(read(&text).unwrap().synced, Some(synced));
            if torn_mark {
                // The other mark still says that there was nothing, so nothing is made up.
                text[CREATED_END + until % 2 * MARK_BYTES] ^= 1;
                prop_assert_eq!(read(&text).unwrap().synced, Some(HEAD_BYTES));
            } else {
                prop_assert!(read(&text[..at.index(synced)]).is_err());
            }
        }

        #[test]
        fn what_is_written_is_read_and_a_torn_end_costs_one_frame(
            groups in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..4), 1..4),
            torn in 1_usize..20,
        ) {
            let text = segment(&groups);
            let read_back = read(&text).unwrap();
            prop_assert_eq!(read_back.synced, Some(HEAD_BYTES));
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
