//! What can be chosen about a run of the client.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::SimulatorError;
use crate::error::loopback;
use crate::sign::{Header, Signer};

/// How a request proves where it comes from.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Not at all.
    None,
    /// By a signature over the body.
    Signed(Signer),
    /// By `Authorization: Bearer` and this token.
    Bearer(String),
}

impl Auth {
    pub(crate) fn headers(&self, body: &[u8], number: u64) -> Vec<Header> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(token) => vec![("authorization", format!("Bearer {token}"))],
            Self::Signed(signer) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                signer.headers(body, &format!("msg_{number}"), i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Settings of a [`Client`](super::Client).
#[derive(Debug, Clone)]
pub struct Options {
    /// The server; loopback only.
    pub target: SocketAddr,
    /// How the requests of [`Source::Genesys`](crate::contact_centre::Source) are authenticated.
    pub genesys: Auth,
    /// How the requests of [`Source::EventBridge`](crate::contact_centre::Source) are authenticated.
    pub eventbridge: Auth,
    /// Connections, and so requests in flight, 1 to 4,096. Default 32.
    pub connections: usize,
    /// Events per second, not counting what a server that was away makes up for later; none means as fast as possible.
    pub rate: Option<f64>,
    /// Whether a conversation's requests wait for each other. Default true.
    pub in_order: bool,
    /// How many requests are looked at ahead, to find some that need not wait, 1 to 1,000,000. Default 4,096.
    pub window: usize,
    /// How long one attempt may take. Default 10 s.
    pub attempt_timeout: Duration,
    /// When to give up what has no answer yet. Default 10 min.
    pub deadline: Duration,
}

impl Options {
    /// Defaults for a server, without authentication.
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            genesys: Auth::None,
            eventbridge: Auth::None,
            connections: 32,
            rate: None,
            in_order: true,
            window: 4_096,
            attempt_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(600),
        }
    }

    pub(super) fn check(&self) -> Result<(), SimulatorError> {
        loopback(self.target)?;
        for (name, value, most) in [("connections", self.connections, 4_096), ("window", self.window, 1_000_000)] {
            if !(1..=most).contains(&value) {
                return Err(SimulatorError::setting(name, format!("{value} is out of range: use 1 to {most}")));
            }
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && rate >= RATE_MIN)) {
            return Err(SimulatorError::setting("rate", format!("use {RATE_MIN} events per second or more")));
        }
        Ok(())
    }
}

/// Slower than one event in 1,000 s is taken for a mistake.
const RATE_MIN: f64 = 0.001;
