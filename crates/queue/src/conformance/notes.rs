//! Cases about notes of destinations.

use bytes::Bytes;

use super::Harness;
use super::fixture::{Fixture, event};
use crate::{ConsumerId, NOTE_BYTES_MAX, QueueError};

async fn notes<H: Harness>(f: &Fixture<H>) -> [Option<Bytes>; 2] {
    [f.queue.remembered(f.crm).await.unwrap(), f.queue.remembered(f.lake).await.unwrap()]
}

/// Each destination has one, the newest; and what is delivered has nothing to do with it.
pub async fn keeps_a_note_of_each_destination<H: Harness>() {
    let f = Fixture::<H>::new();
    assert_eq!(notes(&f).await, [None, None]);
    f.queue.remember(f.crm, None).await.unwrap();
    let (one, other, empty) = (Bytes::from_static(b"down"), Bytes::from(vec![0; NOTE_BYTES_MAX]), Bytes::new());
    f.queue.remember(f.crm, Some(one.clone())).await.unwrap();
    assert_eq!(notes(&f).await, [Some(one.clone()), None]);
    f.queue.remember(f.crm, Some(other.clone())).await.unwrap();
    f.queue.remember(f.lake, Some(empty.clone())).await.unwrap();
    assert_eq!(notes(&f).await, [Some(other), Some(empty.clone())]);
    f.publish(vec![event("both", "a", "1")]).await;
    assert_eq!(f.drain(f.crm).await, ["1"]);
    assert_eq!(f.drain(f.lake).await, ["1"]);
    f.queue.remember(f.crm, None).await.unwrap();
    assert_eq!(notes(&f).await, [None, Some(empty)]);
}

/// A note that is refused changes nothing.
pub async fn refuses_a_note_that_is_large_or_of_nobody<H: Harness>() {
    let f = Fixture::<H>::new();
    let note = Bytes::from_static(b"down");
    f.queue.remember(f.crm, Some(note.clone())).await.unwrap();
    let large = f.queue.remember(f.crm, Some(Bytes::from(vec![0; NOTE_BYTES_MAX + 1]))).await;
    assert!(matches!(large, Err(QueueError::Invalid(_))), "{large:?}");
    let nobody = ConsumerId(999);
    let of_nobody = f.queue.remember(nobody, Some(note.clone())).await;
    assert!(matches!(of_nobody, Err(QueueError::Invalid(_))), "{of_nobody:?}");
    let none = f.queue.remembered(nobody).await;
    assert!(matches!(none, Err(QueueError::Invalid(_))), "{none:?}");
    assert_eq!(notes(&f).await, [Some(note), None]);
}

/// Notes stay.
pub async fn keeps_notes<H: Harness>() {
    let mut f = Fixture::<H>::new();
    let (one, other) = (Bytes::from_static(b"down"), Bytes::from_static(b"down for long"));
    f.queue.remember(f.crm, Some(one)).await.unwrap();
    f.queue.remember(f.lake, Some(other.clone())).await.unwrap();
    f.crash();
    f.queue.remember(f.crm, Some(other.clone())).await.unwrap();
    f.queue.remember(f.lake, None).await.unwrap();
    f.crash();
    assert_eq!(notes(&f).await, [Some(other), None]);
}
