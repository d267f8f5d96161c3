//! Batches: who shares one, who gets which result, and what a panic or a loss of interest does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proptest::prelude::*;
use tokio::sync::Notify;

use super::*;
use crate::ErrorClass;

const LIMITS: Limits = Limits { items: 100, bytes: 1_000, waiting: 1_000 };

/// Notes its batches; even numbers pass. The first batch waits until it is let go.
#[derive(Default)]
struct Work {
    batches: Mutex<Vec<Vec<u32>>>,
    go: Arc<Notify>,
    /// Waits at each batch, not only at the first.
    always: bool,
    /// Panics at this number.
    poison: Option<u32>,
    dropped: Arc<AtomicUsize>,
}

/// Notes that a batch was dropped before its end.
struct Dropped(Arc<AtomicUsize>, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(usize::from(!self.1), Ordering::SeqCst);
    }
}

impl Batched for Arc<Work> {
    type Item = u32;

    fn run<'a>(&'a self, batch: &'a mut Batch<u32>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let numbers: Vec<u32> = (0..batch.len()).map(|place| *batch.item(place)).collect();
            let first = {
                let mut batches = self.batches.lock().unwrap();
                batches.push(numbers.clone());
                batches.len() == 1
            };
            let mut dropped = Dropped(Arc::clone(&self.dropped), false);
            if first || self.always {
                self.go.notified().await;
            }
            dropped.1 = true;
            assert!(!self.poison.is_some_and(|poison| numbers.contains(&poison)), "poison");
            for (place, number) in numbers.into_iter().enumerate() {
                match number % 2 {
                    0 => batch.settle(place, Ok(Receipt::default())),
                    _ => batch.settle(place, Err(SendError::permanent(format!("{number} is odd")))),
                }
            }
        })
    }
}

impl Work {
    fn batches(&self) -> Vec<Vec<u32>> {
        self.batches.lock().unwrap().clone()
    }
}

/// Sends numbers of 10 bytes each, all at once, lets the first batch go, and gives the results.
async fn send_all(
    work: Work,
    limits: Limits,
    numbers: impl Iterator<Item = u32>,
) -> (Vec<Vec<u32>>, Vec<u32>, Vec<u32>) {
    let work = Arc::new(work);
    let batcher = Batcher::new(Arc::clone(&work), limits);
    let batcher = &batcher;
    let mut sends: FuturesUnordered<_> =
        numbers.map(|number| async move { (number, batcher.send(number, 10).await) }).collect();
    assert!(futures::poll!(sends.next()).is_pending());
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    work.go.notify_one();
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    while let Some((number, result)) = sends.next().await {
        match result {
            Ok(_) => passed.push(number),
            Err(error) => {
                assert_eq!((error.class, error.message), (ErrorClass::Permanent, format!("{number} is odd")));
                failed.push(number);
            }
        }
    }
    passed.sort_unstable();
    failed.sort_unstable();
    (work.batches(), passed, failed)
}

#[tokio::test]
async fn what_comes_while_a_batch_is_under_way_is_the_next_one() {
    let work = Arc::new(Work::default());
    let batcher = Batcher::new(Arc::clone(&work), LIMITS);
    let mut first = Box::pin(batcher.send(0, 10));
    assert!(futures::poll!(&mut first).is_pending());
    while work.batches().is_empty() {
        tokio::task::yield_now().await;
    }
    let batcher = &batcher;
    let mut later: FuturesUnordered<_> = (1..31).map(|number| batcher.send(number, 10)).collect();
    assert!(futures::poll!(later.next()).is_pending(), "nothing passes while the first is under way");
    work.go.notify_one();
    assert!(first.await.is_ok());
    assert_eq!(later.by_ref().filter(|result| std::future::ready(result.is_err())).count().await, 15);
    assert_eq!(work.batches(), [vec![0], (1..31).collect()]);
}

#[tokio::test]
async fn a_batch_has_no_more_than_its_limits() {
    let (batches, ..) = send_all(Work::default(), Limits { items: 7, ..LIMITS }, 0..50).await;
    assert!(batches.iter().all(|batch| batch.len() <= 7), "{batches:?}");
    assert!(batches.iter().filter(|batch| batch.len() == 7).count() >= 6, "{batches:?}");
    let (batches, ..) = send_all(Work::default(), Limits { bytes: 40, ..LIMITS }, 0..50).await;
    assert!(batches.iter().all(|batch| batch.len() <= 4), "{batches:?}");
    // One that is larger than a batch may be goes alone.
    let (batches, ..) = send_all(Work::default(), Limits { bytes: 5, ..LIMITS }, 0..5).await;
    assert_eq!(batches, [[0], [1], [2], [3], [4]]);
    let (batches, passed, _) = send_all(Work::default(), Limits { waiting: 3, ..LIMITS }, 0..50).await;
    assert!(batches.iter().all(|batch| batch.len() <= 3) && passed.len() == 25, "{batches:?}");
}

#[tokio::test]
async fn a_panic_is_that_of_its_own_item() {
    let work = Arc::new(Work { poison: Some(4), ..Work::default() });
    let batcher = Arc::new(Batcher::new(Arc::clone(&work), LIMITS));
    let send = |number| {
        let batcher = Arc::clone(&batcher);
        tokio::spawn(async move { batcher.send(number, 10).await })
    };
    let mut sends: Vec<_> = (0..8).map(send).collect();
    while work.batches().is_empty() {
        tokio::task::yield_now().await;
    }
    work.go.notify_one();
    let poison = sends.remove(4).await.unwrap_err();
    assert!(poison.is_panic(), "it goes on where the item was sent");
    for (place, send) in sends.into_iter().enumerate() {
        let number = if place < 4 { place } else { place + 1 };
        assert_eq!(send.await.unwrap().is_ok(), number % 2 == 0, "{number}");
    }
    assert!(send(8).await.unwrap().is_ok(), "it goes on afterwards");
}

#[tokio::test]
async fn a_batch_that_all_have_left_is_dropped_and_one_that_some_wait_for_is_not() {
    let work = Arc::new(Work { always: true, ..Work::default() });
    let batcher = Batcher::new(Arc::clone(&work), LIMITS);
    let (mut one, mut other) = (Box::pin(batcher.send(0, 10)), Box::pin(batcher.send(2, 10)));
    assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
    while work.batches().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut third = Box::pin(batcher.send(4, 10));
    let mut fourth = Box::pin(batcher.send(6, 10));
    assert!(futures::poll!(&mut third).is_pending() && futures::poll!(&mut fourth).is_pending());
    drop(one);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(work.dropped.load(Ordering::SeqCst), 0, "somebody still waits");
    drop((other, third));
    while work.batches().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(work.dropped.load(Ordering::SeqCst), 1);
    work.go.notify_one();
    assert!(fourth.await.is_ok());
    assert_eq!(work.batches(), [vec![0, 2], vec![6]], "who has left before its batch began is not in it");
}

#[tokio::test]
async fn an_item_that_is_not_settled_fails_in_passing() {
    struct Lazy;
    impl Batched for Lazy {
        type Item = ();

        fn run<'a>(&'a self, _: &'a mut Batch<()>) -> BoxFuture<'a, ()> {
            Box::pin(std::future::ready(()))
        }
    }
    let error = Batcher::new(Lazy, LIMITS).send((), 1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
}

proptest! {
    /// Whatever the limits, each item is in one batch and gets its own result, in the order of arrival.
    #[test]
    fn each_item_gets_its_own_result(items in 1usize..20, bytes in 1usize..300, waiting in 1usize..60, count in 1u32..80) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let limits = Limits { items, bytes, waiting };
        let (batches, passed, failed) = runtime.block_on(send_all(Work::default(), limits, 0..count));
        prop_assert_eq!(passed, (0..count).filter(|number| number % 2 == 0).collect::<Vec<_>>());
        prop_assert_eq!(failed, (0..count).filter(|number| number % 2 == 1).collect::<Vec<_>>());
        prop_assert!(batches.iter().all(|batch| batch.len() <= items));
        let order: Vec<u32> = batches.concat();
        prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
    }
}
