//! The simulator's CRM as a process of its own, and the handle by which another process commands it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use simulator::crm::{Crm, Fault, Options};

use crate::companion::Companion;

/// What the CRM has seen so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Different events.
    pub(crate) events: u64,
    /// Requests.
    pub(crate) requests: u64,
}

/// Arguments of `sink`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Answer one event in so many with 503, always the same ones; 0 for none
    #[arg(long, default_value_t = 0)]
    reject_every: u64,
}

/// Plays the CRM: tells its address, then answers each line with what it has seen, until there are no more lines.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let crm = Crm::start(Options { entries_max: 0, ..Options::default() })?;
    if arguments.reject_every > 0 {
        crm.fail(Fault::RejectSome { every: arguments.reject_every, code: 503 });
    }
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
        Self::rejecting(0)
    }

    /// One that never takes one event in so many, if it is not 0.
    pub(crate) fn rejecting(every: u64) -> Result<Self> {
        let arguments = ["sink".into(), "--reject-every".into(), every.to_string().into()];
        Companion::start(arguments).map(Self).context("starting the CRM")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Asks what it has seen.
    pub(crate) fn seen(&mut self) -> Result<Seen> {
        serde_json::from_str(&self.0.ask("seen")?).context("the CRM tells no numbers")
    }
}
