//! One life of the server: the queue is opened, each destination has its service, upkeep runs; until it is killed, falls
//! in a step of the queue, or is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use delivery::{Clock as _, Options, Parts, PutAside, RateOptions, Service};
use futures::FutureExt as _;
use futures::future::select_all;
use queue::{BehindDead, Consumer, Order, Queue, QueueError, Topology};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aside::Aside;
use crate::ends::Fall;
use crate::faulty::Faulty;
use crate::planted::Planted;
use crate::signal::Signal;
use crate::store::Store;
use crate::watched::Watched;
use crate::world::{ByTopic, World};

/// How often there is upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);
/// Longer than a stop takes, however the clock is set: the services drain for 10 s, and have 5 s for the last
/// settlements.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether the closed queue is in anyone's hands still.
const RELEASED_WITHIN: u32 = 1_000;

/// What one process has running.
struct Process {
    watched: Arc<Watched>,
    stop: Arc<Signal>,
    services: Vec<JoinHandle<std::result::Result<(), delivery::Error>>>,
    others: Vec<JoinHandle<()>>,
}

/// Lives until the process ends. The store is left as that end leaves it.
pub(crate) async fn live(world: &Arc<World>, store: &mut Store, destinations: &[Arc<Faulty>]) -> Result<()> {
    let mut process = Process::start(world, store, destinations)?;
    let how = process.ends(world).await;
    world.steps.note(|| format!("the process has ended: {how:?}"));
    world.set_up(None);
    let mut fall = how;
    if fall == Fall::Stopped {
        let gone = process.watched.is_gone();
        let stopped = tokio::time::timeout(STOPS_WITHIN, process.stop());
        match futures::future::select(Box::pin(stopped), gone).await {
            futures::future::Either::Left((Ok(()), _)) => {}
            futures::future::Either::Left((Err(_), _)) => bail!("the process did not stop within {STOPS_WITHIN:?}"),
            futures::future::Either::Right(_) => fall = Fall::Killed,
        }
    }
    process.watched.end();
    process.vanish().await;
    let closed = if fall == Fall::Stopped { Some(process.watched.close().await) } else { None };
    drop(process);
    world.oracle.crashed();
    match closed {
        None => store.crash(world.ends.left())?,
        Some(closed) => {
            closed?;
            release(store).await?;
        }
    }
    tokio::time::sleep(world.ends.away()).await;
    Ok(())
}

/// Waits until nobody holds the closed queue, whose lock is gone only with it.
async fn release(store: &mut Store) -> Result<()> {
    for _ in 0..RELEASED_WITHIN {
        if store.release() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("somebody still holds the closed queue")
}

impl Process {
    fn start(world: &Arc<World>, store: &mut Store, destinations: &[Arc<Faulty>]) -> Result<Self> {
        let inner = store.open()?;
        let watched = Arc::new(Watched::new(inner, world, store.log()));
        let plans = &world.plan.destinations;
        let ordered = world.planted != Some(Planted::OutOfOrder);
        let held = world.planted != Some(Planted::NotHeld);
        let consumers = plans.iter().map(|plan| Consumer {
            name: plan.name.as_str().into(),
            order: if ordered { plan.order } else { Order::None },
            behind_dead: if held { plan.behind_dead } else { BehindDead::Continue },
        });
        let topology = Topology { consumers: consumers.collect(), router: Arc::new(ByTopic(world.plan.clone())) };
        let ids = watched.configure(topology)?;
        watched.show_expired();
        let mut process =
            Self { watched: watched.clone(), stop: Arc::default(), services: Vec::new(), others: Vec::new() };
        for (number, (&consumer, destination)) in ids.iter().zip(destinations).enumerate() {
            let paused = watch::Sender::new(is_paused(world, number));
            let parts = Parts {
                name: plans[number].name.as_str().into(),
                consumer,
                queue: watched.clone(),
                mapper: mapper(world, number),
                destination: destination.clone(),
                clock: world.clock.clone(),
                seed: world.dice(300 + number as u64).roll(u64::MAX),
                aside: plans[number].aside.then(|| Aside::new(world, number) as Arc<dyn PutAside>),
                paused: *paused.borrow(),
            };
            let service = Service::new(parts, options(world, number))?;
            process.services.push(tokio::spawn(service.run(paused.subscribe(), process.stop.raised())));
            process.others.push(tokio::spawn(pause(world.clone(), number, paused)));
        }
        process.others.push(tokio::spawn(upkeep(world.clone(), watched.clone())));
        world.steps.note(|| "a process is up".to_owned());
        world.set_up(Some(watched));
        Ok(process)
    }

    /// Waits for the end, and says how it came.
    async fn ends(&mut self, world: &World) -> Fall {
        let gone = self.watched.is_gone();
        let by_itself = world.ends.by_itself(world.plan.length);
        let until = async {
            match by_itself {
                Some((after, fall)) => {
                    tokio::time::sleep(after).await;
                    world.ends.count();
                    fall
                }
                None => std::future::pending().await,
            }
        };
        let until = async {
            let fall = until.await;
            // When the faults are over, nothing ends any more.
            if world.is_calm() { std::future::pending().await } else { fall }
        };
        let service = select_all(self.services.iter_mut());
        let service = async {
            let (ended, number, _) = service.await;
            let why = match ended {
                Ok(Ok(())) => "nobody told it to".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            world.oracle.object(format!("the service of destination {number} has ended: {why}"));
            std::future::pending::<Fall>().await
        };
        let (fall, ..) = select_all([gone.map(|()| Fall::Killed).boxed(), until.boxed(), service.boxed()]).await;
        fall
    }

    /// Stops in good order. That settlements are not done in time, with a full disk, is no fault.
    async fn stop(&mut self) {
        self.stop.raise();
        // One that has ended is taken out at once: this may be broken off, and an end can be seen once only.
        while let Some(service) = self.services.first_mut() {
            let _ = service.await;
            self.services.remove(0);
        }
    }

    /// Everything that runs is gone in the same moment.
    async fn vanish(&mut self) {
        self.services.iter().for_each(JoinHandle::abort);
        self.others.iter().for_each(JoinHandle::abort);
        for service in self.services.drain(..) {
            let _ = service.await;
        }
        for other in self.others.drain(..) {
            let _ = other.await;
        }
    }
}

fn mapper(world: &Arc<World>, number: usize) -> Arc<dyn delivery::Mapper> {
    let world = world.clone();
    Arc::new(move |stored: &queue::Stored, _: u16| world.map(number, stored))
}

fn options(world: &World, number: usize) -> Options {
    let plan = &world.plan.destinations[number];
    let one_more = usize::from(world.planted == Some(Planted::OverTheLimit));
    Options {
        concurrency: plan.concurrency + one_more,
        attempts: if world.planted == Some(Planted::NoRetries) { 1 } else { plan.attempts },
        rate: RateOptions { per_minute: plan.per_minute, ..RateOptions::default() },
        ..Options::default()
    }
}

fn is_paused(world: &World, number: usize) -> bool {
    let now = world.clock.elapsed();
    let pauses = &world.plan.destinations[number].pauses;
    !world.is_calm() && pauses.iter().any(|(from, to)| (*from..*to).contains(&now))
}

/// Pauses and resumes a destination by hand.
async fn pause(world: Arc<World>, number: usize, paused: watch::Sender<bool>) {
    let mut moments: Vec<Duration> =
        world.plan.destinations[number].pauses.iter().flat_map(|(from, to)| [*from, *to]).collect();
    moments.sort();
    for at in moments {
        tokio::time::sleep(at.saturating_sub(world.clock.elapsed())).await;
        paused.send_replace(is_paused(&world, number));
    }
    // It must not seem that nobody could pause it any more.
    std::future::pending::<()>().await;
    drop(paused);
}

/// Drops what is older than retention, as the program does.
async fn upkeep(world: Arc<World>, queue: Arc<Watched>) {
    loop {
        match queue.maintain(world.clock.now()).await {
            Ok(done) if done.more => continue,
            Ok(_) | Err(QueueError::Full { .. }) => {}
            Err(error) => world.oracle.object(format!("upkeep fails: {error}")),
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}
