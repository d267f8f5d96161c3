//! The platform's HTTP side: connections, and which part answers.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::answer::{Body, json_answer, read};
use super::books::Books;
use super::{api, token};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;
/// The largest body of a request, in bytes: the platform's own limit.
const BODY_MAX: usize = 512_000;
/// Pause after a failed accept, which is when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts and serves connections until told to stop; the runtime's end closes those that are left.
pub(super) async fn serve(listener: TcpListener, books: Arc<Mutex<Books>>, mut stopped: watch::Receiver<bool>) {
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
                    let books = Arc::clone(&books);
                    tokio::spawn(async move {
                        serve_connection(stream, &books).await;
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

async fn serve_connection(stream: TcpStream, books: &Mutex<Books>) {
    // Without it answers would wait for the peer's acknowledgements; if it fails they only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(books, request).await) });
    // Errors are those of the peer, and it sees them.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(books: &Mutex<Books>, request: Request<Incoming>) -> Response<Body> {
    let asked = match read(request, BODY_MAX).await {
        Ok(asked) => asked,
        Err(error) => {
            books.lock().note_malformed(format!("a body that cannot be read: {error}"));
            return json_answer(413, &json!({"error": "invalid_request"}));
        }
    };
    let (mut books, now) = (books.lock(), Instant::now());
    match asked.path.as_str() {
        "/oauth/token" | "/api/v2/oauth/token" => token::answer(&mut books, &asked, now),
        path if path.starts_with("/transcripts/") => api::download(&mut books, &asked, now),
        _ => api::answer(&mut books, &asked, now),
    }
}
