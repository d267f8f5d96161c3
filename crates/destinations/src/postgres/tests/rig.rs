//! A server for all tests of this crate, and a schema of its own for each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use event::EventId;
use local_postgres::Server;

use crate::postgres::{Options, PostgresDestination, SslMode};
use crate::{Destination as _, OutgoingDelivery, Secret, SendError};

/// No state takes longer to come about, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The database of all schemas.
pub(super) const DATABASE: &str = "postgres";

/// Survives kills of its processes all the same; only the machine's own crash it would not.
pub(super) const QUICK: &str = "fsync = off\n";

pub(super) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start_with(QUICK, &[]).unwrap_or_else(|error| panic!("{error}")))
}

/// A schema.
pub(super) struct Place(pub(super) String);

impl Place {
    /// With tables, which `ddl` makes.
    pub(super) fn new(ddl: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let place = Self(format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst)));
        place.sql(&format!("CREATE SCHEMA {}; {ddl}", place.0));
        place
    }

    pub(super) fn sql(&self, statements: &str) -> String {
        let statements = format!("SET search_path = {}; {statements}", self.0);
        server().sql(DATABASE, &statements).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs statements in a session of its own, beside the test.
    pub(super) fn beside(&self, statements: &str) -> std::thread::JoinHandle<String> {
        let (schema, statements) = (self.0.clone(), statements.to_owned());
        std::thread::spawn(move || Self(schema).sql(&statements))
    }

    pub(super) fn options(&self, table: &str, key: &str) -> Options {
        options(server(), &format!("{}.{table}", self.0), key)
    }

    /// How many statements a destination has under way in this schema.
    pub(super) fn active(&self) -> usize {
        let text = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aftercall' AND state = 'active' \
             AND query LIKE '%\"{}\".%'",
            self.0
        );
        self.sql(&text).parse().unwrap()
    }
}

pub(super) fn options(server: &Server, table: &str, key: &str) -> Options {
    let mut options = Options::new(server.url(DATABASE), table, vec![key.to_owned()]);
    options.password = Some(Secret::fixed(Server::PASSWORD));
    options.ssl = SslMode::Disable;
    options
}

pub(super) async fn send(destination: &PostgresDestination, payload: impl Into<String>) -> Result<(), SendError> {
    let delivery = OutgoingDelivery {
        event: EventId::from_identity("test", [b"one".as_slice()]),
        source: "calls".into(),
        topic: "acw".into(),
        conversation: None,
        received: event::Timestamp::default(),
        behind_dead: false,
        payload: payload.into().into(),
        replayed: false,
        trace: None,
    };
    destination.send(delivery).await.map(drop)
}

/// Sends all at once; the results in the same order.
pub(super) async fn send_all(
    destination: &PostgresDestination,
    payloads: impl IntoIterator<Item = String>,
) -> Vec<Result<(), SendError>> {
    futures::future::join_all(payloads.into_iter().map(|payload| send(destination, payload))).await
}

pub(super) async fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(LOOK_EVERY);
        tokio::task::yield_now().await;
    }
}

/// Sends again and again until it passes; what it failed with before is checked.
pub(super) async fn until_sent(destination: &PostgresDestination, payload: &str, failed: impl Fn(&SendError)) {
    let began = Instant::now();
    while let Err(error) = send(destination, payload).await {
        failed(&error);
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {error}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}
