//! A server for tests, as small as can be, that fails by a script.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use crate::{Tag, Uuid};

/// What the stub does with a request.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    Ack,
    /// Publishes the events and closes the connection without an answer, like a server that is killed.
    PublishAndClose,
    Close,
    Hold,
    Status(u16, Option<u32>),
}

pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) published: HashSet<Tag>,
    pub(crate) order: HashMap<Uuid, Vec<u32>>,
    pub(crate) headers: Vec<(String, HeaderMap, Bytes)>,
}

impl Stub {
    /// `script` decides by the number of the request, counted from 0 as they arrive.
    pub(crate) fn start(script: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        runtime.spawn(serve(listener, Arc::clone(&seen), Arc::new(script)));
        Self { address, seen, _runtime: runtime }
    }
}

async fn serve(
    listener: TcpListener,
    seen: Arc<Mutex<Seen>>,
    script: Arc<impl Fn(u64) -> Reply + Send + Sync + 'static>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        tokio::spawn(async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(|_| "no body")?.to_bytes();
                let (reply, answer) = seen.lock().take(head.uri.path(), head.headers, body, &*script);
                match reply {
                    Reply::Ack => Ok(Response::new(Full::<Bytes>::new(answer.into()))),
                    Reply::PublishAndClose | Reply::Close => Err("closed"),
                    Reply::Hold => std::future::pending().await,
                    Reply::Status(code, after) => {
                        let mut response = Response::builder().status(code);
                        if let Some(after) = after {
                            response = response.header("retry-after", after);
                        }
                        Ok(response.body(Full::new("because".into())).unwrap())
                    }
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Seen {
    fn take(&mut self, path: &str, headers: HeaderMap, body: Bytes, script: &impl Fn(u64) -> Reply) -> (Reply, String) {
        let reply = script(self.requests);
        self.requests += 1;
        let tags: Vec<Tag> =
            memchr::memmem::find_iter(&body, "\"externalTag\"").filter_map(|at| Tag::find_in(&body[at..])).collect();
        self.headers.push((path.to_owned(), headers, body));
        if !matches!(reply, Reply::Ack | Reply::PublishAndClose) {
            return (reply, String::new());
        }
        let mut accepted = 0;
        for tag in &tags {
            if self.published.insert(*tag) {
                accepted += 1;
                self.order.entry(tag.conversation()).or_default().push(tag.ordinal());
            }
        }
        (reply, format!(r#"{{"accepted":{accepted},"duplicates":{},"events":[]}}"#, tags.len() - accepted))
    }
}
