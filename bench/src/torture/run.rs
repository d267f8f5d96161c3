//! One run of torture: the load, the kills, and the end in peace.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use simulator::Latency;
use simulator::client::{self, Auth, Client};
use simulator::contact_centre::ContactCentre;
use simulator::crm::{self, Crm};

use super::Arguments;
use super::load::{self, Load};
use super::moment::{Dice, Moment};
use super::verdict::{Evidence, Verdict};
use crate::server::{self, Delivery, EVENTBRIDGE_TOKEN, Server, Setup};

/// Retention and window, so short that every start has something to drop, and several times longer than the time within
/// which an event is sent again, with the waits for a server that is away.
const QUEUE: &str = "retention = \"30s\"\ndedupe_window = \"30s\"";
/// How long the server is left alone first, so that there are events beyond retention from the first kill on.
const AGE: Duration = Duration::from_secs(31);
/// Short pauses, so that what the CRM refused comes again within the run.
const DESTINATION: &str = "timeout = \"1s\"\nbackoff = { base = \"20ms\", cap = \"500ms\" }";
/// Requests at once.
const CONNECTIONS: usize = 48;
/// Requests that the sender takes in ahead, to find some that need not wait for others; few, so that none gets old.
const WINDOW: usize = 512;
/// How long to wait for a checkpoint before killing all the same.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(5);
/// How long between two looks at the database's file.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// How long sender and server may take to finish at the end.
const END_PATIENCE: Duration = Duration::from_secs(180);
/// Longer than any run.
const DEADLINE: Duration = Duration::from_secs(7 * 86_400);
/// What a start takes before one has been measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);
/// Kills between two lines of progress.
const TELL_EVERY: u32 = 10;

/// A run that is going on.
pub(super) struct Run {
    setup: Setup,
    dice: Dice,
    crm: Crm,
    client: Client,
    /// Said when no more requests are to be made.
    enough: Arc<AtomicBool>,
    kills: u32,
    began: Instant,
    /// How long the latest start took.
    start_takes: Duration,
    starts: Latency,
    moments: BTreeMap<&'static str, u32>,
}

impl Run {
    /// Starts the CRM and the contact centre; there is no server yet.
    pub(super) fn start(arguments: &Arguments, seed: u64, folder: &Path) -> Result<Self> {
        let crm = Crm::start(crm::Options { entries_max: 0, ..crm::Options::default() })?;
        let binary = std::path::absolute(&arguments.places.aftercall).context("finding the server")?;
        let mut setup = Setup::new(&binary, folder, Delivery::Crm(crm.address()))?;
        setup.queue = QUEUE;
        setup.destination = DESTINATION;
        let enough = Arc::new(AtomicBool::new(false));
        let requests = ContactCentre::new(load::knobs(seed))?;
        let requests = Load::new(requests, Arc::clone(&enough), load::AGAIN_WITHIN);
        let options = client::Options {
            genesys: Setup::webhook_auth()?,
            eventbridge: Auth::Bearer(EVENTBRIDGE_TOKEN.to_owned()),
            connections: CONNECTIONS,
            window: WINDOW,
            rate: Some(arguments.rate),
            deadline: DEADLINE,
            ..client::Options::new(setup.intake())
        };
        Ok(Self {
            client: Client::start(options, requests)?,
            dice: Dice::new(seed),
            setup,
            crm,
            enough,
            kills: arguments.kills,
            began: Instant::now(),
            start_takes: FIRST_GUESS,
            starts: Latency::new(),
            moments: BTreeMap::new(),
        })
    }

    /// Kills as often as asked, lets everything come to its end, and judges.
    pub(super) fn finish(mut self) -> Result<Verdict> {
        let mut server = self.start_server()?;
        std::thread::sleep(AGE);
        server.ensure_running()?;
        server.kill()?;
        for kill in 1..=self.kills {
            let moment = self.dice.moment();
            if let Some((fault, time)) = self.dice.fault() {
                self.crm.fail_for(fault, time);
            }
            let name = self.one_kill(moment).with_context(|| format!("kill {kill} ({moment:?})"))?;
            *self.moments.entry(name).or_default() += 1;
            if kill % TELL_EVERY == 0 {
                let sent = self.client.progress();
                let report = self.crm.report();
                println!(
                    "{kill} kills in {} s: {} events sent, {} answered; {} in the CRM, {} repeated",
                    self.began.elapsed().as_secs(),
                    sent.sent,
                    sent.answered,
                    report.events,
                    report.repeats,
                );
            }
        }
        self.end_in_peace()
    }

    /// Starts the server and kills it at the moment; what it was doing then.
    fn one_kill(&mut self, moment: Moment) -> Result<&'static str> {
        let (mut server, doing) = match moment {
            Moment::Starting(thousandths) | Moment::Upkeep(thousandths) => {
                let server = self.setup.spawn()?;
                std::thread::sleep(self.start_takes * thousandths / 1_000);
                (server, moment.name())
            }
            Moment::Serving(after) => {
                let server = self.start_server()?;
                std::thread::sleep(after);
                (server, moment.name())
            }
            Moment::Checkpointing(after) => {
                let server = self.start_server()?;
                let begun = self.wait_for_checkpoint()?;
                std::thread::sleep(after);
                (server, if begun { moment.name() } else { Moment::Serving(after).name() })
            }
            Moment::Stopping(after, then) => {
                let mut server = self.start_server()?;
                std::thread::sleep(after);
                server.ensure_running()?;
                server.process.terminate()?;
                std::thread::sleep(then);
                server.kill()?;
                return Ok(moment.name());
            }
        };
        server.ensure_running()?;
        server.kill()?;
        Ok(doing)
    }

    fn start_server(&mut self) -> Result<Server> {
        let mut server = self.setup.spawn()?;
        self.start_takes = server.wait_until_ready()?;
        self.starts.record(self.start_takes);
        Ok(server)
    }

    /// Waits until the database's file changes, which only a checkpoint does; whether that came about.
    fn wait_for_checkpoint(&self) -> Result<bool> {
        let before = last_change(&self.setup.data())?;
        let deadline = Instant::now() + CHECKPOINT_PATIENCE;
        while last_change(&self.setup.data())? == before {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(true)
    }

    /// Lets the sender finish and everything be delivered, stops the server, and looks at what there is.
    fn end_in_peace(mut self) -> Result<Verdict> {
        self.crm.clear();
        let mut server = self.start_server()?;
        self.enough.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + END_PATIENCE;
        while !self.client.progress().finished {
            server.ensure_running()?;
            ensure!(Instant::now() < deadline, "the sender has not finished after {} s", END_PATIENCE.as_secs());
            std::thread::sleep(LOOK_EVERY);
        }
        let sent = self.client.stop();
        ensure!(!sent.acked.is_empty(), "no event was acknowledged");
        let status = server.wait_until_settled(END_PATIENCE)?;
        server.stop()?;
        let damage = server::check(&self.setup.binary, &self.setup.data())?;
        let missing = self.crm.missing(sent.acked.iter().copied()).len() as u64;
        let evidence = Evidence {
            moments: self.moments,
            kills: self.kills,
            took: self.began.elapsed(),
            starts: self.starts.summary(),
            crm: self.crm.stop(),
            missing,
            sent,
            status,
            damage,
        };
        Ok(Verdict::of(evidence))
    }
}

/// When the database's own file (not its write-ahead log) was last written.
fn last_change(data: &Path) -> Result<SystemTime> {
    let path = data.join("queue.db");
    path.metadata().and_then(|file| file.modified()).with_context(|| format!("looking at {}", path.display()))
}
