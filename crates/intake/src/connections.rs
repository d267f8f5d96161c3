//! Open connections: whoever comes is let in, and who has proved nothing makes room.
//!
//! Up to the limit nothing happens. At the limit connections are closed that are only held, those first that have not
//! sent anything authentic, of the network that holds most, the oldest before the others. One with a request under way
//! is never among them; if all have one, a few more are let in to ask for health, and the rest is turned away.
//!
//! Coming and going cost a short lock; choosing looks at all connections, and so makes room for several at a time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::activity::{Activity, Standing};
use crate::options::{CONNECTIONS_MAX, EVICTED_PART, RESERVED_CONNECTIONS};

/// All open connections.
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Open>,
    /// As many sockets as there may be, those included that are about to be closed.
    sockets: Arc<Semaphore>,
    sockets_max: u32,
}

#[derive(Default)]
struct Open {
    last: u64,
    all: HashMap<u64, Member>,
}

struct Member {
    network: Network,
    activity: Arc<Activity>,
    /// Its task, once that has been started.
    task: Option<AbortHandle>,
}

/// What was done to let a connection in.
pub(crate) struct Entered {
    /// To be held as long as the connection is open.
    pub(crate) guest: Guest,
    /// It was let in only to ask for health.
    pub(crate) reserve: bool,
    /// How many are open now.
    pub(crate) open: usize,
    /// What was closed for it.
    pub(crate) evicted: Option<Evicted>,
}

/// Connections that were closed to make room.
#[derive(Debug)]
pub(crate) struct Evicted {
    pub(crate) connections: usize,
    /// The network that held most, and how many.
    pub(crate) most: Network,
    pub(crate) held: usize,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(CONNECTIONS_MAX);
        let sockets = limit + RESERVED_CONNECTIONS + batch(limit);
        Arc::new(Self {
            limit,
            open: Mutex::default(),
            sockets: Arc::new(Semaphore::new(sockets)),
            sockets_max: u32::try_from(sockets).unwrap_or(u32::MAX),
        })
    }

    /// Leave to hold one more socket. Waits only while connections that were closed are about to fall.
    pub(crate) async fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).acquire_owned().await.ok()
    }

    /// Lets a connection in, and closes others if that is necessary; `None` if that is of no use.
    pub(crate) fn enter(
        self: &Arc<Self>,
        socket: OwnedSemaphorePermit,
        address: IpAddr,
        activity: Arc<Activity>,
    ) -> Option<Entered> {
        let mut open = self.open.lock();
        let evicted = if open.all.len() < self.limit { None } else { open.make_room(batch(self.limit)) };
        let reserve = open.all.len() >= self.limit;
        if open.all.len() >= self.limit + RESERVED_CONNECTIONS {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.all.insert(number, Member { network: Network::of(address), activity, task: None });
        let guest = Guest { connections: Arc::clone(self), number, _socket: socket };
        Some(Entered { guest, reserve, open: open.all.len(), evicted })
    }

    /// The connection is served by this task, which ends when it is closed for others.
    pub(crate) fn serves(&self, number: u64, task: AbortHandle) {
        // It is gone if it has ended already, or was closed before it began.
        match self.open.lock().all.get_mut(&number) {
            Some(member) => member.task = Some(task),
            None => task.abort(),
        }
    }

    /// Closes connections that are only held, without a limit being reached.
    pub(crate) fn make_room(&self) -> Option<Evicted> {
        self.open.lock().make_room(batch(self.limit))
    }

    /// How many sockets are held.
    pub(crate) fn count(&self) -> usize {
        self.sockets_max as usize - self.sockets.available_permits()
    }

    /// Waits until no connection is open, at most so long. Returns whether that came about.
    pub(crate) async fn all_closed(&self, limit: Duration) -> bool {
        timeout(limit, self.sockets.acquire_many(self.sockets_max)).await.is_ok()
    }
}

/// How many are closed at a time, so that a flood does not pay for a choice with each of its connections.
fn batch(limit: usize) -> usize {
    (limit / EVICTED_PART).max(1)
}

/// A connection that was let in, until this is dropped.
pub(crate) struct Guest {
    connections: Arc<Connections>,
    number: u64,
    _socket: OwnedSemaphorePermit,
}

impl Guest {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.connections.open.lock().all.remove(&self.number);
    }
}

impl Open {
    /// Closes at most `most` connections. Those that are chosen count no more, although their sockets close a moment
    /// later.
    fn make_room(&mut self, most: usize) -> Option<Evicted> {
        let now = Instant::now();
        let held = |(number, member): (&u64, &Member)| {
            let (standing, since) = member.activity.standing(now);
            Held { number: *number, network: member.network, standing, since }
        };
        let (chosen, evicted) = choose(self.all.iter().map(held).collect(), most)?;
        for number in chosen {
            if let Some(task) = self.all.remove(&number).and_then(|member| member.task) {
                task.abort();
            }
        }
        Some(evicted)
    }
}

/// A connection, as far as it matters for the choice.
#[derive(Debug, Clone)]
struct Held {
    number: u64,
    network: Network,
    standing: Standing,
    since: Instant,
}

/// Which connections are closed to make room: several of those that are merely held, or else a single one.
fn choose(all: Vec<Held>, most: usize) -> Option<(Vec<u64>, Evicted)> {
    let mut networks: HashMap<Network, usize> = HashMap::new();
    for one in &all {
        *networks.entry(one.network).or_default() += 1;
    }
    let (&network, &held) = networks.iter().max_by_key(|(network, held)| (**held, **network))?;
    let rank = |one: &Held| (one.standing, Reverse(networks[&one.network]), one.since, one.number);
    let mut first: Vec<_> = all.into_iter().filter(|one| one.standing != Standing::Busy).collect();
    if first.len() > most {
        first.select_nth_unstable_by_key(most, rank);
        first.truncate(most);
    }
    first.sort_unstable_by_key(rank);
    let strangers = first.iter().take_while(|one| one.standing < Standing::Proved).count();
    first.truncate(strangers.max(1));
    let chosen: Vec<_> = first.into_iter().map(|one| one.number).collect();
    let evicted = Evicted { connections: chosen.len(), most: network, held };
    (!chosen.is_empty()).then_some((chosen, evicted))
}

/// Whose addresses are counted together: one of IPv4, or the 64 bits of IPv6 that one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network(pub(crate) IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        const HOST: u128 = u64::MAX as u128;
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !HOST).into(),
        })
    }
}

#[cfg(test)]
mod tests;
