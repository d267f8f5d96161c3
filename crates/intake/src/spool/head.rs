//! What stands behind an accepted body in its file: all that is needed to publish it, whatever the configuration says by
//! then.
//!
//! It is JSON, and after it 24 bytes: its length (`u32`), the version of the format (`u32`), the first eight bytes of its
//! SHA-256, and a mark; numbers in little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use aws_lc_rs::digest;
use event::{Batch, SourceKind, SplitSettings, Timestamp};
use serde::{Deserialize, Serialize};

/// SHA-256.
pub(crate) type Digest = [u8; 32];

const MARK: &[u8; 8] = b"AFTSPOOL";
const VERSION: u32 = 1;
const END_BYTES: u64 = 24;
/// Settings are some hundred bytes.
const HEAD_BYTES_MAX: u64 = 1024 * 1024;

/// What is known of an accepted body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) source: String,
    pub(crate) received: Timestamp,
    /// What has proved that it is genuine.
    pub(crate) proof: String,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
    pub(crate) split: SplitSettings,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    source: String,
    received: i64,
    proof: String,
    bytes: u64,
    digest: String,
    kind: SourceKind,
    event_id: Vec<String>,
    conversation: Vec<String>,
    topic: Vec<String>,
    batch: WireBatch,
    max_events: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireBatch {
    Auto,
    At(String),
    Never,
}

impl Head {
    /// As it stands in the file.
    pub(crate) fn written(&self) -> Vec<u8> {
        let texts = |pointers: &[event::json::Pointer]| pointers.iter().map(ToString::to_string).collect();
        let wire = Wire {
            source: self.source.clone(),
            received: self.received.as_millis(),
            proof: self.proof.clone(),
            bytes: self.bytes,
            digest: hex::encode(self.digest),
            kind: self.split.kind,
            event_id: texts(&self.split.event_id),
            conversation: texts(&self.split.conversation),
            topic: texts(&self.split.topic),
            batch: match &self.split.batch {
                Batch::Auto => WireBatch::Auto,
                Batch::At(pointer) => WireBatch::At(pointer.to_string()),
                Batch::Never => WireBatch::Never,
            },
            max_events: self.split.max_events_per_body,
        };
        // Strings and numbers always become JSON.
        let mut written = serde_json::to_vec(&wire).unwrap_or_default();
        let (len, sum) = (written.len() as u32, sum(&written));
        written.extend(len.to_le_bytes());
        written.extend(VERSION.to_le_bytes());
        written.extend(sum);
        written.extend(MARK);
        written
    }

    /// Reads it from a file of `size` bytes. Blocks.
    pub(crate) fn read(file: &File, size: u64) -> io::Result<Self> {
        let mut end = [0; END_BYTES as usize];
        let end_at = size.checked_sub(END_BYTES).ok_or_else(|| damaged("it is too short"))?;
        file.read_exact_at(&mut end, end_at)?;
        let (numbers, rest) = end.split_at(8);
        let number =
            |at: usize| numbers[at..at + 4].iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
        if &rest[8..] != MARK {
            return Err(damaged("its end is missing"));
        }
        if number(4) != VERSION {
            return Err(damaged("it was written by another version of Aftercall"));
        }
        let len = u64::from(number(0));
        let at =
            end_at.checked_sub(len).filter(|_| len <= HEAD_BYTES_MAX).ok_or_else(|| damaged("its length is wrong"))?;
        let mut text = vec![0; usize::try_from(len).unwrap_or_default()];
        file.read_exact_at(&mut text, at)?;
        if sum(&text) != rest[..8] {
            return Err(damaged("its checksum is wrong"));
        }
        let head = Self::of(&text).ok_or_else(|| damaged("its settings cannot be read"))?;
        if head.bytes == at { Ok(head) } else { Err(damaged("the body has another length")) }
    }

    fn of(text: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(text).ok()?;
        let pointers = |texts: &[String]| texts.iter().map(|text| text.parse().ok()).collect::<Option<Vec<_>>>();
        let mut digest = [0; 32];
        hex::decode_to_slice(&wire.digest, &mut digest).ok()?;
        let split = SplitSettings {
            event_id: pointers(&wire.event_id)?,
            conversation: pointers(&wire.conversation)?,
            topic: pointers(&wire.topic)?,
            batch: match &wire.batch {
                WireBatch::Auto => Batch::Auto,
                WireBatch::At(pointer) => Batch::At(pointer.parse().ok()?),
                WireBatch::Never => Batch::Never,
            },
            max_events_per_body: wire.max_events,
            ..SplitSettings::new(wire.kind)
        };
        let received = Timestamp::from_millis(wire.received);
        Some(Self { source: wire.source, received, proof: wire.proof, bytes: wire.bytes, digest, split })
    }
}

/// The first bytes of a SHA-256.
fn sum(text: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest::digest(&digest::SHA256, text).as_ref()[..8]);
    sum
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
