//! Telling damage in the write-ahead log from a torn end.
//!
//! SQLite reads its log up to the first frame whose checksum is wrong and takes that for the end: after a power failure
//! the last commit may be there in part, and nobody was told of it. A flipped bit in the middle looks the same to it,
//! and would silently cost every commit behind it. But each commit is synced before the next one begins, so at most one
//! commit can stand behind a torn frame; where there are more, the log is damaged, and we say so instead of starting.
//!
//! A bit that flips in the very last commit cannot be told from a torn end.
//!
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use crate::failure::Failed;

const FILE: &str = "queue.db-wal";
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The first word of the header; its last bit tells the byte order of checksums.
const MAGIC: u32 = 0x377f_0682;
/// SQLite's own limit on pages.
const MAX_PAGE_BYTES: usize = 65_536;
/// A running server may start its log anew while it is read; then it is read again, at most so often.
const MAX_READS: usize = 5;

/// Fails when commits stand in the log that SQLite would not see. A missing or empty log is good.
///
/// Tells whether the last commit is torn. Then the log should be copied and emptied before more is written, or what is
/// left of that commit could stand behind the next torn one and be taken for damage.
pub(crate) fn check(dir: &Path) -> Result<bool, Failed> {
    let path = dir.join(FILE);
    for _ in 0..MAX_READS {
        let Some((header, found)) =
            scan(&path).map_err(|error| Failed::Disk(format!("{}: {error}", path.display())))?
        else {
            return Ok(false);
        };
        let damage = match found {
            End::Whole => return Ok(false),
            End::Torn => return Ok(true),
            End::Damaged(damage) => damage,
        };
        let now = read_header(&path).unwrap_or_default();
        if now == header {
            return Err(Failed::Damaged(format!(
                "{}, byte {}: {}; keep a copy of the directory and restore the newest backup, or go on without what \
                 stands behind that byte: sqlite3 queue.db 'PRAGMA wal_checkpoint(TRUNCATE)'",
                path.display(),
                damage.at,
                damage.what
            )));
        }
    }
    Ok(false)
}

type Header = [u8; HEADER_BYTES];

/// How the log ends.
enum End {
    Whole,
    Torn,
    Damaged(Damage),
}

struct Damage {
    at: u64,
    what: String,
}

fn read_header(path: &Path) -> std::io::Result<Header> {
    let mut header = [0; HEADER_BYTES];
    File::open(path)?.read_exact(&mut header)?;
    Ok(header)
}

/// Reads the whole log; `None` if there is none.
fn scan(path: &Path) -> std::io::Result<Option<(Header, End)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    let mut log = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER_BYTES];
    if !read_whole(&mut log, &mut header)? {
        return Ok(None);
    }
    let Some(mut sum) = Checksum::of_header(&header) else {
        let frames = len > (HEADER_BYTES + FRAME_HEADER_BYTES) as u64;
        let what = "the head of the write-ahead log is damaged, so that none of it can be read".to_owned();
        let end = if frames { End::Damaged(Damage { at: 0, what }) } else { End::Torn };
        return Ok(Some((header, end)));
    };
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes(&header)];
    let (mut at, mut torn_at, mut commits_behind) = (HEADER_BYTES as u64, None, 0);
    while read_whole(&mut log, &mut frame)? {
        let ours = frame[8..16] == header[16..24];
        let good = torn_at.is_none() && ours && sum.add_frame(&frame);
        if !good {
            torn_at = torn_at.or(Some(at));
            commits_behind += u64::from(ours && word(&frame, 4) != 0);
        }
        at += frame.len() as u64;
    }
    let end = match (torn_at, commits_behind) {
        (None, _) | (_, 0) => End::Whole,
        (Some(_), 1) => End::Torn,
        (Some(at), commits) => End::Damaged(Damage {
            at,
            what: format!("the write-ahead log is damaged; {commits} commits from there on cannot be read"),
        }),
    };
    Ok(Some((header, end)))
}

/// Fills `into`; false at the end of the file, also in the middle of a frame.
fn read_whole(log: &mut impl Read, into: &mut [u8]) -> std::io::Result<bool> {
    match log.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn page_bytes(header: &Header) -> usize {
    match word(header, 8) {
        // The largest size does not fit the two bytes that older formats had.
        1 => MAX_PAGE_BYTES,
        bytes => usize::try_from(bytes).unwrap_or(MAX_PAGE_BYTES).clamp(512, MAX_PAGE_BYTES),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// SQLite's running checksum.
struct Checksum {
    sums: (u32, u32),
    big_endian: bool,
}

impl Checksum {
    /// The checksum after the header; `None` if the header does not carry it.
    fn of_header(header: &Header) -> Option<Self> {
        if word(header, 0) & !1 != MAGIC {
            return None;
        }
        let mut sum = Self { sums: (0, 0), big_endian: word(header, 0) & 1 == 1 };
        sum.add(&header[..24]);
        (sum.sums == (word(header, 24), word(header, 28))).then_some(sum)
    }

    /// Whether the frame carries the checksum of everything up to its end.
    fn add_frame(&mut self, frame: &[u8]) -> bool {
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEADER_BYTES..]);
        self.sums == (word(frame, 16), word(frame, 20))
    }

    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let decode = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            let (one, other) = (decode([a, b, c, d]), decode([e, f, g, h]));
            self.sums.0 = self.sums.0.wrapping_add(one).wrapping_add(self.sums.1);
            self.sums.1 = self.sums.1.wrapping_add(other).wrapping_add(self.sums.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A log of several commits, as a crash would leave it.
    fn log_of(commits: usize) -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("queue.db")).unwrap();
        connection
            .execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
            .unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        for _ in 1..commits {
            connection.execute("INSERT INTO t VALUES (zeroblob(9000))", []).unwrap();
        }
        let log = std::fs::read(dir.path().join(FILE)).unwrap();
        drop(connection);
        (dir, log)
    }

    #[test]
    fn a_whole_a_torn_and_a_missing_log_are_good() {
        let (dir, log) = log_of(8);
        assert!(check(dir.path()).is_ok(), "no log after a clean end");
        for len in [log.len(), log.len() - 1, log.len() - 5_000, HEADER_BYTES, 10, 0] {
            std::fs::write(dir.path().join(FILE), &log[..len]).unwrap();
            assert!(check(dir.path()).is_ok(), "cut off at {len}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_unless_it_is_in_the_last_commit() {
        let (dir, log) = log_of(8);
        let last_commit = log.len() - 4 * (FRAME_HEADER_BYTES + 4096);
        for at in (0..last_commit).step_by(61) {
            let mut damaged = log.clone();
            damaged[at] ^= 4;
            std::fs::write(dir.path().join(FILE), &damaged).unwrap();
            let found = check(dir.path());
            // In the last commit but one, it may look torn: only one commit stands behind.
            let behind = at < last_commit - 5 * (FRAME_HEADER_BYTES + 4096);
            assert!(found.is_err() || !behind, "byte {at} of {}", log.len());
        }
    }
}
