//! One connection, from the handshake to its end: HTTP/1.1 (and 1.0), or HTTP/2 where TLS has agreed on it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::activity::{Activity, Watched};
use crate::options::{
    HTTP2_CONNECTION_WINDOW, HTTP2_PING, HTTP2_STREAM_WINDOW, HTTP2_STREAMS, LINGER_BYTES, LINGER_TIME, Limits,
    READ_BUFFER_SPARE,
};
use crate::problem::{Answer, Reason, Refusal};
use crate::receive::{self, receive};
use crate::respond;
use crate::server::{self, Mode, Peer};
use crate::tls::ALPN_HTTP2;

/// Serves a connection until its end.
pub(crate) async fn serve(stream: TcpStream, peer: Arc<Peer>, mut mode: watch::Receiver<Mode>) {
    let Some(tls) = &peer.shared.tls else {
        return serve_http1(stream, peer, mode).await;
    };
    let handshake = Box::pin(tls.acceptor().accept(stream));
    let limit = peer.shared.options.limits.header_timeout;
    let stopped = mode.wait_for(|mode| *mode >= Mode::Draining);
    let stream = tokio::select! {
        accepted = timeout(limit, handshake) => match accepted {
            Ok(Ok(stream)) => stream,
            // Port scans and health checks end here too, so it is no failure.
            Ok(Err(_)) | Err(_) => return,
        },
        _ = stopped => return,
    };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        Box::pin(serve_http2(stream, peer, mode)).await;
    } else {
        Box::pin(serve_http1(stream, peer, mode)).await;
    }
}

async fn serve_http1<T>(transport: T, peer: Arc<Peer>, mode: watch::Receiver<Mode>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &peer.shared.options.limits;
    let transport = Watched { transport, activity: Arc::clone(&peer.activity) };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        // An answer is small: copying it behind its head costs less than a vector of two pieces costs the system.
        .writev(false)
        .max_buf_size(limits.header_bytes + READ_BUFFER_SPARE)
        .serve_connection(TokioIo::new(transport), Requests(Arc::clone(&peer)));
    let end = supervise(&mut connection, &peer.activity, limits, mode).await;
    let mut transport = connection.into_parts().io.into_inner().transport;
    match end {
        End::Finished if !peer.activity.lingers() => drop(timeout(LINGER_TIME, transport.shutdown()).await),
        End::Finished | End::Failed => Box::pin(linger(transport)).await,
        End::TooSlow if peer.activity.is_in_head() => {
            let detail = format!("a request's head must be there within {} s", limits.header_timeout.as_secs_f32());
            let refusal = Refusal::new(Reason::Timeout, detail);
            peer.shared.unnamed.refused(&refusal, "", peer.address, (peer.shared.clock)());
            drop(timeout(LINGER_TIME, transport.write_all(&refusal.raw())).await);
            Box::pin(linger(transport)).await;
        }
        End::TooSlow | End::Cut => {}
    }
}

async fn serve_http2<T>(transport: T, peer: Arc<Peer>, mode: watch::Receiver<Mode>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &peer.shared.options.limits;
    // Frames come between requests too, so that bytes do not mean the beginning of a head: the idle limit covers all.
    peer.activity.begin();
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(transport), Requests(Arc::clone(&peer)));
    let mut connection = pin!(connection);
    supervise(&mut connection, &peer.activity, limits, mode).await;
}

/// Lets the sender read the answer before the connection is gone: closing a socket with unread bytes in it makes the
/// system throw away what is still on its way out.
async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut transport: T) {
    let discard = async {
        transport.shutdown().await?;
        let mut left = LINGER_BYTES;
        let mut buffer = [0; 4096];
        loop {
            match transport.read(&mut buffer).await? {
                read if read > 0 && read < left => left -= read,
                _ => return std::io::Result::Ok(()),
            }
        }
    };
    // The sender may be gone, or never stop; neither is of interest.
    let _ = timeout(LINGER_TIME, discard).await;
}

/// How a connection came to its end.
enum End {
    /// Either side was done with it.
    Finished,
    /// It broke, or what came over it was not HTTP.
    Failed,
    /// It took too long over a head, or between requests.
    TooSlow,
    /// The time to end was over.
    Cut,
}

/// A connection of either version of HTTP.
trait Connection {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// Ends after the requests that are being served.
    fn finish(&mut self);
}

impl<T> Connection for http1::Connection<TokioIo<T>, Requests>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll_without_shutdown(cx)
    }

    fn finish(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<T> Connection for Pin<&mut http2::Connection<TokioIo<T>, Requests, TokioExecutor>>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Future::poll(self.as_mut(), cx)
    }

    fn finish(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// Drives a connection, and ends it when it takes too long or the server is to stop.
async fn supervise(
    connection: &mut impl Connection,
    activity: &Activity,
    limits: &Limits,
    mut mode: watch::Receiver<Mode>,
) -> End {
    let mut current = *mode.borrow_and_update();
    if current >= Mode::Draining {
        connection.finish();
    }
    let mut timer = pin!(sleep_until(activity.deadline(limits, current)));
    loop {
        let watched = mode.clone();
        let mut change = pin!(mode.changed());
        let mut registered = false;
        let wake = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.poll(cx) {
                return Poll::Ready(Wake::Ended(if ended.is_ok() { End::Finished } else { End::Failed }));
            }
            // Registering takes a lock that all connections share; once is enough.
            let look = !registered || watched.has_changed().unwrap_or(true);
            registered = true;
            if look && change.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Mode);
            }
            if activity.is_in_head() {
                let deadline = activity.deadline(limits, current);
                if deadline < timer.deadline() {
                    timer.as_mut().reset(deadline);
                }
            }
            timer.as_mut().poll(cx).map(|()| Wake::Timer)
        });
        match wake.await {
            Wake::Ended(end) => return end,
            Wake::Timer => {}
            Wake::Mode => {
                current = *watched.borrow();
                if current >= Mode::Cut {
                    return End::Cut;
                }
                if current == Mode::Draining {
                    connection.finish();
                }
            }
        }
        let deadline = activity.deadline(limits, current);
        if deadline <= Instant::now() {
            return End::TooSlow;
        }
        timer.as_mut().reset(deadline);
    }
}

enum Wake {
    Ended(End),
    Mode,
    Timer,
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Requests(Arc<Peer>);

impl Service<Request<Incoming>> for Requests {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let peer = Arc::clone(&self.0);
        let serving = peer.activity.begin();
        let (head, mut body) = request.into_parts();
        Box::pin(async move {
            let answer = answer(&peer, &head, &mut body).await;
            drop(serving);
            Ok(answer)
        })
    }
}

/// Answers one request, however it came.
pub(crate) async fn answer<B>(peer: &Peer, head: &Parts, body: &mut B) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    if let Some(name) = head.uri.path().strip_prefix("/in/").filter(|_| !peer.reserve) {
        return receive(peer, name, head, body).await;
    }
    let refusal = match head.uri.path() {
        "/health/live" | "/health/ready" if head.method != Method::GET && head.method != Method::HEAD => {
            Refusal::new(Reason::MethodNotAllowed, "health is asked for by GET").allow("GET, HEAD")
        }
        "/health/live" => return respond::live(),
        "/health/ready" => return respond::ready(peer.shared.not_ready().as_deref()),
        _ if peer.reserve => server::full(),
        _ => Refusal::new(Reason::NotFound, "events are sent to `/in/` and the name of a source"),
    };
    let shared = &peer.shared;
    shared.unnamed.request();
    shared.unnamed.refused(&refusal, "", peer.address, (shared.clock)());
    Box::pin(receive::refuse(peer, &refusal, head, body)).await
}
