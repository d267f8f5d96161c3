//! Damage in the log: places whose events are missing or changed become dead letters, so that nobody overlooks them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use queue::{Attempts, ConsumerId, Failure, FailureClass, Stage};

use super::settle::bury;
use super::{Done, Writer};
use crate::consumer::Consumer;
use crate::failure::Failed;
use crate::log::Damage;
use crate::shared::Shared;

/// Damaged places that were read for one destination. Kept whole until their dead letters are durable.
pub(super) struct Burying {
    consumer: Arc<Consumer>,
    damages: Vec<Damage>,
    now: Timestamp,
}

impl Burying {
    /// Leaves out what has been settled otherwise, or has gone with retention, since it was read.
    pub(super) fn new(shared: &Shared, id: ConsumerId, mut damages: Vec<Damage>, now: Timestamp) -> Option<Self> {
        let consumer = shared.consumer(id).ok()?;
        damages.retain(|damage| !consumer.state.lock().is_dropped(damage.seq));
        (!damages.is_empty()).then_some(Self { consumer, damages, now })
    }

    /// The dead letters are durable.
    pub(super) fn finish(self, shared: &Shared) {
        let mut state = self.consumer.state.lock();
        self.damages.iter().for_each(|damage| state.forget_place(damage.seq));
        drop(state);
        self.consumer.changed.notify_one();
        let count = self.damages.len() as u64;
        self.consumer.count_dead(count);
        shared.counts.damaged.fetch_add(count, Ordering::Relaxed);
    }
}

impl Writer {
    /// Makes the dead letters, and settles their places in the same transaction. `burying` is in `done` afterwards
    /// whatever happens, so that it is tried again.
    pub(super) fn bury_damaged(&mut self, burying: Burying, done: &mut Done) -> Result<(), Failed> {
        let Burying { consumer, damages, now } = &burying;
        let buried = damages.iter().try_for_each(|damage| {
            bury(
                &self.connection,
                &mut self.trail,
                consumer,
                damage.seq,
                &Attempts::default(),
                &damage.failure(),
                *now,
            )?;
            let mut state = consumer.state.lock();
            state.cursor.settle(damage.seq);
            state.delivered_dirty = true;
            Ok(())
        });
        done.buried.push(burying);
        buried
    }
}

impl Damage {
    /// As the failure of a delivery.
    pub(crate) fn failure(&self) -> Failure {
        let message = format!("event {} is damaged on disk: {}", self.seq, self.what);
        Failure::new(Stage::Queue, FailureClass::Permanent, message)
    }
}
