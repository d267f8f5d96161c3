//! What a connection is doing, and how long it may go on doing it.
//!
//! Nothing is armed or cancelled per request: a request stores the time, and the connection's one timer, when it runs
//! out, looks whether anything has happened since.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::options::{CROWDED_GRACE, CROWDED_IDLE, Limits};
use crate::server::Mode;

/// What one connection is doing. Shared between its transport, its requests and its timer.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    phase: AtomicU8,
    /// Milliseconds after `opened` at which the phase began.
    since: AtomicU64,
    /// Requests being served; several with HTTP/2.
    serving: AtomicU32,
    /// Those of them whose body has not come whole.
    reading: AtomicU32,
    /// An authentic request has come.
    proved: AtomicBool,
    lingers: AtomicBool,
}

/// What a connection is worth when there is no room; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Held by somebody who has sent nothing authentic.
    Stranger,
    /// The same, with a body that comes slowly.
    Slow,
    /// Idle, and authentic requests have come over it.
    Proved,
    /// A request is under way.
    Busy,
}

/// Nothing has come yet.
const FRESH: u8 = 0;
/// Between requests.
const IDLE: u8 = 1;
/// A part of a request's head has come.
const HEAD: u8 = 2;
/// A request is being served.
const SERVING: u8 = 3;

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            phase: AtomicU8::new(FRESH),
            since: AtomicU64::new(0),
            serving: AtomicU32::new(0),
            reading: AtomicU32::new(0),
            proved: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
        }
    }

    /// A request's head is complete; dropping what this returns says that it was answered.
    pub(crate) fn begin(self: &Arc<Self>) -> Serving {
        // The time of a request is that of the first bytes of its head, if that was seen.
        let first = self.serving.fetch_add(1, Ordering::Relaxed) == 0;
        if first && self.phase.load(Ordering::Relaxed) != HEAD {
            self.enter(SERVING);
        } else {
            self.phase.store(SERVING, Ordering::Relaxed);
        }
        Serving(Arc::clone(self))
    }

    /// A body is awaited until what this returns is dropped.
    pub(crate) fn reads(&self) -> Reading<'_> {
        self.reading.fetch_add(1, Ordering::Relaxed);
        Reading(&self.reading)
    }

    /// An authentic request has come.
    pub(crate) fn prove(&self) {
        if !self.proved.load(Ordering::Relaxed) {
            self.proved.store(true, Ordering::Relaxed);
        }
    }

    /// What the connection is worth, and since when it is held so.
    pub(crate) fn standing(&self, now: Instant) -> (Standing, Instant) {
        let since = self.opened + Duration::from_millis(self.since.load(Ordering::Relaxed));
        let young = now.saturating_duration_since(since) < CROWDED_GRACE;
        let proved = self.proved.load(Ordering::Relaxed);
        match self.phase.load(Ordering::Relaxed) {
            SERVING => {
                let waits = self.serving.load(Ordering::Relaxed) <= self.reading.load(Ordering::Relaxed);
                (if waits && !proved && !young { Standing::Slow } else { Standing::Busy }, since)
            }
            HEAD if proved && young => (Standing::Busy, since),
            _ if proved => (Standing::Proved, since),
            // From its beginning: strangers gain nothing by sending something now and then.
            _ => (Standing::Stranger, self.opened),
        }
    }

    /// Bytes have come.
    fn received(&self) {
        if self.phase.load(Ordering::Relaxed) < HEAD {
            self.enter(HEAD);
        }
    }

    fn enter(&self, phase: u8) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(millis, Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Part of a head has come, and the rest is awaited.
    pub(crate) fn is_in_head(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD
    }

    /// When the connection will have taken too long, or is to be looked at again.
    pub(crate) fn deadline(&self, limits: &Limits, mode: Mode) -> Instant {
        let since = self.opened + Duration::from_millis(self.since.load(Ordering::Relaxed));
        match self.phase.load(Ordering::Relaxed) {
            SERVING => Instant::now() + limits.header_timeout,
            HEAD => since + limits.header_timeout,
            FRESH if mode >= Mode::Draining => since,
            // It has been told to finish, and does so by itself.
            IDLE if mode >= Mode::Draining => Instant::now() + limits.header_timeout,
            FRESH if mode == Mode::Crowded => since + limits.header_timeout.min(CROWDED_IDLE),
            FRESH => since + limits.header_timeout,
            _ if mode == Mode::Crowded && !self.proved.load(Ordering::Relaxed) => {
                since + limits.idle_timeout.min(CROWDED_IDLE)
            }
            _ => since + limits.idle_timeout,
        }
    }

    /// The sender may still be sending something that nobody will read.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }
}

/// A request that is being served.
pub(crate) struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        if self.0.serving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(IDLE);
        }
    }
}

/// A body that is awaited.
pub(crate) struct Reading<'a>(&'a AtomicU32);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A transport that tells its connection's [`Activity`] when a head begins to arrive.
pub(crate) struct Watched<T> {
    pub(crate) transport: T,
    pub(crate) activity: Arc<Activity>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let activity = Arc::new(Activity::new());
        let limits = Limits::default();
        let left = |mode| activity.deadline(&limits, mode).saturating_duration_since(Instant::now()).as_secs();
        assert_eq!(left(Mode::Normal), 10, "nothing has come");
        tokio::time::advance(Duration::from_secs(4)).await;
        activity.received();
        activity.received();
        assert_eq!(left(Mode::Normal), 10, "the head has begun");
        tokio::time::advance(Duration::from_secs(4)).await;
        activity.received();
        assert_eq!(left(Mode::Normal), 6, "more of the same head");
        let (one, other) = (activity.begin(), activity.begin());
        drop(one);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(left(Mode::Normal), 10, "being served: looked at again later");
        drop(other);
        assert_eq!([left(Mode::Normal), left(Mode::Crowded)], [75, 2]);
        activity.prove();
        assert_eq!([left(Mode::Normal), left(Mode::Crowded)], [75, 75], "an authentic request has come");
        let fresh = Activity::new();
        let left = |mode| fresh.deadline(&limits, mode).saturating_duration_since(Instant::now()).as_secs();
        assert_eq!([left(Mode::Normal), left(Mode::Crowded)], [10, 2], "nothing has come");
        assert_eq!(Activity::new().deadline(&limits, Mode::Draining), Instant::now(), "nothing to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_never_in_the_way() {
        let activity = Arc::new(Activity::new());
        let standing = || activity.standing(Instant::now()).0;
        let later = || tokio::time::advance(CROWDED_GRACE);
        assert_eq!(standing(), Standing::Stranger);
        activity.received();
        assert_eq!(standing(), Standing::Stranger, "a piece of a head");
        let request = activity.begin();
        let body = activity.reads();
        assert_eq!(standing(), Standing::Busy, "its body is on its way");
        later().await;
        assert_eq!(standing(), Standing::Slow);
        drop(body);
        assert_eq!(standing(), Standing::Busy, "all of it is there");
        drop(request);
        assert_eq!(standing(), Standing::Stranger, "it was not authentic");
        activity.prove();
        assert_eq!(standing(), Standing::Proved);
        activity.received();
        assert_eq!(standing(), Standing::Busy, "the next head is on its way");
        later().await;
        assert_eq!(standing(), Standing::Proved, "and does not come");
        let (_request, _body) = (activity.begin(), activity.reads());
        later().await;
        assert_eq!(standing(), Standing::Busy, "who has proved himself may be slow");
    }
}
