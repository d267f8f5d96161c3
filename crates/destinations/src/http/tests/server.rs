//! A small HTTP server that answers as a test wants and keeps what it got.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{HeaderMap, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

#[derive(Clone)]
pub(super) struct Got {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: BoxBody<Bytes, Infallible>,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Full::default().boxed() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn body(mut self, text: &str) -> Self {
        self.body = Full::from(text.to_owned()).boxed();
        self
    }

    /// Sends without an end.
    pub(super) fn endless(mut self) -> Self {
        let frames = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 1024]))));
        self.body = BodyExt::boxed(StreamBody::new(frames));
        self
    }

    /// Sends a little, and then nothing more.
    pub(super) fn stalled(mut self) -> Self {
        let start = stream::iter([Ok(Frame::data(Bytes::from_static(b"wait")))]);
        self.body = BodyExt::boxed(StreamBody::new(start.chain(stream::pending())));
        self
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    answer: Box<dyn Fn(&Got) -> Answer + Send + Sync>,
    requests: Mutex<Vec<Got>>,
    connections: AtomicUsize,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Got) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::new(&listener, answer);
        let state = server.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, state.clone()));
            }
        });
        server
    }

    /// With a certificate for `localhost`; gives it in PEM form.
    pub(super) async fn start_tls(answer: impl Fn(&Got) -> Answer + Send + Sync + 'static) -> (Self, String) {
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = tokio_rustls::rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::new(&listener, answer);
        let state = server.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), state.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, state).await;
                    }
                });
            }
        });
        (server, own.cert.pem())
    }

    fn new(listener: &TcpListener, answer: impl Fn(&Got) -> Answer + Send + Sync + 'static) -> Self {
        let state = State { answer: Box::new(answer), requests: Mutex::default(), connections: AtomicUsize::new(0) };
        Self { address: listener.local_addr().unwrap(), state: Arc::new(state) }
    }

    /// An address at which nothing listens.
    pub(super) async fn closed_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    /// Accepts connections and never answers.
    pub(super) async fn silent() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        });
        address
    }

    /// Accepts connections and drops them.
    pub(super) async fn resetting() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        address
    }

    pub(super) fn requests(&self) -> Vec<Got> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let state = state.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let got = Got {
                line: format!("{} {}", head.method, head.uri),
                headers: head.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            let answer = (state.answer)(&got);
            state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(got);
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            Ok::<_, Infallible>(response.body(answer.body).unwrap())
        }
    });
    // A client that goes away ends its connection with an error here; that is its right.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
