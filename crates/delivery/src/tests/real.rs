//! Over real sockets and files, in real time.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use destinations::file::{self, FileDestination};
use destinations::http::{self, HttpDestination};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use queue::Order;
use tokio::net::TcpListener;

use super::rig::{DEADLINE, Rig};
use crate::Options;

/// A CRM that counts, and refuses every seventh request with 503.
#[derive(Default)]
struct Crm {
    requests: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    taken: Mutex<Vec<u32>>,
}

impl Crm {
    async fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crm = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let crm = crm.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| crm.clone().answer(request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        address
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let now_at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now_at_once, Ordering::SeqCst);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        // Let others in between, so that an excess would show.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let refuse = self.requests.fetch_add(1, Ordering::SeqCst) % 7 == 6;
        if !refuse {
            self.taken.lock().push(std::str::from_utf8(&body).unwrap().parse().unwrap());
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let status = if refuse { 503 } else { 204 };
        Ok(Response::builder().status(status).body(Full::default()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crm_gets_each_event_once_in_order_within_the_limit() {
    let crm = Arc::new(Crm::default());
    let url = format!("http://{}/calls/{{conversation}}", crm.start().await);
    let destination = HttpDestination::open(http::Options::new(url.parse().unwrap())).unwrap();
    let rig = Rig::new(Order::Conversation, 1);
    let mut options = Options::default();
    // Short waits, as this runs in real time.
    options.backoff.base = Duration::from_millis(20);
    options.backoff.cap = Duration::from_millis(20);
    rig.publish(0..1_000, 200).await;
    let handle = rig.start(Arc::new(destination), options);
    rig.settled(0, DEADLINE).await;

    assert!(crm.most_at_once.load(Ordering::SeqCst) <= 50);
    assert!(crm.most_at_once.load(Ordering::SeqCst) > 25, "{:?}", crm.most_at_once);
    let taken = crm.taken.lock().clone();
    assert_eq!(taken.len(), 1_000);
    for conversation in 0..200 {
        let own: Vec<_> = taken.iter().filter(|number| **number % 200 == conversation).collect();
        assert_eq!(own.len(), 5);
        assert!(own.is_sorted_by(|a, b| a < b), "{own:?}");
    }
    assert!(rig.dead_letters().await.is_empty());
    let health = handle.health().snapshot();
    assert_eq!(health.delivered, 1_000);
    assert!(health.failed_transient >= 100, "{}", health.failed_transient);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_gets_one_line_for_each_event() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    fs::write(&path, "7000\n70").unwrap();
    let destination = FileDestination::open(file::Options::new(&path)).unwrap();
    let rig = Rig::new(Order::Conversation, 1);
    rig.publish(0..500, 100).await;
    let mut handle = rig.start(Arc::new(destination), Options::default());
    rig.settled(0, DEADLINE).await;
    handle.stop();
    handle.ended().await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.remove(0), 7_000, "what was there stays, without the torn line");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}
