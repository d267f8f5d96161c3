//! Intake as a whole: listens, accepts connections up to a limit, and stops without losing anything.

use std::collections::BTreeMap;
use std::io;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use event::Timestamp;
use parking_lot::Mutex;
use queue::Queue;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::activity::Activity;
use crate::connection;
use crate::connections::{Connections, Entered, Evicted, Guest};
use crate::counters::{Counters, Pauses, SourceCounts};
use crate::error::Error;
use crate::handle::Handle;
use crate::large::{self, Left, Pending};
use crate::memory::BodyMemory;
use crate::options::{ACCEPT_PAUSE, BACKLOG, BUSY_RETRY, CUT_TIME, LOG_EVERY, Options, REFUSED_BODY_MEMORY};
use crate::problem::{Reason, Refusal};
use crate::quarantine::Quarantine;
use crate::source::{self, Source, Sources};
use crate::spool::Spool;
use crate::tls::Tls;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The listening server. Nothing is accepted before [`Intake::run`].
pub struct Intake {
    listener: TcpListener,
    shared: Arc<Shared>,
    /// Large bodies that were accepted before the start.
    left: Left,
}

impl Intake {
    /// Checks the settings and listens. Reads the certificate and looks into the spool, so it blocks for a moment.
    pub fn bind(
        options: Options,
        sources: Vec<Source>,
        queue: Arc<dyn Queue>,
        clock: Clock,
    ) -> Result<(Self, Handle), Error> {
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        let address = options.listen;
        let opened = options
            .spool
            .as_ref()
            .map(|spool| Spool::open(spool).map_err(|source| Error::Spool { dir: spool.dir.clone(), source }));
        let (spool, accepted) = opened.transpose()?.unzip();
        let listener = listen(address).map_err(|source| Error::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address, source })?;
        let loopback = address.ip().is_loopback();
        let shared = Arc::new(Shared::new(options, queue, clock, Opened { tls, spool, loopback }));
        shared.set_sources(sources)?;
        let handle = Handle::new(Arc::clone(&shared), address);
        let left = Left::find(&shared, accepted.unwrap_or_default());
        Ok((Self { listener, shared, left }, handle))
    }

    /// Accepts and serves until [`Handle::shutdown`], then until every request that is being served has been answered
    /// or [`Options::drain`] is over.
    pub async fn run(self) {
        let Self { listener, shared, left } = self;
        let resuming = tokio::spawn(large::resume(Arc::clone(&shared), left));
        let refreshing = tokio::spawn(refresh(Arc::clone(&shared)));
        #[cfg(feature = "aws")]
        let polling = tokio::spawn(crate::sqs::poll(Arc::clone(&shared)));
        let mut mode = shared.mode.subscribe();
        while *mode.borrow_and_update() < Mode::Draining {
            tokio::select! {
                biased;
                _ = mode.changed() => {}
                accepted = listener.accept() => accept(&shared, accepted).await,
            }
        }
        drop(listener);
        refreshing.abort();
        // It knows of the end, and takes no longer than `drain` from here.
        #[cfg(feature = "aws")]
        let _ = polling.await;
        if !shared.connections.all_closed(shared.options.drain).await {
            let cut = shared.connections.count();
            tracing::warn!(
                connections = cut,
                "not all requests ended in time; their senders got no answer and will repeat them"
            );
            shared.mode.send_replace(Mode::Cut);
            shared.connections.all_closed(CUT_TIME).await;
        }
        // Stops by itself once the mode is draining.
        let _ = resuming.await;
        shared.mode.send_replace(Mode::Stopped);
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(shared: &Arc<Shared>, accepted: io::Result<(TcpStream, SocketAddr)>) {
    let (stream, address) = match accepted {
        Ok(accepted) => accepted,
        // The sender went away before its turn.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
        Err(error) => {
            // Out of files, most likely.
            shared.evicted(shared.connections.make_room());
            let refusal = Refusal::new(Reason::Busy, "no connection can be accepted").because(format!(
                "no connection can be accepted: {error}; if too many files are open, raise the limit (`ulimit -n`)"
            ));
            shared.unnamed.refused(&refusal, "", shared.options.listen.ip(), (shared.clock)());
            return sleep(ACCEPT_PAUSE).await;
        }
    };
    let address = address.ip().to_canonical();
    let Some(socket) = shared.connections.socket().await else { return };
    let activity = Arc::new(Activity::new());
    let Some(entered) = shared.connections.enter(socket, address, Arc::clone(&activity)) else {
        return turn_away(shared, stream, address);
    };
    let Entered { guest, reserve, open, evicted } = entered;
    shared.evicted(evicted);
    shared.crowd(open);
    // Answers are written in one piece; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    serve(shared, stream, Peer { shared: Arc::clone(shared), address, activity, reserve }, guest);
}

fn serve(shared: &Shared, stream: TcpStream, peer: Peer, guest: Guest) {
    let (mode, number) = (shared.mode.subscribe(), guest.number());
    let task = tokio::spawn(async move {
        let _guest = guest;
        connection::serve(stream, Arc::new(peer), mode).await;
    });
    shared.connections.serves(number, task.abort_handle());
}

/// What is said when all connections have a request under way.
pub(crate) fn full() -> Refusal {
    let detail = "as many connections are open as are allowed, and each has a request under way; try again a little \
                  later, and use fewer at once";
    Refusal::new(Reason::Busy, detail).retry_after(BUSY_RETRY)
}

/// Answers 503 without a task of its own, and as well as that goes without waiting.
fn turn_away(shared: &Shared, stream: TcpStream, address: IpAddr) {
    let refusal = full();
    shared.unnamed.request();
    shared.unnamed.refused(&refusal, "", address, (shared.clock)());
    if shared.tls.is_none()
        && let Ok(mut stream) = stream.into_std()
    {
        // What has come already is read, because closing with unread bytes would take the answer back.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write(&refusal.raw());
    }
}

/// Looks at the files of secrets and certificates from time to time.
async fn refresh(shared: Arc<Shared>) {
    loop {
        sleep(shared.options.refresh_every).await;
        let shared = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || shared.refresh_files()).await;
    }
}

/// What the whole server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Serving.
    Normal,
    /// Serving, with almost as many connections as allowed.
    Crowded,
    /// Finishing the requests that are being served.
    Draining,
    /// Ending connections, finished or not.
    Cut,
    /// Done.
    Stopped,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) sources: ArcSwap<Sources>,
    /// What opens sealed bodies, also those of sources that have no rules any more.
    pub(crate) redaction_keys: ArcSwapOption<redaction::Keys>,
    /// Those of every source that was ever served, so that a change of configuration does not reset them.
    counters: Mutex<BTreeMap<Arc<str>, Arc<Counters>>>,
    /// Of requests that name no source.
    pub(crate) unnamed: Counters,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) clock: Clock,
    pub(crate) quarantine: OnceLock<Arc<dyn Quarantine>>,
    /// What is known of the use of keys reaches back before the start.
    pub(crate) past_uses_known: AtomicBool,
    pub(crate) memory: Arc<BodyMemory>,
    /// Of bodies that are read only for the quarantine.
    pub(crate) refused_memory: Arc<BodyMemory>,
    pub(crate) mode: watch::Sender<Mode>,
    /// Of large bodies.
    pub(crate) spool: Option<Arc<Spool>>,
    /// Those that are accepted and not all in the queue.
    pub(crate) pending: Arc<Pending>,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections: Arc<Connections>,
    evictions: Pauses,
    loopback: bool,
    serving: AtomicUsize,
    /// Told when there are other sources than before.
    #[cfg(feature = "aws")]
    pub(crate) sources_changed: watch::Sender<()>,
}

/// What was opened for an intake.
#[derive(Default)]
struct Opened {
    tls: Option<Tls>,
    spool: Option<Arc<Spool>>,
    /// Nobody else can reach it.
    loopback: bool,
}

impl Shared {
    /// Of an intake that listens nowhere and has no spool.
    pub(crate) fn unbound(options: Options, queue: Arc<dyn Queue>, clock: Clock) -> Arc<Self> {
        Arc::new(Self::new(options, queue, clock, Opened::default()))
    }

    fn new(options: Options, queue: Arc<dyn Queue>, clock: Clock, opened: Opened) -> Self {
        let Opened { tls, spool, loopback } = opened;
        Self {
            sources: ArcSwap::default(),
            redaction_keys: ArcSwapOption::empty(),
            counters: Mutex::default(),
            unnamed: Counters::default(),
            quarantine: OnceLock::new(),
            past_uses_known: AtomicBool::new(false),
            memory: BodyMemory::new(options.limits.body_memory),
            refused_memory: BodyMemory::new(REFUSED_BODY_MEMORY),
            serving: AtomicUsize::new(0),
            connections: Connections::new(options.limits.connections),
            evictions: Pauses::default(),
            mode: watch::Sender::new(Mode::Normal),
            loopback,
            pending: Pending::new(),
            spool,
            #[cfg(feature = "aws")]
            sources_changed: watch::Sender::new(()),
            options,
            queue,
            clock,
            tls,
        }
    }

    pub(crate) fn check_sources(&self, sources: &[Source]) -> Result<(), Error> {
        source::serve(sources.to_vec(), self.loopback, |_| Arc::default()).map(drop)
    }

    pub(crate) fn set_sources(&self, sources: Vec<Source>) -> Result<(), Error> {
        let mut counters = self.counters.lock();
        let served =
            source::serve(sources, self.loopback, |name| Arc::clone(counters.entry(Arc::clone(name)).or_default()))?;
        self.take_over_keys(&served);
        self.sources.store(Arc::new(served));
        #[cfg(feature = "aws")]
        self.sources_changed.send_replace(());
        Ok(())
    }

    /// What is known of the keys of a source is known of the same keys in its new keyring.
    fn take_over_keys(&self, served: &Sources) {
        let (now, before) = ((self.clock)(), self.sources.load());
        for (name, served) in served {
            let Some(keyring) = served.source.auth.keyring() else { continue };
            keyring.read_at(now);
            let old = before.get(name).and_then(|old| old.source.auth.keyring());
            if let Some(old) = old.filter(|old| !Arc::ptr_eq(old, keyring)) {
                keyring.remember(old.usage());
            }
        }
    }

    /// Bytes that a body of a source may have.
    pub(crate) fn max_body(&self, source: &Source) -> usize {
        let limits = &self.options.limits;
        let max = source.max_body_bytes.unwrap_or(limits.body_bytes);
        if source.redaction.is_some() { max.min(limits.spool_above) } else { max }
    }

    /// The counts of a source, whether it is still configured or not.
    pub(crate) fn counters_of(&self, name: &Arc<str>) -> Arc<Counters> {
        Arc::clone(self.counters.lock().entry(Arc::clone(name)).or_default())
    }

    /// Counts one more request, unless there are too many.
    pub(crate) fn admit(&self) -> Option<Admitted<'_>> {
        let admitted = Admitted(&self.serving);
        (self.serving.fetch_add(1, Ordering::Relaxed) < self.options.limits.requests).then_some(admitted)
    }

    /// Why no requests can be accepted now, if so.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if *self.mode.borrow() >= Mode::Draining {
            return Some("shutting down".to_owned());
        }
        self.queue.poisoned().map(|reason| format!("the queue has stopped: {reason}"))
    }

    /// Reads changed files of secrets and certificates. Blocks.
    pub(crate) fn refresh_files(&self) {
        let now = (self.clock)();
        for served in self.sources.load().values() {
            if let Some(keyring) = served.source.auth.keyring() {
                keyring.refresh(now);
            }
        }
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
    }

    pub(crate) fn counts(&self) -> Vec<SourceCounts> {
        let unnamed = self.unnamed.snapshot("");
        let counters = self.counters.lock();
        counters.iter().map(|(name, counters)| counters.snapshot(name)).chain([unnamed]).collect()
    }

    /// Takes note of how many connections are open. The way back has a lower mark, so that the mode does not flutter:
    /// each change wakes every connection.
    fn crowd(&self, open: usize) {
        let limit = self.options.limits.connections;
        let current = *self.mode.borrow();
        let next = match current {
            Mode::Normal if open > limit - limit / 8 => Mode::Crowded,
            Mode::Crowded if open <= limit - limit / 4 => Mode::Normal,
            _ => return,
        };
        self.mode.send_if_modified(|mode| {
            let changes = *mode == current;
            if changes {
                *mode = next;
            }
            changes
        });
    }

    /// Says, now and then, that connections were closed to make room.
    fn evicted(&self, evicted: Option<Evicted>) {
        let Some(Evicted { connections, most, held }) = evicted else { return };
        let Some(unsaid) = self.evictions.may_log((self.clock)(), LOG_EVERY) else { return };
        tracing::warn!(
            connections, unsaid, network = %most.0, held,
            "all connections are taken; those that were only held were closed for others"
        );
    }
}

/// A request that is being served; counted until this is dropped.
pub(crate) struct Admitted<'a>(&'a AtomicUsize);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The other end of a connection, and what it shares with all others.
pub(crate) struct Peer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: IpAddr,
    pub(crate) activity: Arc<Activity>,
    /// There is only room to ask for health.
    pub(crate) reserve: bool,
}
