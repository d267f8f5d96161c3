//! Several servers on one table at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use queue::conformance::fixture::{OPTIONS, body, event, topology};
use queue::{ConsumerId, Order, Outcome, Publication, Published, Queue, QueueError, Settle};
use queue_aws::AwsQueue;

use crate::emulator::{open, table};

const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);
const SERVERS: usize = 3;
const EVENTS: usize = 40;
const CONVERSATIONS: usize = 6;

fn configured(options: &queue_aws::Options) -> (Arc<AwsQueue>, ConsumerId) {
    let queue = open(options);
    let crm = queue.configure(topology(&["crm"], Order::Conversation)).expect("configures")[0];
    (queue, crm)
}

async fn publish(queue: &AwsQueue, number: usize) -> Vec<Published> {
    let conversation = format!("c{}", number % CONVERSATIONS);
    loop {
        let publication = Publication {
            source: "test".into(),
            received: NOW,
            proof: "key 1".into(),
            events: vec![event("crm", &conversation, &number.to_string())],
            content: queue::Content::Plain(|body| *event::EventId::from_identity("content", [body]).as_bytes()),
        };
        match queue.publish(publication).await {
            Ok(published) => return published,
            // The sender sends again.
            Err(QueueError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// All servers get every event at the same time, and deliver at the same time: each is accepted once, delivered once, and
/// one event of a conversation at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_accept_and_deliver_each_event_once() {
    let options = table(OPTIONS);
    let servers: Vec<_> = (0..SERVERS).map(|_| configured(&options)).collect();
    let all = servers.iter().map(|(queue, _)| {
        let queue = Arc::clone(queue);
        tokio::spawn(async move {
            let mut accepted = 0;
            for number in 0..EVENTS {
                accepted += publish(&queue, number).await.iter().filter(|answer| !answer.is_duplicate()).count();
            }
            accepted
        })
    });
    let mut accepted = 0;
    for task in all.collect::<Vec<_>>() {
        accepted += task.await.expect("publishes");
    }
    assert_eq!(accepted, EVENTS);
    let all = servers.into_iter().map(|(queue, crm)| {
        tokio::spawn(async move {
            let mut delivered = Vec::new();
            loop {
                let leases = match queue.lease(crm, 3, NOW).await {
                    Ok(leases) => leases,
                    Err(QueueError::Busy { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                if leases.is_empty() && queue.status(NOW).await.expect("tells").consumers[0].unsettled == 0 {
                    return delivered;
                }
                delivered.extend(leases.iter().map(|lease| (lease.stored.seq, body(lease))));
                let settle = |lease: &queue::Lease| Settle { token: lease.token, outcome: Outcome::Done };
                let settlements: Vec<_> = leases.iter().map(settle).collect();
                while let Err(error) = queue.settle(settlements.clone(), NOW).await {
                    assert!(matches!(error, QueueError::Busy { .. }), "{error}");
                }
            }
        })
    });
    let mut count = BTreeMap::<_, usize>::new();
    for task in all.collect::<Vec<_>>() {
        task.await.expect("delivers").into_iter().for_each(|delivered| *count.entry(delivered).or_default() += 1);
    }
    assert_eq!((count.len(), count.values().max()), (EVENTS, Some(&1)));
}

/// A server that waits notices what another one has accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_notices_what_another_one_has_accepted() {
    let options = table(OPTIONS);
    let (here, crm) = configured(&options);
    let (there, _) = configured(&options);
    assert!(here.lease(crm, 1, NOW).await.expect("leases").is_empty());
    publish(&there, 1).await;
    let noticed = async {
        loop {
            here.changed(crm).await;
            let leases = here.lease(crm, 1, NOW).await.expect("leases");
            if let [lease] = &leases[..] {
                return body(lease);
            }
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(30), noticed).await;
    assert_eq!(noticed.expect("within a second, and a slow machine's while"), "1");
}
