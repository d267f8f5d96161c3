//! A large body, of which only a window is in memory.
//!
//! The window reads on when what is looked at does not end in it, and grows for a single piece that is larger, up to a
//! limit. A scan that runs into its end is made again with more text, so the scanner needs to know nothing of it.

use std::io;

use bytes::{Bytes, BytesMut};

use super::large::{LargeError, LargeLimits};
use crate::BodyError;
use crate::json::{self, Fault, Scanner};

/// Bytes before the end of the text within which a fault may be nothing but that end: the longest of what the scanner
/// takes at once is an escape, `\uXXXX`, or a word, `false`.
const CUT_WITHIN: usize = 8;
/// Bytes that are looked at first for a piece outside of a batch.
const FIRST_VIEW: usize = 4 * 1024;

/// How many times what does not end in it a window is made.
const GROWTH: usize = 4;

/// A body that is kept somewhere else. Whoever keeps it does the reading.
pub trait Stored {
    /// How many bytes it has.
    fn size(&self) -> u64;

    /// Reads bytes from a place on. Returns how many were read, which is none at the end only.
    ///
    /// # Errors
    /// Whatever the keeper's reading gives.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl<T: Stored + ?Sized> Stored for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(at, into)
    }
}

/// The part of a body that is in memory.
pub(super) struct Window<S> {
    stored: S,
    limits: LargeLimits,
    bytes: Bytes,
    /// Where the first of the bytes is in the body.
    at: u64,
    /// How many of the bytes are done with.
    done: usize,
    /// The bytes reach to the end of the body.
    ended: bool,
}

impl<S: Stored> Window<S> {
    /// Nothing in memory yet; what is looked at first is at `at`.
    pub(super) fn new(stored: S, at: u64, limits: LargeLimits) -> Self {
        Self { stored, limits, bytes: Bytes::new(), at, done: 0, ended: false }
    }

    /// Where the next byte is in the body.
    pub(super) fn place(&self) -> u64 {
        self.at + self.done as u64
    }

    pub(super) fn limits(&self) -> LargeLimits {
        self.limits
    }

    /// All that is there and not done with, as bytes and as text.
    pub(super) fn rest(&self) -> Result<(Bytes, &str), LargeError> {
        let text = self.text(usize::MAX)?;
        Ok((self.bytes.slice(self.done..self.done + text.len()), text))
    }

    /// Moves to a place before anything has been read.
    pub(super) fn begin_at(&mut self, at: u64) {
        self.at = at;
    }

    /// Goes on behind the next bytes.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.done += bytes;
    }

    /// Whether a fault in the first `len` bytes is one of the body, and not of the window's end.
    pub(super) fn is_real(&self, fault: Fault, len: usize) -> bool {
        self.reaches_end(len) || fault.at + CUT_WITHIN <= len
    }

    /// The next byte that is no whitespace, if there is one.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, LargeError> {
        loop {
            let rest = &self.bytes[self.done..];
            let blank = rest.iter().take_while(|&&byte| json::is_whitespace(byte)).count();
            self.done += blank;
            if let Some(&next) = self.bytes.get(self.done) {
                return Ok(Some(next));
            }
            if self.ended {
                return Ok(None);
            }
            self.more()?;
        }
    }

    /// Takes what `scan` takes, and hands its text to `copy`. `scan` may be called again, with more text.
    pub(super) fn take<R>(
        &mut self,
        mut copy: impl FnMut(&str) -> Result<(), BodyError>,
        scan: impl Fn(&mut Scanner<'_>) -> Result<R, Fault>,
    ) -> Result<R, LargeError> {
        self.peek()?;
        let mut view = FIRST_VIEW.min(self.limits.window.max(1));
        loop {
            let text = self.text(view)?;
            let len = text.len();
            let mut scanner = Scanner::new(text);
            match scan(&mut scanner) {
                // A number that ends with the text may go on behind it.
                Ok(taken) if scanner.at() < len || self.reaches_end(len) => {
                    let at = scanner.at();
                    copy(&text[..at])?;
                    self.done += at;
                    return Ok(taken);
                }
                Err(fault) if self.is_real(fault, len) => return Err(self.fault(fault)),
                _ => {}
            }
            if view >= self.bytes.len() - self.done {
                self.more()?;
            }
            view = view.saturating_mul(2);
        }
    }

    /// Reads on. What is not done with stays.
    pub(super) fn more(&mut self) -> Result<(), LargeError> {
        let rest = self.bytes.len() - self.done;
        if rest >= self.limits.piece {
            return Err(BodyError::PieceTooLarge { max: self.limits.piece, offset: self.offset(0) }.into());
        }
        let size = self.limits.window.max(GROWTH * rest).min(self.limits.piece).max(rest + 1);
        let mut bytes = self.emptied(rest, size);
        (self.at, self.done) = (self.place(), 0);
        bytes.resize(size, 0);
        let filled = fill(&self.stored, self.at, &mut bytes, rest)?;
        self.ended = filled < size || self.at + filled as u64 >= self.stored.size();
        bytes.truncate(filled);
        self.bytes = bytes.freeze();
        Ok(())
    }

    /// Memory that holds what is not done with: that of the window itself if it is large enough and nobody else has a part
    /// of it. Once it has grown it stays so for the rest of the body: what is given back is not free for others at once.
    fn emptied(&mut self, rest: usize, size: usize) -> BytesMut {
        match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(mut own) if own.capacity() >= size => {
                own.copy_within(self.done.., 0);
                own.truncate(rest);
                own
            }
            Ok(own) => copied(&own[self.done..], size),
            Err(shared) => copied(&shared[self.done..], size),
        }
    }

    /// The error of a fault in the text that comes next.
    pub(super) fn fault(&self, fault: Fault) -> LargeError {
        match self.locate(self.place() + fault.at as u64) {
            Ok((line, column)) => {
                let offset = self.offset(fault.at);
                BodyError::Syntax { problem: fault.problem, offset, line, column }.into()
            }
            Err(error) => error.into(),
        }
    }

    /// Where the byte behind the next `bytes` is in the body.
    fn offset(&self, bytes: usize) -> usize {
        usize::try_from(self.place()).unwrap_or(usize::MAX).saturating_add(bytes)
    }

    /// Whether the next `len` bytes are all that is left of the body.
    fn reaches_end(&self, len: usize) -> bool {
        self.ended && self.done + len == self.bytes.len()
    }

    /// At most `view` bytes of what comes next, in whole characters.
    fn text(&self, view: usize) -> Result<&str, LargeError> {
        let rest = &self.bytes[self.done..];
        let rest = &rest[..view.min(rest.len())];
        let Some(chunk) = rest.utf8_chunks().next() else { return Ok("") };
        let (text, wrong) = (chunk.valid(), chunk.invalid());
        let cut = text.len() + wrong.len() == rest.len() && !self.reaches_end(rest.len());
        if wrong.is_empty() || cut {
            return Ok(text);
        }
        Err(BodyError::NotUtf8 { offset: self.offset(text.len()) }.into())
    }

    /// The line and the column, in characters, of a place in the body, both counted from 1.
    fn locate(&self, place: u64) -> io::Result<(usize, usize)> {
        let (mut at, mut line, mut column) = (json::mark_len(&self.head()?) as u64, 1, 1);
        let mut piece = vec![0; FIRST_VIEW];
        while at < place {
            let want = usize::try_from(place - at).unwrap_or(FIRST_VIEW).min(FIRST_VIEW);
            let filled = fill(&self.stored, at, &mut piece[..want], 0)?;
            if filled == 0 {
                break;
            }
            at += filled as u64;
            for &byte in &piece[..filled] {
                match byte {
                    b'\n' => (line, column) = (line + 1, 1),
                    // The later bytes of a character.
                    0x80..0xc0 => {}
                    _ => column += 1,
                }
            }
        }
        Ok((line, column))
    }

    /// The first bytes of the body, by which its encoding is known.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; 4];
        let filled = fill(&self.stored, 0, &mut head, 0)?;
        head.truncate(filled);
        Ok(head)
    }
}

fn copied(rest: &[u8], size: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(size);
    bytes.extend_from_slice(rest);
    bytes
}

/// Reads into `bytes` from `from` on, until they are full or the body ends. Returns how many are filled.
fn fill(stored: &impl Stored, at: u64, bytes: &mut [u8], from: usize) -> io::Result<usize> {
    let mut filled = from;
    while filled < bytes.len() {
        match stored.read_at(at + filled as u64, &mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
