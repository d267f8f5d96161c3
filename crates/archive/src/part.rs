//! Writing and reading one part: compressed lines, in memory, of bounded size.

use std::io::{BufRead, BufReader, Read, Write};

use bytes::Bytes;
use event::{Event, Timestamp};

use crate::Error;
use crate::codec::{push_line, read_line};
use crate::manifest::{FORMAT, Manifest};

/// Bytes of lines in one part: what an export or a replay holds in memory, compressed.
pub(crate) const LINES_BYTES_MAX: u64 = 32 << 20;
/// Events in one part.
pub(crate) const EVENTS_MAX: u64 = 100_000;
/// Bytes of one line at most when a part is read: base64 of the largest body, and more.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// zstd's own default: more costs much time for little.
const LEVEL: i32 = 3;

/// A part that is being written.
pub(crate) struct PartWriter {
    encoder: zstd::stream::Encoder<'static, Vec<u8>>,
    line: Vec<u8>,
    lines_bytes: u64,
    count: u64,
    first_seq: u64,
    last: Option<(u64, event::EventId)>,
    earliest: Timestamp,
    latest: Timestamp,
}

impl PartWriter {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            encoder: zstd::stream::Encoder::new(Vec::new(), LEVEL).map_err(compressing)?,
            line: Vec::new(),
            lines_bytes: 0,
            count: 0,
            first_seq: 0,
            last: None,
            earliest: Timestamp::default(),
            latest: Timestamp::default(),
        })
    }

    pub(crate) fn push(&mut self, seq: u64, event: &Event) -> Result<(), Error> {
        self.line.clear();
        push_line(&mut self.line, seq, event);
        self.encoder.write_all(&self.line).map_err(compressing)?;
        self.lines_bytes += self.line.len() as u64;
        let received = event.received;
        (self.earliest, self.latest) = match self.count {
            0 => (received, received),
            _ => (self.earliest.min(received), self.latest.max(received)),
        };
        if self.count == 0 {
            self.first_seq = seq;
        }
        self.count += 1;
        self.last = Some((seq, event.id));
        Ok(())
    }

    /// The place of the first event; 0 while there is none.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines_bytes >= LINES_BYTES_MAX || self.count >= EVENTS_MAX
    }

    /// The object, and its manifest. `stem` is its name without an end.
    pub(crate) fn finish(self, stem: &str) -> Result<(Bytes, Manifest), Error> {
        let data = Bytes::from(self.encoder.finish().map_err(compressing)?);
        let manifest = Manifest {
            format: FORMAT,
            object: format!("{stem}{}", crate::manifest::DATA),
            bytes: data.len() as u64,
            lines_bytes: self.lines_bytes,
            sha256: sha256(&data),
            count: self.count,
            first_seq: self.first_seq,
            last_seq: self.last.map_or(0, |(seq, _)| seq),
            last_id: self.last.map(|(_, id)| id.to_string()).unwrap_or_default(),
            earliest: self.earliest,
            latest: self.latest,
            damaged: Vec::new(),
            destination: None,
            rewritten: 0,
            replaces: None,
            number: None,
            before: Vec::new(),
            progress: None,
        };
        Ok((data, manifest))
    }
}

fn compressing(error: std::io::Error) -> Error {
    Error::Unreachable(format!("compressing a part: {error}"))
}

/// The checksum of an object, in hex.
pub(crate) fn sha256(data: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data))
}

/// Reads the lines of a checked object, one at a time.
pub(crate) struct PartReader {
    lines: BufReader<zstd::stream::Decoder<'static, BufReader<std::io::Cursor<Bytes>>>>,
    text: Vec<u8>,
    name: String,
}

impl PartReader {
    pub(crate) fn new(name: &str, data: Bytes) -> Result<Self, Error> {
        let decoder = zstd::stream::Decoder::new(std::io::Cursor::new(data)).map_err(|error| damaged(name, error))?;
        Ok(Self { lines: BufReader::new(decoder), text: Vec::new(), name: name.to_owned() })
    }

    /// Passes lines by.
    pub(crate) fn skip(&mut self, lines: u64) -> Result<(), Error> {
        for _ in 0..lines {
            self.read()?;
        }
        Ok(())
    }

    /// The next event and its place in the log; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Event)>, Error> {
        if !self.read()? {
            return Ok(None);
        }
        read_line(&self.text).map(Some).map_err(|what| damaged(&self.name, what))
    }

    fn read(&mut self) -> Result<bool, Error> {
        self.text.clear();
        let mut line = (&mut self.lines).take(LINE_BYTES_MAX);
        let read = line.read_until(b'\n', &mut self.text).map_err(|error| damaged(&self.name, error))?;
        if read > 0 && self.text.last() != Some(&b'\n') {
            return Err(damaged(&self.name, "its last line is torn"));
        }
        Ok(read > 0)
    }
}

fn damaged(name: &str, what: impl ToString) -> Error {
    Error::Damaged { part: name.to_owned(), what: what.to_string() }
}
