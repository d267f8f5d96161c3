//! A destination that takes the outcomes of many events at once: each event has an end of its own all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use destinations::{BoxFuture, Destination, OutgoingDelivery, Receipt, SendError, TakesOutcomes, Took};
use event::Event;
use parking_lot::Mutex;
use queue::{FailureClass, Order, Stored};

use super::rig::{DEADLINE, Rig, Scripted, wait};
use crate::{MapError, Mapper, Options};

/// Every route gives the outcome.
#[derive(Default)]
struct Outcomes {
    unrecognised: Mutex<Vec<u32>>,
}

impl Mapper for Outcomes {
    fn map(&self, stored: &Stored, _route: u16) -> Result<Option<Bytes>, MapError> {
        Ok(Some(stored.event.body.clone()))
    }

    fn is_outcome(&self, _route: u16) -> bool {
        true
    }

    fn unrecognised(&self, stored: &Stored) {
        self.unrecognised.lock().push(number(&stored.event));
    }
}

fn number(event: &Event) -> u32 {
    std::str::from_utf8(&event.body).unwrap().parse().unwrap()
}

type Script = dyn Fn(u32, usize) -> Result<Took, SendError> + Send + Sync;

/// Takes groups as a script says, given an event's number and how many groups came before; single ones as another.
struct Groups {
    script: Box<Script>,
    hangs: bool,
    groups: Mutex<Vec<Vec<u32>>>,
    alone: Arc<Scripted>,
}

const TAKEN: Result<Took, SendError> = Ok(Took::Taken { unrecognised: false });

impl Groups {
    fn new(rig: &Rig, script: impl Fn(u32, usize) -> Result<Took, SendError> + Send + Sync + 'static) -> Self {
        let alone = Scripted::new(rig, |number, _| async move {
            assert!(number != 13, "as it does in a group");
            Ok(())
        });
        Self { script: Box::new(script), hangs: false, groups: Mutex::default(), alone }
    }

    fn sizes(&self) -> Vec<usize> {
        self.groups.lock().iter().map(Vec::len).collect()
    }
}

impl TakesOutcomes for Groups {
    fn take(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Result<Took, SendError>>> {
        Box::pin(async move {
            let numbers: Vec<u32> = events.iter().map(number).collect();
            let before = {
                let mut groups = self.groups.lock();
                groups.push(numbers.clone());
                groups.len() - 1
            };
            if self.hangs {
                std::future::pending::<()>().await;
            }
            numbers.into_iter().map(|number| (self.script)(number, before)).collect()
        })
    }
}

impl Destination for Groups {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        self.alone.send(delivery)
    }

    fn outcomes(&self) -> Option<&dyn TakesOutcomes> {
        Some(self)
    }
}

fn options() -> Options {
    Options { concurrency: 100, ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_leased_together_is_taken_together_and_each_has_its_own_end() {
    let rig = Rig::new(Order::None, 1);
    let groups = Arc::new(Groups::new(&rig, |number, before| match number {
        3 => Err(SendError::permanent("no")),
        4 if before == 0 => Err(SendError::transient("not now")),
        5 => Ok(Took::Taken { unrecognised: true }),
        6 => Ok(Took::Unmade),
        _ => TAKEN,
    }));
    let mapper = Arc::new(Outcomes::default());
    rig.publish(0..100, 100).await;
    let _handle = rig.mapped(0, mapper.clone(), groups.clone(), options()).start();
    rig.settled(0, Duration::from_secs(600)).await;
    assert_eq!(groups.sizes(), [100, 1], "the second is what is tried again");
    assert_eq!(groups.alone.taken(), [6]);
    assert_eq!(*mapper.unrecognised.lock(), [5]);
    let dead = rig.dead_letters().await;
    assert_eq!(dead.iter().map(|letter| &*letter.failure.message).collect::<Vec<_>>(), ["no"]);
    let left = rig.consumer(0).await;
    assert_eq!((left.unsettled, left.leased, left.retrying, left.delivered), (0, 0, 0, 99));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_the_event_alone_that_it_is_about() {
    let rig = Rig::new(Order::None, 1);
    let groups = Arc::new(Groups::new(&rig, |number, _| {
        assert!(number != 13, "a bug");
        TAKEN
    }));
    rig.publish(0..50, 50).await;
    let _handle = rig.mapped(0, Arc::new(Outcomes::default()), groups.clone(), options()).start();
    rig.settled(0, Duration::from_secs(600)).await;
    let dead = rig.dead_letters().await;
    assert_eq!(dead.iter().map(|letter| letter.failure.class).collect::<Vec<_>>(), [FailureClass::Bug]);
    assert_eq!(groups.alone.taken().len(), 49, "each of the others by itself");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_missing_lose_nothing() {
    let rig = Rig::new(Order::None, 1);
    struct Forgets(Groups);
    impl TakesOutcomes for Forgets {
        fn take(&self, _: Vec<Event>) -> BoxFuture<'_, Vec<Result<Took, SendError>>> {
            Box::pin(async { vec![TAKEN] })
        }
    }
    impl Destination for Forgets {
        fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
            self.0.send(delivery)
        }

        fn outcomes(&self) -> Option<&dyn TakesOutcomes> {
            Some(self)
        }
    }
    let forgets = Arc::new(Forgets(Groups::new(&rig, |_, _| TAKEN)));
    rig.publish(0..10, 10).await;
    let _handle = rig.mapped(0, Arc::new(Outcomes::default()), forgets.clone(), options()).start();
    rig.settled(0, DEADLINE).await;
    assert_eq!((forgets.0.alone.taken().len(), rig.consumer(0).await.delivered), (9, 10));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_gets_no_answer_in_time_is_tried_again_and_one_is_given_back_at_the_end() {
    let rig = Rig::new(Order::None, 1);
    let groups = Arc::new(Groups { hangs: true, ..Groups::new(&rig, |_, _| TAKEN) });
    rig.publish(0..20, 20).await;
    let options = Options { timeout: Duration::from_secs(30), drain: Duration::from_secs(2), ..options() };
    let mut handle = rig.mapped(0, Arc::new(Outcomes::default()), groups.clone(), options).start();
    wait(DEADLINE, || async { handle.health().snapshot().in_flight == 20 }).await;
    wait(Duration::from_secs(600), || async { handle.health().snapshot().failed_transient >= 20 }).await;
    wait(Duration::from_secs(600), || async { handle.health().snapshot().in_flight > 0 }).await;
    handle.stop();
    handle.ended().await.unwrap();
    let left = rig.consumer(0).await;
    assert_eq!((left.unsettled, left.leased), (20, 0), "nothing is kept on lease");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plain_outcome_or_may_become_too_long_goes_by_itself() {
    struct Other;
    impl Mapper for Other {
        fn map(&self, stored: &Stored, _route: u16) -> Result<Option<Bytes>, MapError> {
            Ok(Some(stored.event.body.clone()))
        }
    }
    let rig = Rig::new(Order::None, 2);
    let groups = |rig: &Rig| Arc::new(Groups::new(rig, |_, _| TAKEN));
    let (mapped, long) = (groups(&rig), groups(&rig));
    rig.publish(0..5, 5).await;
    let _first = rig.mapped(0, Arc::new(Other), mapped.clone(), options()).start();
    let short = Options { max_payload: 10, ..options() };
    let _second = rig.mapped(1, Arc::new(Outcomes::default()), long.clone(), short).start();
    rig.settled(0, DEADLINE).await;
    rig.settled(1, DEADLINE).await;
    assert_eq!((mapped.sizes().len(), long.sizes().len()), (0, 0));
    assert_eq!((mapped.alone.taken().len(), long.alone.taken().len()), (5, 5));
}
