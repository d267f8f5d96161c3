//! A server that is cut off at each of its requests in turn, before it was sent or before its answer came; and what
//! another server finds then: nothing lost, nothing doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeDeserializationInterceptorContextRef,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use event::{Event, Timestamp};
use queue::conformance::fixture::{OPTIONS, body, event, failure, identified, topology};
use queue::{
    Attempts, By, ConsumerId, DeadLetter, DeadLetterId, DeadLetterQuery, Edit, Lease, Left, Moved, NewEvent, Order,
    Outcome, Publication, Published, Queue, QueueError, Seq, Settle,
};
use queue_aws::AwsQueue;

use crate::bucket;
use crate::emulator::{AUDIT_RETENTION, client, open, table};

/// The time of the tests.
const NOW: Timestamp = Timestamp::from_millis(1_773_957_888_000);

/// What is done to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// From this one on they do not get there.
    Unsent(u64),
    /// From this one on they get there, and the answers do not come back.
    Unanswered(u64),
    /// Each third one of the first ones gets there and is answered as if it had been too many. Only of the first, since
    /// the client slows down each time.
    Throttled,
    /// None of them gets there while it is said so.
    Switched,
}

/// Requests of which each third is throttled: those of some publications, and of leasing and settling.
const THROTTLED: u64 = 40;

/// Counts requests, and does something to them.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    fault: Fault,
    requests: Arc<AtomicU64>,
    off: Arc<AtomicBool>,
}

pub(crate) type Refused = Box<dyn std::error::Error + Send + Sync>;

impl Cut {
    /// Counts a request; whether it gets there.
    pub(crate) fn send(&self) -> Result<(), Refused> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Unsent(from) if number >= from => Err("cut off".into()),
            // What comes after the one whose answer got lost is not sent.
            Fault::Unanswered(from) if number > from => Err("cut off".into()),
            Fault::Switched if self.off.load(Ordering::SeqCst) => Err("cut off".into()),
            _ => Ok(()),
        }
    }

    /// Whether the answer to the latest one comes back.
    pub(crate) fn answer(&self) -> Result<(), Refused> {
        let number = self.requests.load(Ordering::SeqCst) - 1;
        match self.fault {
            Fault::Unanswered(from) if number >= from => Err("cut off".into()),
            _ => Ok(()),
        }
    }
}

impl Intercept for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Refused> {
        self.send()
    }

    fn read_after_transmit(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Refused> {
        self.answer()
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Refused> {
        let number = self.requests.load(Ordering::SeqCst) - 1;
        if self.fault == Fault::Throttled && number % 3 == 2 && number < THROTTLED {
            let response = context.response_mut();
            response.headers_mut().insert("x-amzn-errortype", "ThrottlingException");
            *response.status_mut() = 400u16.try_into()?;
            *response.body_mut() = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#.into();
        }
        Ok(())
    }
}

/// A server whose requests have a fault from its next one on.
pub(crate) struct Faulty {
    pub(crate) queue: AwsQueue,
    pub(crate) requests: Arc<AtomicU64>,
    /// With [`Fault::Switched`], whether it is cut off.
    pub(crate) off: Arc<AtomicBool>,
}

pub(crate) fn faulty(options: &queue_aws::Options, fault: Fault) -> Faulty {
    let requests = Arc::<AtomicU64>::default();
    let off = Arc::<AtomicBool>::default();
    let cut = Cut { fault, requests: Arc::clone(&requests), off: Arc::clone(&off) };
    let client = Client::from_conf(client().config().to_builder().interceptor(cut.clone()).build());
    let bodies = options.bodies.clone().map(|bodies| bucket::cutting(bodies, cut));
    let options = queue_aws::Options { bodies, ..options.clone() };
    Faulty { queue: AwsQueue::open(&client, options).expect("opens"), requests, off }
}

fn configure(queue: &dyn Queue) -> ConsumerId {
    queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures")[0]
}

/// With this destination only.
pub(crate) fn alone(queue: &dyn Queue) -> ConsumerId {
    queue.configure(topology(&["crm"], Order::Conversation)).expect("configures")[0]
}

pub(crate) fn publication(events: Vec<NewEvent>, received: Timestamp) -> Publication {
    let content = |body: &[u8]| *event::EventId::from_identity("content", [body]).as_bytes();
    let content = queue::Content::Plain(content);
    Publication { source: "test".into(), received, proof: "key 1".into(), events, content }
}

pub(crate) fn settle(leases: &[Lease], outcome: &Outcome) -> Vec<Settle> {
    leases.iter().map(|lease| Settle { token: lease.token, outcome: outcome.clone() }).collect()
}

/// Delivers everything that is due; how often each body was delivered.
async fn drain(queue: &dyn Queue, crm: ConsumerId, now: Timestamp) -> BTreeMap<String, u64> {
    let mut delivered = BTreeMap::new();
    loop {
        let leases = queue.lease(crm, 100, now).await.expect("leases");
        if leases.is_empty() {
            return delivered;
        }
        leases.iter().for_each(|lease| *delivered.entry(body(lease)).or_insert(0) += 1);
        queue.settle(settle(&leases, &Outcome::Done), now).await.expect("settles");
    }
}

fn once(bodies: &[&str]) -> BTreeMap<String, u64> {
    bodies.iter().map(|body| ((*body).to_owned(), 1)).collect()
}

/// Does something with the requests cut off at the first, the second and so on, until it is done before that.
async fn cut_everywhere<F: Future<Output = bool>>(mut attempt: impl FnMut(Fault) -> F) {
    for fault in [Fault::Unsent as fn(u64) -> Fault, Fault::Unanswered] {
        let mut at = 0;
        while attempt(fault(at)).await {
            at += 1;
            assert!(at < 200, "it ends some time");
        }
        assert!(at > 1, "there was something to be cut off");
    }
}

/// Whether a fault has met a request.
fn was_met(faulty: &Faulty, fault: Fault) -> bool {
    match fault {
        Fault::Unsent(at) | Fault::Unanswered(at) => faulty.requests.load(Ordering::SeqCst) > at,
        Fault::Throttled | Fault::Switched => true,
    }
}

async fn letters(queue: &dyn Queue) -> Vec<queue::DeadLetter> {
    queue.dead_letters(DeadLetterQuery::default()).await.expect("lists")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_cut_off_anywhere_is_whole_or_not_there_and_can_be_repeated() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        let crm = configure(&*healthy);
        healthy.publish(publication(vec![event("crm", "a", "before")], NOW)).await.expect("publishes");
        let events = || {
            vec![
                event("crm", "a", "one"),
                event("crm", "a", "one"),
                event("crm", "b", "two"),
                identified("before", "crm", "a", "other"),
            ]
        };
        let cut = faulty(&options, fault);
        let answer = cut.queue.publish(publication(events(), NOW)).await;
        let met = was_met(&cut, fault);
        drop(cut);
        let log = healthy.read_log(Seq(1), 10, 1 << 20).await.expect("reads").events;
        assert!(log.is_empty() || log.len() == 3, "{fault:?}: all or nothing, but {log:?}");
        if let Ok(answer) = &answer {
            assert!(matches!(answer[..], [Published::Accepted { .. }, Published::Duplicate { .. }, ..]), "{answer:?}");
            assert_eq!(log.len(), 3, "{fault:?}: what is answered is there");
        }
        // Its claims are in the way for a time if it has crashed.
        let again = healthy.publish(publication(events(), NOW.plus(Duration::from_secs(21)))).await.expect("publishes");
        let new = again.iter().filter(|answer| !answer.is_duplicate()).count();
        assert_eq!(new, if log.is_empty() { 3 } else { 0 }, "{fault:?}: {again:?}");
        assert_eq!(drain(&*healthy, crm, NOW).await, once(&["before", "one", "other", "two"]), "{fault:?}");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_cut_off_anywhere_loses_and_doubles_nothing() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        configure(&*healthy);
        let bodies = ["1", "2", "3", "4", "5"];
        let events = bodies.iter().map(|body| event("crm", &format!("c{body}"), body)).collect();
        healthy.publish(publication(events, NOW)).await.expect("publishes");
        let cut = faulty(&options, fault);
        let met = match cut.queue.configure(topology(&["crm", "lake"], Order::Conversation)) {
            Ok(ids) => {
                let _ = cut.queue.lease(ids[0], 3, NOW).await;
                was_met(&cut, fault)
            }
            Err(_) => true,
        };
        drop(cut);
        let crm = configure(&*healthy);
        let later = NOW.plus(OPTIONS.times.lease);
        assert_eq!(drain(&*healthy, crm, later).await, once(&bodies), "{fault:?}");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_is_cut_off_anywhere_is_made_or_not_and_has_one_dead_letter() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        let crm = configure(&*healthy);
        let events = ["done", "dead", "late"].map(|body| event("crm", body, body)).to_vec();
        healthy.publish(publication(events, NOW)).await.expect("publishes");
        let leases = healthy.lease(crm, 10, NOW).await.expect("leases");
        let attempts = Attempts { made: 1, charged: 1, first: Some(NOW), last: Some(NOW) };
        let settlements = leases.iter().map(|lease| Settle {
            token: lease.token,
            outcome: match &*body(lease) {
                "done" => Outcome::Done,
                "dead" => Outcome::Dead { attempts, failure: failure("no") },
                _ => Outcome::Retry { at: NOW.plus(Duration::from_secs(5)), attempts, failure: failure("busy") },
            },
        });
        let settlements: Vec<_> = settlements.collect();
        let cut = faulty(&options, fault);
        let met = match cut.queue.configure(topology(&["crm", "lake"], Order::Conversation)) {
            Ok(_) => {
                let answer = cut.queue.settle(settlements.clone(), NOW).await;
                let letters = letters(&*healthy).await.len();
                assert!(answer.is_err() || letters == 1, "{fault:?}: what is answered is settled");
                was_met(&cut, fault)
            }
            Err(_) => true,
        };
        drop(cut);
        // The delivery that does not know whether it has settled does it again.
        healthy.settle(settlements, NOW).await.expect("settles");
        let letters = letters(&*healthy).await;
        assert_eq!(letters.len(), 1, "{fault:?}: {letters:?}");
        let status = healthy.status(NOW).await.expect("tells");
        let consumer = &status.consumers[0];
        assert_eq!((status.dead_letters, consumer.delivered, consumer.unsettled), (1, 1, 1), "{fault:?}");
        assert_eq!(drain(&*healthy, crm, NOW.plus(Duration::from_secs(60))).await, once(&["late"]), "{fault:?}");
        let trail = healthy.audit(0, 100).await.expect("reads").blocks;
        let entries = trail.iter().flat_map(|block| block.entries().expect("can be read"));
        let attempted = entries.filter(|entry| matches!(entry.what, audit::What::Attempted { .. })).count();
        assert_eq!(attempted, 4, "{fault:?}: each attempt is on record once");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_cut_off_anywhere_leaves_the_letter_or_the_event() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        let crm = configure(&*healthy);
        healthy
            .publish(publication(vec![event("crm", "a", "1"), event("crm", "b", "2")], NOW))
            .await
            .expect("publishes");
        let leases = healthy.lease(crm, 10, NOW).await.expect("leases");
        let dead = Outcome::Dead { attempts: Attempts::default(), failure: failure("no") };
        healthy.settle(settle(&leases, &dead), NOW).await.expect("settles");
        let ids: Vec<_> = letters(&*healthy).await.iter().map(|letter| letter.id).collect();
        let cut = faulty(&options, fault);
        let met = match cut.queue.configure(topology(&["crm", "lake"], Order::Conversation)) {
            Ok(_) => {
                let _ = cut.queue.redrive(ids.clone(), By::new("ann", NOW)).await;
                was_met(&cut, fault)
            }
            Err(_) => true,
        };
        drop(cut);
        let left = letters(&*healthy).await.len() as u64;
        let unsettled = healthy.status(NOW).await.expect("tells").consumers[0].unsettled;
        assert_eq!(left + unsettled, 2, "{fault:?}");
        healthy.redrive(ids, By::new("ann", NOW)).await.expect("redrives");
        assert_eq!(drain(&*healthy, crm, NOW).await, once(&["1", "2"]), "{fault:?}");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

/// What another queue would hand over: to be delivered, settled, and dead with an edited copy.
fn moved() -> Vec<Moved> {
    let one = |name: &str| {
        let NewEvent { id, topic, conversation, body } = event("crm", name, name);
        let (source, received) = ("test".into(), NOW);
        let event = Event { id, source, topic, conversation, received, conflict_of: None, body };
        let (left, dead, proof) = (Vec::new(), Vec::new(), "moved from elsewhere".into());
        Moved { known_by: id, known_since: NOW, event, again: None, left, dead, proof }
    };
    let (mut left, settled, mut dead) = (one("left"), one("settled"), one("dead"));
    let attempts = Attempts { made: 2, ..Attempts::default() };
    left.left.push(Left { destination: "crm".into(), attempts, due: NOW });
    dead.dead.push(DeadLetter {
        id: DeadLetterId(7),
        died: NOW,
        destination: Some("crm".into()),
        seq: Some(Seq(9)),
        event: Some(dead.event.id),
        source: "test".into(),
        topic: "crm".into(),
        conversation: dead.event.conversation.clone(),
        attempts,
        failure: failure("no"),
        behind_dead: false,
        held: 0,
        received: Some(NOW),
        body: Some(dead.event.body.clone()),
        edit: Some(Edit { by: By::new("ann", NOW), body: Some("mended".into()) }),
        altered: false,
    });
    vec![left, settled, dead]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_that_is_cut_off_anywhere_is_whole_or_not_there_and_can_be_repeated() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        let crm = configure(&*healthy);
        let cut = faulty(&options, fault);
        let met = match cut.queue.configure(topology(&["crm", "lake"], Order::Conversation)) {
            Ok(_) => {
                let taken = cut.queue.take_over(moved()).await;
                let there = healthy.read_log(Seq(0), 10, 1 << 20).await.expect("reads").events.len();
                assert!(there == 3 || there == 0 && taken.is_err(), "{fault:?}: {there} after {taken:?}");
                was_met(&cut, fault)
            }
            Err(_) => true,
        };
        drop(cut);
        let taken = healthy.take_over(moved()).await.expect("takes over");
        assert_eq!((taken.looked_at, taken.last), (3, Seq(3)), "{fault:?}");
        assert_eq!(healthy.take_over(moved()).await.expect("takes over").new, 0, "{fault:?}");
        let events = ["left", "settled", "dead"].map(|name| event("crm", name, name)).to_vec();
        let again = healthy.publish(publication(events, NOW)).await.expect("publishes");
        assert!(again.iter().all(Published::is_duplicate), "{fault:?}: {again:?}");
        let letters = letters(&*healthy).await;
        assert_eq!(letters.len(), 1, "{fault:?}");
        let letter = healthy.dead_letter(letters[0].id).await.expect("reads").expect("it is there");
        assert_eq!(letter.edit.and_then(|edit| edit.body), Some("mended".into()), "{fault:?}");
        assert_eq!(drain(&*healthy, crm, NOW).await, once(&["left"]), "{fault:?}");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_that_is_cut_off_anywhere_buries_what_is_undelivered_once() {
    cut_everywhere(|fault| async move {
        let options = bucket::with(table(OPTIONS));
        let healthy = open(&options);
        let crm = configure(&*healthy);
        let events = vec![event("crm", "a", "1"), event("lost", "b", "2"), event("crm", "c", "3")];
        healthy.publish(publication(events, NOW)).await.expect("publishes");
        let later = NOW.plus(OPTIONS.retention + Duration::from_secs(1));
        healthy.publish(publication(vec![event("crm", "a", "young")], later)).await.expect("publishes");
        let cut = faulty(&options, fault);
        let met = match cut.queue.configure(topology(&["crm", "lake"], Order::Conversation)) {
            Ok(_) => {
                let _ = cut.queue.maintain(later).await;
                was_met(&cut, fault)
            }
            Err(_) => true,
        };
        drop(cut);
        healthy.maintain(later).await.expect("maintains");
        let status = healthy.status(later).await.expect("tells");
        assert_eq!((status.dead_letters, status.retained), (2, 1), "{fault:?}");
        assert_eq!(drain(&*healthy, crm, later).await, once(&["young"]), "{fault:?}");
        bucket::has_what_is_named(&*healthy, &options).await;
        met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_after_the_fact_doubles_nothing() {
    let options = table(OPTIONS);
    let throttled = faulty(&options, Fault::Throttled);
    let crm = configure(&throttled.queue);
    let bodies = ["1", "2"];
    for body in bodies {
        let answer =
            throttled.queue.publish(publication(vec![event("crm", body, body)], NOW)).await.expect("publishes");
        assert!(matches!(answer[..], [Published::Accepted { .. }]), "{answer:?}");
    }
    let leases = throttled.queue.lease(crm, 10, NOW).await.expect("leases");
    assert_eq!(leases.len(), 2, "each write that was repeated knows itself again");
    let dead = Outcome::Dead { attempts: Attempts::default(), failure: failure("no") };
    throttled.queue.settle(settle(&leases[..1], &dead), NOW).await.expect("settles");
    throttled.queue.settle(settle(&leases[1..], &Outcome::Done), NOW).await.expect("settles");
    let status = throttled.queue.status(NOW).await.expect("tells");
    assert_eq!((status.accepted, status.duplicates, status.dead_letters), (2, 0, 1));
    assert_eq!(status.consumers[0].delivered, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_a_publication_that_has_crashed_is_waited_for_and_then_taken_over() {
    let options = table(OPTIONS);
    let healthy = open(&options);
    let crm = configure(&*healthy);
    // Its first request claims, and the second would have read the head.
    let cut = faulty(&options, Fault::Unsent(1));
    let publish = |received| publication(vec![event("crm", "a", "one")], received);
    assert!(cut.queue.publish(publish(NOW)).await.is_err());
    drop(cut);
    let early = healthy.publish(publish(NOW.plus(Duration::from_secs(19)))).await;
    assert!(matches!(early, Err(QueueError::Busy { .. })), "somebody may be at it: {early:?}");
    let answer = healthy.publish(publish(NOW.plus(Duration::from_secs(20)))).await.expect("publishes");
    assert!(matches!(answer[..], [Published::Accepted { seq: Seq(1), .. }]), "{answer:?}");
    assert_eq!(drain(&*healthy, crm, NOW).await, once(&["one"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_that_wait_share_commits() {
    const PUBLICATIONS: u64 = 100;
    let options = table(OPTIONS);
    let counting = faulty(&options, Fault::Unsent(u64::MAX));
    let crm = configure(&counting.queue);
    let before = counting.requests.load(Ordering::SeqCst);
    let all = (0..PUBLICATIONS).map(|number| {
        let body = number.to_string();
        counting.queue.publish(publication(vec![event("crm", &body, &body)], NOW))
    });
    let answers = futures::future::join_all(all.collect::<Vec<_>>()).await;
    let place = |answer: Result<Vec<Published>, QueueError>| match answer.expect("publishes")[..] {
        [Published::Accepted { seq, .. }] => seq.0,
        ref other => panic!("{other:?}"),
    };
    let mut places: Vec<u64> = answers.into_iter().map(place).collect();
    places.sort_unstable();
    assert_eq!(places, (1..=PUBLICATIONS).collect::<Vec<_>>());
    let requests = counting.requests.load(Ordering::SeqCst) - before;
    assert!(requests < 2 * PUBLICATIONS, "one claim each, and few commits: {requests}");
    assert_eq!(drain(&counting.queue, crm, NOW).await.len() as u64, PUBLICATIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_gone_after_it_was_looked_at_becomes_a_dead_letter_and_its_destination_goes_on() {
    let options = table(OPTIONS);
    let healthy = open(&options);
    let crm = alone(&*healthy);
    healthy.publish(publication(vec![event("crm", "a", "gone")], NOW)).await.expect("publishes");
    healthy.publish(publication(vec![event("crm", "a", "there")], NOW)).await.expect("publishes");
    // Looked at, and given back.
    let leases = healthy.lease(crm, 1, NOW).await.expect("leases");
    healthy.settle(settle(&leases, &Outcome::Release), NOW).await.expect("settles");
    drop(healthy);
    let key = |name: &str, text: &str| (name.to_owned(), AttributeValue::S(text.to_owned()));
    let key = [key("pk", "log 00000000000000000"), key("sk", "00000000000000000001")].into();
    let deleted = client().delete_item().table_name(&options.table).set_key(Some(key));
    deleted.return_values(ReturnValue::AllOld).send().await.expect("deletes").attributes.expect("was there");
    let healthy = open(&options);
    let crm = alone(&*healthy);
    assert_eq!(drain(&*healthy, crm, NOW).await, once(&["there"]));
    let letters = letters(&*healthy).await;
    assert_eq!((letters.len(), letters[0].seq, letters[0].event), (1, Some(Seq(1)), None));
    assert_eq!(healthy.discard(vec![letters[0].id], By::new("ann", NOW)).await.expect("discards").len(), 1);
    assert_eq!(healthy.status(NOW).await.expect("tells").consumers[0].dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_not_there_is_named() {
    let options = queue_aws::Options {
        queue: OPTIONS,
        table: "nowhere".to_owned(),
        ownership: None,
        bodies: None,
        audit_retention: AUDIT_RETENTION,
    };
    let queue = open(&options);
    let error = queue.status(NOW).await.expect_err("there is no table");
    assert!(error.to_string().contains("`nowhere`") && error.to_string().contains("is the table there"), "{error}");
}
