//! How long `trace` takes in a long audit trail, before there is an index and with one.
//!
//! `cargo run --release -p queue-sqlite --features conformance --example trace_speed -- DIRECTORY [EVENTS]`
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool that measures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use audit::{Conversation, Subject};
use queue::conformance::fixture::{event, topology};
use queue::conformance::{Fixture, Harness};
use queue::{Options, Order, Outcome, Queue};
use queue_sqlite::SqliteQueue;

/// Events of one publication, and how many conversations have one of it each.
const AT_ONCE: usize = 500;
/// Conversations that are asked for.
const ASKED: usize = 20;

struct Named(Arc<SqliteQueue>);

fn directory() -> PathBuf {
    PathBuf::from(std::env::args().nth(1).expect("name a directory"))
}

impl Harness for Named {
    fn new(options: Options) -> Self {
        let options = queue_sqlite::Options { queue: options, ..queue_sqlite::Options::new(directory()) };
        Self(Arc::new(SqliteQueue::open(&options).expect("opens")))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.0) as Arc<dyn Queue>
    }

    fn crash(&mut self) {}
}

#[tokio::main]
async fn main() {
    let events: usize = std::env::args().nth(2).map_or(500_000, |text| text.parse().expect("a number"));
    let f = Fixture::<Named>::new();
    f.queue.configure(topology(&["crm", "lake"], Order::None)).expect("configures");
    let begin = Instant::now();
    for from in (0..events).step_by(AT_ONCE) {
        let one = |n: usize| event("crm", &format!("c{}", n % (events / 4).max(1)), &format!("{{\"n\":{n}}}"));
        f.publish((from..events.min(from + AT_ONCE)).map(one).collect()).await;
        let leases = f.lease(f.crm, AT_ONCE).await;
        f.settle(&leases, Outcome::Delivered(queue::Answer::default())).await;
    }
    println!("{events} events published and delivered in {:.1?}", begin.elapsed());
    ask(&f, "without an index").await;
    let (begin, mut pieces) = (Instant::now(), 1);
    while f.queue.maintain(f.now).await.expect("maintains").more {
        pieces += 1;
    }
    println!("indexed in {pieces} pieces, {:.1?}", begin.elapsed());
    ask(&f, "with the index").await;
}

async fn ask(f: &Fixture<Named>, how: &str) {
    let (mut longest, mut entries) = (std::time::Duration::ZERO, 0);
    for n in 0..ASKED {
        let begin = Instant::now();
        let subject = Subject::Conversation(Conversation::of(&format!("c{}", n * 997)));
        entries += f.queue.trace(subject).await.expect("traces").len();
        longest = longest.max(begin.elapsed());
    }
    println!("{how}: {ASKED} conversations with {entries} entries, the slowest in {longest:.1?}");
}
