//! Reads a request's body within its limits of size, time and memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::memory::{BodyMemory, Exhausted, Reserved};
use crate::options::{Limits, MIN_PROGRESS_BYTES, SMALL_BODY_BYTES};

/// A body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyFailure {
    /// More bytes than allowed.
    TooLarge,
    /// Not enough bytes in time.
    TooSlow,
    /// All the memory for bodies is taken.
    NoMemory,
    /// The connection ended, or the chunks are malformed.
    Incomplete,
}

impl From<Exhausted> for BodyFailure {
    fn from(_: Exhausted) -> Self {
        Self::NoMemory
    }
}

/// A body that was read, or the beginning of one that is longer.
pub(crate) enum Read {
    Whole(Bytes, Reserved),
    Longer(Longer),
}

/// The beginning of a body that is not read into memory.
pub(crate) struct Longer {
    arrival: Arrival,
    begun: Vec<u8>,
    /// What came last.
    piece: Bytes,
    reserved: Reserved,
}

impl Longer {
    /// Reads to the end, at most `max` bytes, and hands over pieces of about `size` bytes. `write` takes one with the
    /// state and gives the state back.
    pub(crate) async fn drain<B, T, E, F>(
        self,
        body: &mut B,
        (size, max): (usize, usize),
        mut state: T,
        write: impl Fn(T, Vec<u8>) -> F,
    ) -> Result<T, E>
    where
        B: Body<Data = Bytes> + Unpin,
        E: From<BodyFailure>,
        F: Future<Output = Result<(T, Vec<u8>), E>>,
    {
        let Self { mut arrival, begun, piece, mut reserved } = self;
        let mut total = begun.len() + piece.len();
        reserved.grow_to(total.max(2 * size)).map_err(BodyFailure::from)?;
        let mut gathered = begun;
        gathered.reserve((size + size / 4).saturating_sub(gathered.len()));
        gathered.extend_from_slice(&piece);
        drop(piece);
        loop {
            if total > max {
                return Err(BodyFailure::TooLarge.into());
            }
            if gathered.len() >= size {
                (state, gathered) = write(state, gathered).await?;
                gathered.clear();
                gathered.shrink_to(size + size / 4);
            }
            match arrival.next(body).await? {
                Some(piece) => {
                    total += piece.len();
                    gathered.extend_from_slice(&piece);
                }
                None => return Ok(write(state, gathered).await?.0),
            }
        }
    }
}

/// Reads the whole body, at most `max` bytes.
pub(crate) async fn read<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    max: usize,
    limits: &Limits,
    memory: &Arc<BodyMemory>,
) -> Result<(Bytes, Reserved), BodyFailure> {
    match read_up_to(body, max, limits, memory).await? {
        Read::Whole(bytes, reserved) => Ok((bytes, reserved)),
        Read::Longer(_) => Err(BodyFailure::TooLarge),
    }
}

/// Reads the whole body if it has at most `max` bytes. One that comes in one piece is not copied.
pub(crate) async fn read_up_to<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    max: usize,
    limits: &Limits,
    memory: &Arc<BodyMemory>,
) -> Result<Read, BodyFailure> {
    let announced = body.size_hint().upper().map_or(max, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut arrival = Arrival::new(limits);
    let mut reserved = Reserved::nothing(memory);
    let longer = |arrival, begun, piece, reserved| Ok(Read::Longer(Longer { arrival, begun, piece, reserved }));
    if body.size_hint().upper().is_some() && announced > max {
        return longer(arrival, Vec::new(), Bytes::new(), reserved);
    }
    let Some(first) = arrival.next(body).await? else { return Ok(Read::Whole(Bytes::new(), reserved)) };
    if first.len() > max {
        return longer(arrival, Vec::new(), first, reserved);
    }
    reserved.grow_to(first.len())?;
    if body.is_end_stream() {
        return Ok(Read::Whole(first, reserved));
    }
    let Some(mut piece) = arrival.next(body).await? else { return Ok(Read::Whole(first, reserved)) };
    let mut whole = Vec::new();
    whole.extend_from_slice(&first);
    drop(first);
    loop {
        let total = whole.len() + piece.len();
        if total > max {
            return longer(arrival, whole, piece, reserved);
        }
        if total > whole.capacity() {
            let capacity = total.max(announced.min(2 * whole.capacity().max(SMALL_BODY_BYTES / 2)));
            reserved.grow_to(capacity)?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&piece);
        match arrival.next(body).await? {
            Some(next) => piece = next,
            None => return Ok(Read::Whole(Bytes::from(whole), reserved)),
        }
    }
}

/// Reads the rest of a body that nobody wants, so that the connection can go on. Returns whether its end was reached
/// within `max` bytes and in time.
pub(crate) async fn discard<B: Body<Data = Bytes> + Unpin>(body: &mut B, max: usize, limits: &Limits) -> bool {
    let mut arrival = Arrival::new(limits);
    let mut left = max;
    while !body.is_end_stream() {
        match arrival.next(body).await {
            Ok(Some(piece)) if piece.len() <= left => left -= piece.len(),
            Ok(None) => return true,
            Ok(Some(_)) | Err(_) => return false,
        }
    }
    true
}

/// The pieces of a body as they arrive, with a watch on their pace.
struct Arrival {
    timeout: Duration,
    stall: Duration,
    /// Made when the first wait begins: most bodies are there with their heads.
    timer: Option<Timer>,
}

struct Timer {
    sleep: Pin<Box<Sleep>>,
    end: Instant,
    /// Bytes since the present stretch of `stall` began.
    progress: usize,
}

impl Arrival {
    fn new(limits: &Limits) -> Self {
        Self { timeout: limits.body_timeout, stall: limits.body_stall, timer: None }
    }

    /// The next piece; `None` at the end.
    async fn next<B: Body<Data = Bytes> + Unpin>(&mut self, body: &mut B) -> Result<Option<Bytes>, BodyFailure> {
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => self.poll_late(cx).map(|()| Err(BodyFailure::TooSlow)),
            });
            let Some(frame) = frame.await? else { return Ok(None) };
            let frame = frame.map_err(|_| BodyFailure::Incomplete)?;
            // Trailers are of no use here, and empty pieces are no progress.
            if let Ok(piece) = frame.into_data()
                && piece.has_remaining()
            {
                if let Some(timer) = &mut self.timer {
                    timer.progress += piece.len();
                }
                return Ok(Some(piece));
            }
        }
    }

    /// Ready when the body has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            let now = Instant::now();
            let end = now + self.timeout;
            Timer { sleep: Box::pin(sleep_until(end.min(now + self.stall))), end, progress: 0 }
        });
        while timer.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= timer.end || timer.progress < MIN_PROGRESS_BYTES {
                return Poll::Ready(());
            }
            timer.progress = 0;
            timer.sleep.as_mut().reset(timer.end.min(now + self.stall));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
