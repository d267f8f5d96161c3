//! Which queues are read: those of the sources that are configured now.
//!
//! When sources change, pollers of before end after their poll, and those of now begin at once. One that ends by a fault is
//! started again.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::options::{CONCURRENCY_MAX, RESTART_PAUSE, SqsQueue};
use super::outage::Outage;
use super::queue::Queue;
use super::receiver::Receiver;
use crate::server::{Mode, Shared};
use crate::source::Auth;

/// Whether pollers are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// They go on.
    No,
    /// Others have taken over: they end after their poll.
    Afterwards,
    /// The server stops: they end with what they have received.
    Now,
}

/// The pollers of one source.
struct Running {
    queue: Arc<SqsQueue>,
    stop: watch::Sender<Stop>,
    alive: Arc<()>,
}

/// Reads the queues of all sources until the server drains, and returns when all pollers have ended or
/// [`crate::Options::drain`] is over.
pub(crate) async fn poll(shared: Arc<Shared>) {
    let (mut mode, mut changed) = (shared.mode.subscribe(), shared.sources_changed.subscribe());
    let (mut running, mut tasks): (HashMap<Arc<str>, Running>, _) = (HashMap::new(), JoinSet::new());
    let mut leaving = Vec::new();
    while *mode.borrow_and_update() < Mode::Draining {
        changed.borrow_and_update();
        leaving.retain(|stop: &watch::Sender<Stop>| stop.receiver_count() > 0);
        leaving.extend(reconcile(&shared, &mut running, &mut tasks));
        tokio::select! {
            _ = mode.changed() => {}
            _ = changed.changed() => {}
            Some(ended) = tasks.join_next() => {
                if let Err(fault) = ended {
                    tracing::error!("a poller of a queue ended by a fault in Aftercall, and is started again: {fault}");
                    sleep(RESTART_PAUSE).await;
                }
            }
        }
    }
    for stop in running.values().map(|one| &one.stop).chain(&leaving) {
        stop.send_replace(Stop::Now);
    }
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if timeout(shared.options.drain, all_ended).await.is_err() {
        tracing::warn!("not all messages of queues were published in time; they stay in their queues");
    }
}

/// Begins and ends pollers. Returns the hands on those that are to end.
fn reconcile(
    shared: &Arc<Shared>,
    running: &mut HashMap<Arc<str>, Running>,
    tasks: &mut JoinSet<()>,
) -> Vec<watch::Sender<Stop>> {
    let sources = shared.sources.load();
    let queue_of = |name: &Arc<str>| match &sources.get(name)?.source.auth {
        Auth::Queue(queue) => Some(Arc::clone(queue)),
        _ => None,
    };
    let stays = |name: &Arc<str>, one: &Running| {
        // Each poller has one, and this is one.
        let all_alive = Arc::strong_count(&one.alive) > one.queue.concurrency.clamp(1, CONCURRENCY_MAX);
        all_alive && queue_of(name).is_some_and(|queue| Arc::ptr_eq(&queue, &one.queue))
    };
    let mut leaving = Vec::new();
    running.retain(|name, one| {
        let stays = stays(name, one);
        if !stays {
            one.stop.send_replace(Stop::Afterwards);
            leaving.push(one.stop.clone());
        }
        stays
    });
    for name in sources.keys().filter(|name| !running.contains_key(*name)).cloned().collect::<Vec<_>>() {
        if let Some(queue) = queue_of(&name) {
            running.insert(Arc::clone(&name), start(shared, name, queue, tasks));
        }
    }
    leaving
}

fn start(shared: &Arc<Shared>, source: Arc<str>, queue: Arc<SqsQueue>, tasks: &mut JoinSet<()>) -> Running {
    let (stop, alive, outage) = (watch::Sender::new(Stop::No), Arc::new(()), Arc::new(Outage::default()));
    let opened = Arc::new(tokio::sync::OnceCell::new());
    for _ in 0..queue.concurrency.clamp(1, CONCURRENCY_MAX) {
        let (shared, source, settings, alive) =
            (Arc::clone(shared), Arc::clone(&source), Arc::clone(&queue), Arc::clone(&alive));
        let (outage, opened, stop) = (Arc::clone(&outage), Arc::clone(&opened), stop.subscribe());
        tasks.spawn(async move {
            let _alive = alive;
            let queue = opened.get_or_init(|| async { Arc::new(Queue::open(&settings).await) }).await;
            Receiver { shared, source, queue: Arc::clone(queue), outage, stop }.run().await;
        });
    }
    Running { queue, stop, alive }
}
