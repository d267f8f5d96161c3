//! `aftercall demo`: the whole promise in under a minute, with nothing else installed.
//!
//! A contact centre sends events with duplicates, the CRM answers 503 for ten seconds in the middle, and the server, a
//! process of its own, is killed with kill -9 and started again. At the end every event is accounted for.

mod server;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use simulator::client::{Auth, Client, Progress};
use simulator::contact_centre::{ContactCentre, Knobs};
use simulator::crm::{Crm, Fault};
use simulator::sign::{Scheme, Signer};

use self::server::ServerProcess;
use self::verdict::Verdict;
use crate::cli::DemoArgs;
use crate::output;

/// How long sending takes, whatever the number of events; long enough for an outage and a restart.
const SENDING: Duration = Duration::from_secs(24);
/// How long the CRM takes for a record while it is up, so that deliveries overlap as they would with a real one.
const CRM_TAKES: Fault = Fault::Slow(Duration::from_millis(5));
/// How long the CRM is down.
const OUTAGE: Duration = Duration::from_secs(10);
/// How long after the end of sending the last event may arrive.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the demo looks around.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Plays it, and prints what came of it.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let dir = tempfile::Builder::new().prefix("aftercall-demo-").tempdir().context("making a directory")?;
    let crm = Crm::start(simulator::crm::Options::default())?;
    crm.fail(CRM_TAKES);
    let mut server = ServerProcess::start(dir.path(), crm.address())?;
    let knobs = Knobs { seed: args.seed, events: args.events.into(), ..Knobs::default() };
    let mut options = simulator::client::Options::new(server.intake());
    options.genesys = Auth::Signed(Signer::new(Scheme::Genesys, server::WEBHOOK_SECRET)?);
    options.eventbridge = Auth::Bearer(server::EVENTBRIDGE_TOKEN.to_owned());
    options.rate = Some(f64::from(args.events) / SENDING.as_secs_f64());
    options.deadline = SENDING + PATIENCE;
    let client = Client::start(options, ContactCentre::new(knobs)?)?;
    let (story, bar) = (Story::default(), bar(args)?);
    let sent = play(story, client, &crm, &mut server, args, &bar)?;
    wait_for_the_rest(&sent, &crm, &bar);
    bar.finish_and_clear();
    let verdict = Verdict::new(&sent, &crm, server.stop()?);
    if args.json {
        output::print_json(&verdict.json())?
    } else {
        output::print(&verdict.table(&server::check(dir.path())?))?
    }
    if args.keep {
        output::print(&format!("data: {}\n", dir.keep().display()))?;
    }
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn bar(args: &DemoArgs) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} events at the CRM   {msg}")?;
    Ok(ProgressBar::new(args.events.into()).with_style(style).with_message("everything is up"))
}

/// What has happened so far.
#[derive(Default)]
struct Story {
    down_since: Option<Instant>,
    /// When the CRM came back, and how many events it lacked then.
    back: Option<(Instant, u64)>,
    caught_up_after: Option<Duration>,
    killed: bool,
}

impl Story {
    /// Takes the CRM down after a quarter of the events, and brings it back ten seconds later.
    fn outage(&mut self, sent: u64, events: u64, crm: &Crm, bar: &ProgressBar) {
        let here = crm.report().events;
        match (self.down_since, self.back) {
            (None, _) if sent >= events / 4 => {
                crm.fail(Fault::UNAVAILABLE);
                self.down_since = Some(Instant::now());
                bar.set_message("the CRM is down (503)");
            }
            (Some(since), None) if since.elapsed() >= OUTAGE => {
                crm.fail(CRM_TAKES);
                self.back = Some((Instant::now(), sent));
                bar.set_message("the CRM is back");
            }
            (Some(_), Some((back, target))) if self.caught_up_after.is_none() && here >= target * 99 / 100 => {
                self.caught_up_after = Some(back.elapsed());
            }
            _ => {}
        }
    }
}

/// Everything that was sent, and when it was over.
pub(crate) struct Sent {
    pub(crate) report: simulator::client::Report,
    pub(crate) ended: Instant,
    /// How long after its return the CRM had what had come in the meantime.
    pub(crate) caught_up_after: Option<Duration>,
}

/// Lets things go wrong at their time, until everything is sent.
fn play(
    mut story: Story,
    client: Client,
    crm: &Crm,
    server: &mut ServerProcess,
    args: &DemoArgs,
    bar: &ProgressBar,
) -> anyhow::Result<Sent> {
    let events = u64::from(args.events);
    let mut failure = None;
    let report = client.wait(LOOK_EVERY, |progress: Progress| {
        bar.set_position(crm.report().events);
        story.outage(progress.accepted, events, crm, bar);
        if !story.killed && story.back.is_some() && progress.accepted >= events * 4 / 5 {
            story.killed = true;
            bar.set_message("the server was killed (kill -9) and starts again");
            failure = server.kill_and_restart().err();
        }
    });
    let caught_up_after = story.caught_up_after;
    failure.map_or(Ok(Sent { report, ended: Instant::now(), caught_up_after }), Err)
}

/// Waits until everything acknowledged has arrived, or patience ends.
fn wait_for_the_rest(sent: &Sent, crm: &Crm, bar: &ProgressBar) {
    bar.set_message("everything is sent; the rest arrives");
    while sent.ended.elapsed() < PATIENCE {
        let here = crm.report().events;
        bar.set_position(here);
        if here >= sent.report.acked.len() as u64 && crm.missing(sent.report.acked.iter().copied()).is_empty() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
