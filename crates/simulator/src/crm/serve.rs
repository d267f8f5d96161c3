//! The CRM's HTTP side: connections, faults on the wire, and the count of requests in progress.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::fault::{Active, Fault};
use super::ledger::{Ledger, Report, Upsert};
use crate::Tag;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;
/// The largest body that is read, in bytes; more than an intake accepts by default.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// The longest that a request is held without an answer, whatever the fault says.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// Pause after a failed accept, which is when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the connections and the handle share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) books: Mutex<Ledger>,
    fault: Mutex<Option<Active>>,
    /// Changes whenever a fault is set or cleared, which ends the holding of requests.
    fault_changed: watch::Sender<()>,
    in_progress: AtomicUsize,
    most_in_progress: AtomicUsize,
}

impl Shared {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            books: Mutex::new(Ledger::new(entries_max)),
            fault: Mutex::new(None),
            fault_changed: watch::Sender::new(()),
            in_progress: AtomicUsize::new(0),
            most_in_progress: AtomicUsize::new(0),
        }
    }

    pub(super) fn set_fault(&self, fault: Option<Active>) {
        *self.fault.lock() = fault;
        self.fault_changed.send_replace(());
    }

    pub(super) fn fault(&self, now: Instant) -> Option<Active> {
        self.fault.lock().and_then(|active| active.at(now))
    }

    pub(super) fn report(&self) -> Report {
        Report {
            concurrency: self.in_progress.load(Ordering::Relaxed),
            max_concurrency: self.most_in_progress.load(Ordering::Relaxed),
            ..self.books.lock().report()
        }
    }

    /// Counts a request as in progress until the guard is dropped, also when the peer goes away.
    fn enter(&self) -> InProgress<'_> {
        let now = self.in_progress.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_progress.fetch_max(now, Ordering::Relaxed);
        InProgress(self)
    }
}

struct InProgress<'a>(&'a Shared);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts and serves connections until told to stop; the runtime's end closes those that are left.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        serve_connection(stream, &shared).await;
                        drop(slot);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

async fn serve_connection(stream: TcpStream, shared: &Shared) {
    // Without it answers would wait for the peer's acknowledgements; if it fails they only come later.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let wire = TokioIo::new(Wire { stream, reset: Arc::clone(&reset) });
    let service = service_fn(|request| answer(shared, &reset, request));
    // Errors are those of the peer or of a fault; both show in the ledger or on the other side.
    let _ = http1::Builder::new().pipeline_flush(true).serve_connection(wire, service).await;
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
struct Unanswered;

async fn answer(
    shared: &Shared,
    reset: &AtomicBool,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Unanswered> {
    let _in_progress = shared.enter();
    if !matches!(*request.method(), Method::PUT | Method::POST | Method::PATCH) {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let row = row_of(&request);
    let Ok(body) = Limited::new(request.into_body(), BODY_MAX).collect().await else {
        return Err(Unanswered);
    };
    let body = body.to_bytes();
    let Some(Active { fault, until }) = shared.fault(Instant::now()) else {
        return Ok(write(shared, row, &body));
    };
    match fault {
        Fault::Status { code, retry_after } => Ok(refuse(shared, row, &body, code, retry_after)),
        Fault::RejectSome { every, code } if Fault::chooses(every, Tag::find_in(&body)) => {
            Ok(refuse(shared, row, &body, code, None))
        }
        Fault::RejectSome { .. } => Ok(write(shared, row, &body)),
        Fault::Slow(delay) => {
            tokio::time::sleep(delay).await;
            Ok(write(shared, row, &body))
        }
        Fault::Timeout { written } => {
            leave_unanswered(shared, row, &body, written);
            hold(shared, until).await;
            Err(Unanswered)
        }
        Fault::Reset { written } => {
            leave_unanswered(shared, row, &body, written);
            reset.store(true, Ordering::Relaxed);
            Err(Unanswered)
        }
    }
}

/// The row that the request is about: the one its `Idempotency-Key` names, or else its path.
fn row_of(request: &Request<Incoming>) -> u64 {
    match request.headers().get("idempotency-key") {
        Some(key) => xxh3_64(key.as_bytes()),
        None => xxh3_64(request.uri().path().as_bytes()),
    }
}

fn write(shared: &Shared, row: u64, body: &[u8]) -> Response<Full<Bytes>> {
    let status = shared.books.lock().write(row, body, Instant::now(), |upsert| match upsert {
        Upsert::Created => 201,
        Upsert::Updated => 200,
    });
    empty(StatusCode::from_u16(status).unwrap_or(StatusCode::OK))
}

fn refuse(shared: &Shared, row: u64, body: &[u8], code: u16, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    shared.books.lock().refuse(row, Tag::find_in(body), status.as_u16());
    let mut response = empty(status);
    *response.body_mut() = Full::new(Bytes::from_static(b"{\"message\":\"told to fail\"}"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn leave_unanswered(shared: &Shared, row: u64, body: &[u8], written: bool) {
    let mut books = shared.books.lock();
    if written {
        books.write(row, body, Instant::now(), |_| 0);
    } else {
        books.refuse(row, Tag::find_in(body), 0);
    }
}

/// Waits until the fault is over. The peer's hanging up ends it too, as that drops the request.
async fn hold(shared: &Shared, until: Option<Instant>) {
    let mut changed = shared.fault_changed.subscribe();
    if shared.fault(Instant::now()).is_none() {
        return;
    }
    let longest = until.map_or(HOLD_MAX, |until| until.saturating_duration_since(Instant::now()).min(HOLD_MAX));
    // Either end is good.
    let _ = tokio::time::timeout(longest, changed.changed()).await;
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A connection that is reset instead of closed when it is told so.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With no time to linger, closing sends RST. If that fails the peer sees an end of file instead.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
