//! The simulator's CRM as a process of its own, and the handle by which another process commands it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use simulator::crm::{Crm, Options};

use crate::companion::Companion;

/// What the CRM has seen so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Different events.
    pub(crate) events: u64,
    /// Requests.
    pub(crate) requests: u64,
}

/// Plays the CRM: tells its address, then answers each line with what it has seen, until there are no more lines.
pub(crate) fn run() -> Result<()> {
    let crm = Crm::start(Options { entries_max: 0, ..Options::default() })?;
    println!("{}", crm.address());
    for line in std::io::stdin().lines() {
        line.context("reading a command")?;
        let report = crm.report();
        println!("{}", serde_json::to_string(&Seen { events: report.events, requests: report.requests })?);
    }
    Ok(())
}

/// A CRM that runs as another process.
#[derive(Debug)]
pub(crate) struct Sink(Companion);

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        Companion::start(["sink".into()]).map(Self).context("starting the CRM")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Asks what it has seen.
    pub(crate) fn seen(&mut self) -> Result<Seen> {
        serde_json::from_str(&self.0.ask("seen")?).context("the CRM tells no numbers")
    }
}
