//! Cases about another configuration while events wait.

use std::sync::Arc;
use std::time::Duration;

use event::Event;

use super::Harness;
use super::fixture::{Fixture, body, event, failure};
use crate::{Attempts, Consumer, Order, Outcome, Router, Routes, Target, Topology};

/// Sends the topic `crm` to the first destination, by another route than before, and everything else to the second.
#[derive(Debug)]
struct Anew;

impl Router for Anew {
    fn route(&self, event: &Event) -> Routes {
        let consumer = u16::from(&*event.topic != "crm");
        [Target { consumer, route: 40 + consumer }].into_iter().collect()
    }
}

fn anew() -> Topology {
    let consumer =
        |name| Consumer { name: Arc::from(name), order: Order::Conversation, behind_dead: crate::BehindDead::Continue };
    Topology { consumers: ["crm", "lake"].map(consumer).to_vec(), router: Arc::new(Anew) }
}

/// What still waits goes by the router of now: by its route, or not at all; also what waits for a retry, and what is out
/// on lease and comes back.
pub async fn routes_anew_what_waits<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let events =
        [("crm", "a", "retried"), ("crm", "b", "given back"), ("both", "c", "gone"), ("both", "d", "kept out")];
    f.publish(events.map(|(topic, conversation, body)| event(topic, conversation, body)).to_vec()).await;
    let leased = f.lease(f.crm, 4).await;
    assert!(leased.iter().all(|lease| lease.route == 3));
    let at = f.now.plus(Duration::from_secs(10));
    let attempts = Attempts { made: 1, charged: 1, first: Some(f.now), last: Some(f.now) };
    f.settle(&leased[..1], Outcome::Retry { at, attempts, failure: failure("busy") }).await;
    f.settle(&leased[2..3], Outcome::Release).await;
    f.publish(vec![event("crm", "e", "waiting")]).await;
    assert_eq!(f.queue.configure(anew()).unwrap(), [f.crm, f.lake]);
    f.settle(&leased[1..2], Outcome::Release).await;
    f.publish(vec![event("crm", "f", "new")]).await;
    f.wait(100);
    let leased = f.lease(f.crm, 10).await;
    assert_eq!(leased.iter().map(body).collect::<Vec<_>>(), ["retried", "given back", "waiting", "new"]);
    assert!(leased.iter().all(|lease| lease.route == 40), "{leased:?}");
    assert_eq!(leased[0].attempts.made, 1);
    f.settle(&leased, Outcome::Done).await;
    let lake = f.lease(f.lake, 10).await;
    assert_eq!(lake.iter().map(body).collect::<Vec<_>>(), ["gone", "kept out"]);
    assert!(lake.iter().all(|lease| lease.route == 41), "{lake:?}");
}
