//! A service's HTTP side: connections, tokens, faults, and who answers.

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
use tokio::sync::watch;

use super::books::{Books, Fault};
use super::{Kind, dataverse, hubspot, salesforce};
use crate::platform::{Asked, Body, credentials, form, json_answer, read};

/// The largest body of a request, in bytes.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Pause after a failed accept, which is when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts and serves connections until told to stop; the runtime's end closes those that are left.
pub(super) async fn serve(listener: TcpListener, books: Arc<Mutex<Books>>, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let books = Arc::clone(&books);
                    tokio::spawn(async move { serve_connection(stream, &books).await });
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
    let service = service_fn(|request| answer(books, request));
    // Errors are those of the peer or of a fault, and it sees them.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
struct Unanswered;

async fn answer(books: &Mutex<Books>, request: Request<Incoming>) -> Result<Response<Body>, Unanswered> {
    let asked = match read(request, BODY_MAX).await {
        Ok(asked) => asked,
        Err(error) => {
            books.lock().malformed(format!("a body that cannot be read: {error}"));
            return Ok(json_answer(413, &json!({"error": "too large"})));
        }
    };
    let fault = books.lock().fault;
    if asked.path.ends_with("/token") {
        return Ok(token(&mut books.lock(), &asked));
    }
    match fault {
        Some(Fault::Reset) => return Err(Unanswered),
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let mut books = books.lock();
    let (kind, now) = (books.options.kind, Instant::now());
    let answer = match kind {
        Kind::Salesforce => salesforce::answer(&mut books, &asked, now),
        Kind::HubSpot => hubspot::answer(&mut books, &asked, now),
        Kind::Dataverse => dataverse::answer(&mut books, &asked, now),
    };
    match fault {
        Some(Fault::LostAnswer) => Err(Unanswered),
        Some(Fault::Unreadable) => Ok(json_answer(200, &json!({"state": "as you like it"}))),
        _ => Ok(answer),
    }
}

/// Client credentials in the form, as both services have them. Neither Salesforce nor its answer knows when a token ends.
fn token(books: &mut Books, asked: &Asked) -> Response<Body> {
    let error = |status, code: &str| json_answer(status, &json!({"error": code, "error_description": "refused"}));
    let known = match credentials(asked, true) {
        Ok(given) => Books::knows(&given),
        Err(problem) => {
            books.malformed(format!("token: {problem}"));
            return error(400, "invalid_request");
        }
    };
    if !known {
        return error(401, "invalid_client");
    }
    let scope = form(&asked.body).ok().and_then(|form| form.into_iter().find(|(name, _)| name == "scope"));
    let lifetime = books.options.token_lifetime;
    match books.options.kind {
        Kind::Dataverse => {
            let wanted = format!("{}/.default", books.origin);
            if scope.as_ref().map(|(_, scope)| scope) != Some(&wanted) {
                books.malformed(format!("token: the scope is {scope:?} and not {wanted}"));
                return error(400, "invalid_scope");
            }
            let token = books.issue(Instant::now());
            // At least a second, as real ones have hours.
            let seconds = lifetime.as_secs().max(1);
            json_answer(200, &json!({"token_type": "Bearer", "expires_in": seconds, "access_token": token}))
        }
        Kind::Salesforce | Kind::HubSpot => {
            let (token, origin) = (books.issue(Instant::now()), books.origin.clone());
            json_answer(200, &json!({"access_token": token, "instance_url": origin, "token_type": "Bearer"}))
        }
    }
}
