//! One run: lives of the server one after the other, beside the world that sends, sets clocks, mends and looks on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use delivery::Clock as _;
use futures::future::{Either, select};
use queue::{DeadLetterQuery, Options, Queue as _, Seq, Stored};
use tokio::task::JoinSet;

use crate::faulty::Faulty;
use crate::operating::operate;
use crate::plan::{Backend, DRAINS_WITHIN, Plan};
use crate::planted::Planted;
use crate::process::live;
use crate::review::{clear_up, review};
use crate::sender::send;
use crate::store::Store;
use crate::watched::Watched;
use crate::world::World;

/// How often it is looked whether everything has drained.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What one seed has met, all of it as it must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether it ran on the embedded queue: 1 or 0, so that summaries can be added.
    pub on_sqlite: u64,
    /// Events accepted, conflicts included.
    pub accepted: u64,
    /// Events known already.
    pub duplicates: u64,
    /// Events with a known identity and another content.
    pub conflicts: u64,
    /// Attempts begun.
    pub attempts: u64,
    /// Attempts whose event the destination has.
    pub taken: u64,
    /// Lives of the server.
    pub lives: u64,
    /// Dead letters in the end.
    pub dead: u64,
    /// Dead letters redriven.
    pub redriven: u64,
    /// Virtual time, in seconds.
    pub seconds: u64,
    /// A hash over every step; added up it still tells runs apart.
    pub steps: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.on_sqlite += other.on_sqlite;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.attempts += other.attempts;
        self.taken += other.taken;
        self.lives += other.lives;
        self.dead += other.dead;
        self.redriven += other.redriven;
        self.seconds += other.seconds;
        self.steps = self.steps.wrapping_add(other.steps);
    }
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Found {
    /// The seed that shows it.
    pub seed: u64,
    /// What it is.
    pub what: String,
    /// The last steps before it.
    pub steps: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(f, "run it again: cargo xtask simulate --seeds 1 --from {}", self.seed)
    }
}

/// Runs one seed.
///
/// # Errors
/// With the first thing that is not as it must be, see the oracle.
pub fn simulate(seed: u64) -> std::result::Result<Summary, Box<Found>> {
    simulate_with(seed, None)
}

/// Runs one seed with a bug, if one is given.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_with(seed: u64, planted: Option<Planted>) -> std::result::Result<Summary, Box<Found>> {
    let found = |what: String| Box::new(Found { seed, what, steps: Vec::new() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| found(error.to_string()))?;
    runtime.block_on(async {
        let world = World::new(Plan::new(seed), planted);
        let result = run(&world).await;
        // The world and what is up hold each other.
        world.set_up(None);
        let (steps, all) = world.steps.last();
        let what = match &result {
            Err(error) => Some(format!("{error:#}")),
            Ok(_) => world.oracle.broken(),
        };
        match (what, result) {
            (None, Ok(summary)) => Ok(Summary { steps: all, ..summary }),
            (what, _) => Err(Box::new(Found { steps, ..*found(what.unwrap_or_default()) })),
        }
    })
}

async fn run(world: &Arc<World>) -> Result<Summary> {
    let mut options = Options::default();
    if world.planted == Some(Planted::NoDedupe) {
        options.dedupe_window = Duration::from_millis(1);
    }
    let mut store = Store::new(world.plan.backend, options)?;
    let destinations: Vec<_> = (0..world.plan.destinations.len()).map(|at| Faulty::new(world, at)).collect();
    let mut lives = 0;
    let living = async {
        loop {
            lives += 1;
            if let Err(error) = live(world, &mut store, &destinations).await {
                return error;
            }
        }
    };
    let dead = match select(Box::pin(living), Box::pin(conduct(world))).await {
        Either::Left((error, _)) => return Err(error),
        Either::Right((dead, _)) => dead?,
    };
    let counts = world.oracle.counts();
    Ok(Summary {
        on_sqlite: u64::from(world.plan.backend == Backend::Sqlite),
        accepted: counts.accepted + counts.conflicts,
        duplicates: counts.duplicates,
        conflicts: counts.conflicts,
        attempts: counts.attempts,
        taken: counts.taken,
        lives,
        dead,
        redriven: counts.redriven,
        seconds: world.clock.elapsed().as_secs(),
        steps: 0,
    })
}

/// Lets the faults happen, ends them, waits until everything has drained, and asks for the verdict.
async fn conduct(world: &Arc<World>) -> Result<u64> {
    let mut outside = JoinSet::new();
    for sender in 0..world.plan.senders.len() {
        outside.spawn(send(world.clone(), sender));
    }
    outside.spawn(review(world.clone()));
    outside.spawn(operate(world.clone()));
    outside.spawn(set_clock(world.clone()));
    tokio::time::sleep(world.plan.length).await;
    world.calm.store(true, Ordering::Relaxed);
    world.ends.stop();
    world.steps.note(|| "all faults are over".to_owned());
    let within = DRAINS_WITHIN;
    let joined = async {
        while let Some(ended) = outside.join_next().await {
            ended?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(within, joined).await.context("senders are not answered, long after all faults")??;
    let drained = async {
        // What waits for a dead letter goes on when that is redriven.
        while clear_up(world).await || !has_drained(world).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(within, drained).await {
        Ok(drained) => drained?,
        Err(_) => {
            let status = world.ask(async |queue| queue.status(world.clock.now()).await).await;
            anyhow::bail!("not drained within {within:?} after all faults: {status:?}");
        }
    }
    let query = DeadLetterQuery { limit: 1_000_000, ..DeadLetterQuery::default() };
    let letters = world.ask(async |queue| queue.dead_letters(query).await).await.context("nobody is up")??;
    let log = world.ask(read_log).await.context("nobody is up")??;
    world.oracle.reads(&log);
    world.oracle.judge(&letters);
    Ok(letters.len() as u64)
}

async fn has_drained(world: &World) -> Result<bool> {
    let status = world.ask(async |queue| queue.status(world.clock.now()).await).await.context("nobody is up")??;
    Ok(status.consumers.iter().all(|consumer| consumer.unsettled == 0))
}

/// All of the log, and for which destination what stands there again is.
async fn read_log(queue: Arc<Watched>) -> Result<Vec<(Stored, Option<usize>)>> {
    let (mut log, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = queue.read_log(after, 1_000, 8 << 20).await?;
        anyhow::ensure!(page.damaged.is_empty(), "damaged places in the log: {:?}", page.damaged);
        log.extend(page.events.into_iter().map(|stored| {
            let destination = stored.again.and_then(|again| queue.destination(again.consumer));
            (stored, destination)
        }));
        after = page.through;
        if page.end {
            return Ok(log);
        }
    }
}

/// Somebody, or the network, sets the machine's clock.
async fn set_clock(world: Arc<World>) {
    for (at, millis) in world.plan.clock_set.clone() {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        world.clock.set_by(millis);
        world.steps.note(|| format!("the clock is set by {millis} ms"));
    }
}
