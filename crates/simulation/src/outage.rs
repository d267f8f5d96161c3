//! One long outage on the embedded queue, in virtual time: events come at a steady rate, the destination answers 503 from
//! one moment to another, and everything that grows is measured.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use delivery::{Clock as _, Options, Parts, Service};
use destinations::{BoxFuture, Destination, OutgoingDelivery, Receipt, SendError};
use event::{Event, EventId, NewEvent};
use parking_lot::Mutex;
use queue::{
    Consumer, DeadLetter, DeadLetterQuery, Order, Publication, Queue, Router, Routes, Stored, Target, Topology,
};

use crate::clock::VirtualClock;
use crate::still::Still;
use crate::store::Store;

/// How long the destination takes for an answer.
const PACE: Duration = Duration::from_millis(20);
/// Attempts under way at once, as by default.
const CONCURRENCY: usize = Options::CONCURRENCY;
/// How often there is upkeep, and a look at what grows.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pieces of upkeep at most at one look: before an event that is being delivered there is no end of them.
const PIECES_OF_UPKEEP: u32 = 10;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Events of one publication.
    pub together: u32,
    /// Time between publications.
    pub every: Duration,
    /// When the outage begins.
    pub begins: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// For how long events come after it.
    pub after: Duration,
    /// Over how many conversations the events are spread. Of each only the first waits for its retry.
    pub conversations: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Events accepted.
    pub accepted: u32,
    /// Events that the destination has.
    pub taken: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// Most leases at once, and most waiting retries, each while the outage lasted: in its first half, in its second.
    pub held: [(u64, u64); 2],
    /// Most memory of this process, in bytes, while the outage lasted: in its first half, in its second. Zero where the
    /// operating system does not say.
    pub memory: [u64; 2],
    /// How long it took, after the outage, until nothing waited any more; virtual.
    pub caught_up: Duration,
    /// What died, with when it was received and when it died, both from the begin.
    pub dead: Vec<(DeadLetter, Duration, Duration)>,
}

/// Plays an outage.
///
/// # Errors
/// When an event is lost, or delivered behind a later one of its conversation, or the queue fails.
pub fn outage(outage: Outage) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(play(outage))
}

async fn play(outage: Outage) -> Result<Report> {
    let mut store = Store::large(queue::Options::default())?;
    let queue: Arc<dyn Queue> = Arc::new(Still(store.open()?));
    let consumer =
        Consumer { name: "crm".into(), order: Order::Conversation, behind_dead: queue::BehindDead::Continue };
    let ids = queue.configure(Topology { consumers: vec![consumer], router: Arc::new(Everything) })?;
    let clock = VirtualClock::new();
    let crm = Arc::new(Crm { outage, clock: clock.clone(), seen: Mutex::default() });
    let parts = Parts {
        name: "crm".into(),
        consumer: *ids.first().context("no destination")?,
        queue: queue.clone(),
        mapper: Arc::new(|stored: &Stored, _: u16| Ok(Some(stored.event.body.clone()))),
        destination: crm.clone(),
        clock: clock.clone(),
        seed: 1,
        aside: None,
        paused: false,
    };
    let _service = Service::new(parts, Options { concurrency: CONCURRENCY, ..Options::default() })?.start();
    let begin = clock.now();
    let ends = outage.begins + outage.lasts;
    let (mut accepted, mut grown, mut looked) = (0, Grown::default(), Duration::ZERO);
    while clock.elapsed() < ends + outage.after {
        let received = clock.now();
        let events = (accepted..accepted + outage.together).map(|number| event(number, outage.conversations)).collect();
        let publication = Publication {
            proof: Arc::from("key 1"),
            source: "calls".into(),
            received,
            events,
            content: queue::Content::Plain(event::content_hash),
        };
        accepted += u32::try_from(queue.publish(publication).await?.len())?;
        if clock.elapsed() >= looked + LOOK_EVERY {
            looked = clock.elapsed();
            look(&*queue, &clock, outage, &mut grown).await?;
        }
        tokio::time::sleep(outage.every).await;
    }
    while queue.status(clock.now()).await?.consumers.iter().any(|consumer| consumer.unsettled > 0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let caught_up = clock.elapsed().saturating_sub(ends);
    let letters = queue.dead_letters(DeadLetterQuery { limit: usize::MAX >> 1, ..DeadLetterQuery::default() }).await?;
    let mut dead = Vec::new();
    for letter in letters {
        let whole = queue.dead_letter(letter.id).await?.context("a dead letter is not there")?;
        let (received, died) = (whole.received.unwrap_or_default(), letter.died);
        dead.push((letter, begin.until(received), begin.until(died)));
    }
    queue.close().await?;
    let seen = crm.seen.lock();
    if let Some(what) = &seen.out_of_order {
        anyhow::bail!("{what}");
    }
    let taken = u32::try_from(seen.taken.len())?;
    ensure!(u64::from(taken) + dead.len() as u64 >= u64::from(accepted), "lost: {taken} of {accepted} were taken");
    let Grown { held, memory } = grown;
    Ok(Report { accepted, taken, failed: seen.failed, held, memory, caught_up, dead })
}

/// What could grow, in either half of the outage; see [`Report`].
#[derive(Default)]
struct Grown {
    held: [(u64, u64); 2],
    memory: [u64; 2],
}

/// Upkeep, and a look at what could grow.
async fn look(queue: &dyn Queue, clock: &VirtualClock, outage: Outage, grown: &mut Grown) -> Result<()> {
    for _ in 0..PIECES_OF_UPKEEP {
        if !queue.maintain(clock.now()).await?.more {
            break;
        }
    }
    let Some(into) = clock.elapsed().checked_sub(outage.begins).filter(|into| *into < outage.lasts) else {
        return Ok(());
    };
    let status = queue.status(clock.now()).await?;
    let half = usize::from(into > outage.lasts / 2);
    for consumer in &status.consumers {
        let (leases, retries) = &mut grown.held[half];
        *leases = (*leases).max(consumer.leased);
        *retries = (*retries).max(consumer.retrying);
    }
    grown.memory[half] = grown.memory[half].max(memory());
    Ok(())
}

/// Resident memory of this process, in bytes, from Linux's `/proc`.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

/// An event whose body is a kibibyte with its number in it.
fn event(number: u32, conversations: u32) -> NewEvent {
    NewEvent {
        id: EventId::from_identity("outage", [number.to_be_bytes().as_slice()]),
        topic: "acw".into(),
        conversation: Some(format!("c-{}", number % conversations).into()),
        body: format!("{{\"number\": {number:>12}, \"text\": \"{:<980}\"}}", "what was said").into(),
    }
}

/// The number in a body.
fn number_in(body: &[u8]) -> Option<u32> {
    std::str::from_utf8(body.get(11..23)?).ok()?.trim().parse().ok()
}

/// Everything is for the one destination.
struct Everything;

impl Router for Everything {
    fn route(&self, _: &Event) -> Routes {
        std::iter::once(Target { consumer: 0, route: 0 }).collect()
    }
}

/// The destination.
struct Crm {
    outage: Outage,
    clock: Arc<VirtualClock>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    taken: std::collections::HashSet<u32>,
    failed: u32,
    /// The last event of each conversation.
    last: HashMap<u32, u32>,
    out_of_order: Option<String>,
}

impl Destination for Crm {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let number = number_in(&delivery.payload).ok_or_else(|| SendError::permanent("a changed body"))?;
            tokio::time::sleep(PACE).await;
            let Outage { begins, lasts, conversations, .. } = self.outage;
            let mut seen = self.seen.lock();
            if (begins..begins + lasts).contains(&self.clock.elapsed()) {
                seen.failed += 1;
                return Err(SendError { status: Some(503), ..SendError::transient("answered 503") });
            }
            seen.taken.insert(number);
            let before = seen.last.insert(number % conversations, number);
            if let Some(before) = before.filter(|before| *before >= number) {
                seen.out_of_order.get_or_insert(format!("{number} was delivered after {before}"));
            }
            Ok(Receipt { status: Some(200) })
        })
    }
}
