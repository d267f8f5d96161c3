//! Servers to measure by: they do a known part of the work and nothing else, over the same HTTP stack.
//!
//! | yardstick | verifies and splits | before the answer |
//! |---|---|---|
//! | null | yes | nothing |
//! | raw | yes | appends the body to a file and syncs it, once for all requests that came meanwhile |
//! | relay | yes | forwards the body to the CRM |
//!
//! The raw server is the physical limit of "durable before 200" on a disk.

mod accept;
mod raw;
mod relay;

use std::ffi::OsStr;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::{Args, ValueEnum};

use accept::{Answer, Gate};
use raw::Journal;
use relay::Relay;

use crate::companion::Companion;

/// Arguments of `yardstick`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    kind: Kind,
    /// The file that the raw server appends to
    #[arg(long, required_if_eq("kind", "raw"))]
    file: Option<PathBuf>,
    /// The CRM that the relay forwards to
    #[arg(long, required_if_eq("kind", "relay"))]
    crm: Option<SocketAddr>,
}

/// Which yardstick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Stores nothing.
    Null,
    /// Appends and syncs.
    Raw,
    /// Forwards.
    Relay,
}

/// Starts a yardstick as a process of its own; `target` is the raw server's file or the relay's CRM.
pub(crate) fn start(kind: Kind, target: Option<&OsStr>) -> Result<Companion> {
    let (name, option) = match kind {
        Kind::Null => ("null", None),
        Kind::Raw => ("raw", Some("--file")),
        Kind::Relay => ("relay", Some("--crm")),
    };
    let option = option.zip(target).into_iter().flat_map(|(option, target)| [option.into(), target.to_owned()]);
    let arguments = ["yardstick".into(), name.into()].into_iter().chain(option);
    Companion::start(arguments).with_context(|| format!("starting the {name} server"))
}

/// Serves until standard input ends, which it does when the process that started this one is gone.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // As the server has it: one worker for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let work = Work::new(arguments)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("listening")?;
    println!("{}", listener.local_addr().context("asking for the address")?);
    runtime.spawn(accept::serve(listener, Arc::new(Gate::new()), Arc::new(work)));
    std::io::stdin().read_to_end(&mut Vec::new()).context("waiting for the end of standard input")?;
    runtime.shutdown_background();
    Ok(())
}

/// What is done with a body before it is answered.
enum Work {
    Null,
    Raw(Journal),
    Relay(Box<Relay>),
}

impl Work {
    fn new(arguments: &Arguments) -> Result<Self> {
        Ok(match arguments.kind {
            Kind::Null => Self::Null,
            Kind::Raw => Self::Raw(Journal::open(arguments.file.as_deref().context("--file is missing")?)?),
            Kind::Relay => Self::Relay(Box::new(Relay::new(arguments.crm.context("--crm is missing")?))),
        })
    }

    /// Does it; 200 if that went well.
    async fn done(&self, body: &Bytes, events: &[event::NewEvent]) -> Answer {
        let well = match self {
            Self::Null => true,
            Self::Raw(journal) => journal.append(body.clone()).await,
            Self::Relay(relay) => relay.forward(body.clone(), events).await,
        };
        if well { accept::accepted(events) } else { accept::failed() }
    }
}
