//! The admin API: what a running server tells about itself, as JSON over HTTP on the loopback interface.
//!
//! Every request goes through the [guard](access) first. What there is, what it takes and what it answers is described
//! by the handlers themselves, and served as OpenAPI 3.1 at `GET /api/v1/openapi.json`:
//!
//! | module | requests |
//! |---|---|
//! | [`alarms`] | what is wrong, how the notifiers are doing, and pausing a destination |
//! | [`audit`](self) | the audit trail, block by block |
//! | [`archive_parts`] | parts of the archive: listed, checked, exported |
//! | [`config`] | reading the configuration anew |
//! | [`dead_letters`] | lists, groups and how far people are with them, one and its body, edited copies, dry runs, redrives, discards, export |
//! | [`metrics`] | the state of the server for Prometheus |
//! | [`quarantine`] | refused requests: listed, shown, released, dropped |
//! | [`replays`] | replaying, dry runs of it, and how far replays have come |
//! | [`secrets`] | the secrets of sources, and when they were last used |
//! | [`status`] | the state of the server |
//! | [`tokens`] | who has a token |
//! | [`trace`] | the whole story of a conversation or an event |
//! | [`transcripts`](self) | transcripts of a conversation: stored, waited for, and their text |
//! | [`unmatched`] | events that matched no route: listed, and counted by source and topic |

mod access;
mod alarms;
mod archive_parts;
mod audit;
mod config;
mod connections;
mod dead_letters;
mod erase;
mod metrics;
mod openapi;
mod page;
mod problem;
mod quarantine;
mod replays;
mod request;
mod secrets;
mod status;
#[cfg(test)]
mod tests;
mod tokens;
mod trace;
mod transcripts;
mod unmatched;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::{Extension, Json, Router, middleware};
use event::Timestamp;
use tokio::net::TcpListener;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use access::{Caller, Entry, Scope, Token, TokenFile};
pub use alarms::Alarms;
pub use config::{ConfigChange, ConfigChanged, ConfigStatus, Reloaded};
pub use erase::{EraseAt, ErasedAt, KeptAt};
pub use status::{DestinationStatus, Keeps, Left, Paused, SourceStatus, Status, UnrecognisedCount, Unusable};
pub use trace::RouteVerdict;

use crate::access::{Guard, Known, guard};
use crate::connections::{Limited, Sender};
use crate::openapi::Scopes;
use crate::problem::Problem;
use crate::request::{Nothing, Query};

/// What a handler answers: JSON, or what is wrong.
type Answer<T> = Result<Json<T>, Problem>;
/// What every handler has.
type Shared = State<Arc<dyn Tell>>;

/// Tells the state of the server at the time it is asked.
pub trait Tell: Send + Sync + 'static {
    /// Everything that `status` shows.
    fn status(&self) -> queue::BoxFuture<'_, Result<Status, queue::QueueError>>;

    /// The queue, for what it keeps.
    fn queue(&self) -> &dyn queue::Queue;

    /// Intake, for its quarantine and its keys.
    fn intake(&self) -> &intake::Handle;

    /// What the present routes and mappings would send for a dead letter that was read with its body, of its edited copy if
    /// it has one; or why they would send nothing. Takes as long as a mapping may.
    fn try_mapping(&self, letter: &queue::DeadLetter) -> Result<bytes::Bytes, NotMapped>;

    /// Which mapping a redrive of a dead letter, read with its body, would apply now.
    fn mapping_version(&self, letter: &queue::DeadLetter) -> Option<String>;

    /// What each of the present routes says of an event, and why.
    fn explain(&self, event: &event::Event) -> Vec<RouteVerdict>;

    /// What is wrong, and who is told of it.
    fn alarms(&self) -> Alarms;

    /// Lets nothing more go out to a destination, or lets it again, also after a restart; `by` says who wants it. Returns
    /// whether that was otherwise before; `None` if there is none of this name.
    fn set_paused(&self, destination: &str, paused: bool, by: &str) -> Option<bool>;

    /// Reads the configuration anew and takes it over; or says why it cannot be used, and leaves everything as it was.
    fn reload(&self) -> queue::BoxFuture<'_, Result<Reloaded, String>>;

    /// The archive, if there is one.
    fn archive(&self) -> Option<&archive::Archive>;

    /// The destinations that fetch transcripts, by their names.
    fn transcripts(&self) -> Vec<(String, ::transcripts::Transcripts)>;

    /// Whether the present mapping makes something of an event for a destination; none if no route leads it there.
    fn try_event(&self, destination: &str, event: &event::Event) -> Option<Result<(), String>>;

    /// The destinations that a conversation can be erased from.
    fn erasing(&self) -> Vec<String>;

    /// Erases a conversation from what a destination has written, a part at a time; none if there is no destination of this
    /// name that it can be erased from.
    fn erase_at(&self, erase: EraseAt) -> queue::BoxFuture<'_, Option<Result<ErasedAt, String>>>;

    /// The time.
    fn now(&self) -> Timestamp;
}

/// Why nothing would be sent for a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMapped {
    /// Nothing leads it to its destination, whatever its mapping says.
    #[error("{0}")]
    Never(queue::NotRedriven),
    /// Its mapping fails.
    #[error("{0}")]
    Fails(String),
}

/// The admin API could not be served, or its tokens not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others can reach it, and there is no token, or none that has not expired.
    #[error(
        "console.listen is {0}, which others can reach, and there is no token; make one with `aftercall tokens create`"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be used.
    #[error("console.listen: {address}: {source}; another program may have the port, name another one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of tokens cannot be read or written.
    #[error("{}: {source}; the data directory must be usable for the user that runs this", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of tokens is not what it should be.
    #[error("{} {problem}; restore it, or move it away and make new tokens", path.display())]
    TokensUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A token cannot be called that.
    #[error("`{0}` is no name of a token; take up to 64 of a-z A-Z 0-9 - _ . @, and not `local`")]
    Name(String),
    /// Another token is called that.
    #[error("there is a token `{0}` already; take another name, or revoke it first")]
    Taken(String),
    /// No token is called that.
    #[error("there is no token `{0}`; `aftercall tokens list` shows which there are")]
    Missing(String),
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Randomness,
}

/// The header of every answer: the version of the program that gives it.
pub const VERSION_HEADER: &str = "aftercall-version";

/// The admin API, bound but not serving yet.
#[derive(Debug)]
pub struct Console {
    listener: TcpListener,
    address: SocketAddr,
    known: Arc<Known>,
}

impl Console {
    /// Binds an address; port 0 takes any free one. One that others can reach needs a token that can be used at `now`.
    pub async fn bind(address: SocketAddr, tokens: TokenFile, now: Timestamp) -> Result<Self, Error> {
        let known = Arc::new(Known::open(tokens)?);
        if !address.ip().is_loopback() && !known.any_usable(now) {
            return Err(Error::NotLoopback(address));
        }
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, known })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready.
    pub async fn serve(self, tell: Arc<dyn Tell>, stop: impl Future<Output = ()> + Send + 'static) {
        let wide = !self.address.ip().is_loopback();
        if wide {
            tracing::warn!(
                address = %self.address,
                "others can reach the console, and it speaks plain HTTP: put something that does TLS before it"
            );
        }
        let app = app(self.known, wide, tell).into_make_service_with_connect_info::<Sender>();
        if let Err(error) = axum::serve(Limited::new(self.listener), app).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the console has stopped");
        }
    }
}

/// Everything that is answered, behind the guard.
fn app(known: Arc<Known>, wide: bool, tell: Arc<dyn Tell>) -> Router {
    let (router, api) = routes().split_for_parts();
    let api = openapi::complete(api);
    let guarding = Arc::new(Guard::new(Arc::clone(&known), wide, Scopes::of(&api), Arc::clone(&tell)));
    let descriptions = Arc::new(Descriptions { open: openapi::without_token(api.clone()), closed: api, wide });
    router
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(Extension(known))
        .layer(Extension(descriptions))
        .layer(middleware::from_fn_with_state(guarding, guard))
        .layer(middleware::map_response(signed))
        .with_state(tell)
}

/// Says in each answer whose it is, so that no other server is taken for this one.
async fn signed(mut answer: Response) -> Response {
    answer.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    answer
}

/// Every route, with its description.
fn routes() -> OpenApiRouter<Arc<dyn Tell>> {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(status))
        .routes(routes!(describe))
        .merge(alarms::routes())
        .merge(self::audit::routes())
        .merge(archive_parts::routes())
        .merge(config::routes())
        .merge(dead_letters::routes())
        .merge(erase::routes())
        .merge(metrics::routes())
        .merge(quarantine::routes())
        .merge(replays::routes())
        .merge(secrets::routes())
        .merge(tokens::routes())
        .merge(trace::routes())
        .merge(self::transcripts::routes())
        .merge(unmatched::routes())
}

/// The state of the server
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "status", tag = "status",
    responses((status = 200, description = "It", body = Status)), security(("token" = ["read"]))
)]
async fn status(State(tell): Shared, Query(Nothing {}): Query<Nothing>) -> Answer<Status> {
    Ok(Json(tell.status().await?))
}

/// The description as it is served: where no token is needed it says so.
struct Descriptions {
    open: OpenApi,
    closed: OpenApi,
    wide: bool,
}

/// This description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "access",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)), security(("token" = ["read"]))
)]
async fn describe(
    Extension(descriptions): Extension<Arc<Descriptions>>,
    Extension(known): Extension<Arc<Known>>,
    Query(Nothing {}): Query<Nothing>,
) -> Json<OpenApi> {
    let closed = descriptions.wide || known.needed();
    Json(if closed { descriptions.closed.clone() } else { descriptions.open.clone() })
}

async fn not_found() -> Problem {
    Problem::not_found("there is nothing here; GET /api/v1/openapi.json describes what there is")
}

async fn not_allowed() -> Problem {
    let detail = "the method is not one of this path; GET /api/v1/openapi.json describes which are";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
