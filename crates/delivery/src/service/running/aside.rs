//! What a service does other than to attempt: putting deliveries aside, waiting for a queue that fails, and giving up what
//! is left at its end.

use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use queue::QueueError;
use tokio::time::sleep;
use tracing::warn;

use super::outstanding::release;
use super::{Running, Stopping};
use crate::attempt::Attempt;
use crate::pause::Pause;
use crate::service::putting::Putting;
use crate::{Error, NotPutAside};

/// How long to leave a queue alone that failed in passing and did not say for how long.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// How long the queue may take for the last settlements of a service that was stopped.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

impl Running<'_> {
    /// With somebody who takes deliveries while the destination is down.
    pub(in crate::service) fn putting(self, putting: Option<Putting>) -> Self {
        Self { putting, ..self }
    }

    /// Makes an attempt with what was held back for it.
    pub(super) fn probe(&mut self, now: Timestamp) {
        let room = self.room(now);
        let Some(putting) = &mut self.putting else { return };
        if let Some(released) = putting.expired(now) {
            self.ended.push(released);
            self.look = true;
        } else if room > 0
            && let Some(held) = putting.take_held()
        {
            if held.erasures != self.queue.erasures() {
                // It may be what was erased: if it is not, it is leased again.
                self.ended.push(release(held.lease.token));
                self.look = true;
                return;
            }
            self.attempts.push(Attempt::new(&self.tools, held.lease, now, self.last_success));
            self.gate.leased(1, self.in_flight(), now);
            self.show(now);
        }
    }

    /// How many may be leased to be put aside.
    pub(super) fn room_aside(&self, now: Timestamp) -> usize {
        let unsettled = self.ended.len() + self.settling.len();
        match &self.putting {
            Some(putting) if self.gate.is_down() && unsettled == 0 => putting.room(now),
            _ => 0,
        }
    }

    pub(super) fn put_aside(&mut self, result: Result<Arc<str>, NotPutAside>) {
        let now = self.tools.clock.now();
        let worked = result.is_ok();
        let Some(putting) = &mut self.putting else { return };
        let settled = putting.ended(result, now);
        if worked {
            self.health.put_aside(settled.len());
        }
        self.ended.extend(settled);
        // There may be more, and a lease asked for fewer than there are.
        self.look = true;
    }

    /// The time of a stopping service is over. First the attempts are given up, then the settlements.
    pub(super) fn give_up(&mut self) -> Result<(), Error> {
        let unsettled = self.ended.len() + self.settling.len();
        if self.stopping.as_ref().is_some_and(|stopping| stopping.cut) {
            return Err(Error::Unsettled { destination: self.name.to_owned(), count: unsettled });
        }
        let grouped = self.groups.iter().flat_map(|group| group.tokens.iter().copied());
        self.ended.extend(self.attempts.iter().map(|attempt| attempt.token).chain(grouped).map(release));
        self.attempts.clear();
        self.groups.clear();
        self.grouped = 0;
        // Whoever is next probes a little earlier or later.
        self.remember = None;
        if let Some(putting) = &mut self.putting {
            self.ended.extend(putting.give_up());
        }
        self.health.set_in_flight(0);
        self.stopping = Some(Stopping { over: Box::pin(sleep(LAST_SETTLEMENTS)), cut: true });
        Ok(())
    }

    /// Pauses after a passing failure of the queue; any other ends the service.
    pub(super) fn queue_failed(&mut self, error: QueueError) -> Result<(), Error> {
        let pause = match &error {
            QueueError::Full { retry_after, .. } | QueueError::Busy { retry_after } => *retry_after,
            QueueError::Transient { .. } => QUEUE_PAUSE,
            QueueError::Poisoned { .. } | QueueError::Damaged { .. } | QueueError::Invalid(_) | QueueError::Closed => {
                return Err(Error::Queue { destination: self.name.to_owned(), source: error });
            }
        };
        let destination = self.name;
        warn!(destination, %error, "the queue cannot lease or settle now; trying again");
        self.queue_paused = Some(Pause::new(self.tools.clock.now(), pause));
        Ok(())
    }
}
