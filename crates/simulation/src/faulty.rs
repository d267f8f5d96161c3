//! A destination with faults: slow, busy, silent, gone, or taking what it does not confirm.

use std::sync::Arc;
use std::time::Duration;

use destinations::{BoxFuture, Destination, OutgoingDelivery, Receipt, SendError};
use parking_lot::Mutex;

use crate::dice::Dice;
use crate::oracle::{Delivery, Result};
use crate::plan::{Outage, Poison};
use crate::world::World;

/// See the module. It is outside of the process, and lives on when that dies.
pub(crate) struct Faulty {
    world: Arc<World>,
    number: usize,
    dice: Mutex<Dice>,
}

/// How an attempt goes.
struct Course {
    takes: Duration,
    end: End,
}

enum End {
    Ok,
    /// It has the delivery, and the answer is lost.
    Mute,
    Fails(u16, Option<Duration>),
    Refused,
    Resets,
    Hangs,
    Bug,
}

impl Faulty {
    pub(crate) fn new(world: &Arc<World>, number: usize) -> Arc<Self> {
        let dice = Mutex::new(world.dice(100 + number as u64));
        Arc::new(Self { world: world.clone(), number, dice })
    }

    /// Draws how an attempt goes that begins now.
    fn course(&self, event: Option<usize>) -> Course {
        let plan = &self.world.plan.destinations[self.number];
        let mut dice = self.dice.lock();
        let calm = self.world.is_calm();
        let pace = if calm { plan.pace.min(Duration::from_millis(500)) } else { plan.pace };
        let takes = dice.time(Duration::from_millis(1), pace);
        let now = self.world.clock.elapsed();
        let outage = plan.outages.iter().find(|(from, to, _)| (*from..*to).contains(&now)).map(|(.., kind)| *kind);
        let noise = !calm && dice.chance(plan.noise);
        let end = match (outage.filter(|_| !calm), event.and_then(|event| self.world.poison(self.number, event))) {
            (Some(Outage::Busy), _) => End::Fails(503, None),
            (Some(Outage::Throttled), _) => End::Fails(429, Some(dice.time(Duration::ZERO, Duration::from_secs(60)))),
            (Some(Outage::Silent), _) => End::Hangs,
            (Some(Outage::Refused), _) => End::Resets,
            (Some(Outage::Mute), _) => End::Mute,
            (None, Some(Poison::Refused)) => End::Refused,
            (None, Some(Poison::Failing)) => End::Fails(500, None),
            (None, Some(Poison::Bug)) => End::Bug,
            (None, _) if noise => match dice.roll(4) {
                0 => End::Mute,
                1 => End::Hangs,
                2 => End::Resets,
                _ => End::Fails(503, None),
            },
            (None, _) => End::Ok,
        };
        Course { takes, end }
    }
}

impl Destination for Faulty {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, std::result::Result<Receipt, SendError>> {
        Box::pin(async move {
            let Some((place, body)) = delivery.payload.split_first_chunk::<8>() else {
                return Err(SendError::permanent("a payload without a place"));
            };
            let at = (self.number, u64::from_be_bytes(*place));
            let event = self.world.oracle.number_of(body);
            let reached = self.world.oracle.reaches(self.number);
            let Course { takes, end } = self.course(event);
            let hangs = matches!(end, End::Hangs);
            let mut given_up = GivenUp { destination: self, at, has_it: matches!(end, End::Mute), over: false };
            tokio::time::sleep(takes).await;
            if hangs {
                std::future::pending::<()>().await;
            }
            given_up.over = true;
            drop(reached);
            let failed = |has_it| Result::Failed { has_it };
            let (result, answer) = match end {
                End::Ok => (Result::Taken, Ok(Receipt { status: Some(200) })),
                End::Mute => (failed(true), Err(SendError::transient("the connection was reset"))),
                End::Resets | End::Hangs => (failed(false), Err(SendError::transient("nobody is there"))),
                End::Fails(status, retry_after) => {
                    let error = SendError::transient(format!("answered {status}"));
                    (failed(false), Err(SendError { status: Some(status), retry_after, ..error }))
                }
                End::Refused => {
                    let error = SendError::permanent("answered 400");
                    (Result::Refused, Err(SendError { status: Some(400), ..error }))
                }
                End::Bug => (Result::Refused, Err(SendError::permanent(""))),
            };
            self.world.oracle.ended(at, result);
            self.world.steps.note(|| format!("destination {}: place {} ends: {result:?}", at.0, at.1));
            if matches!(end, End::Bug) {
                // Unlike a panic, this prints nothing.
                std::panic::resume_unwind(Box::new("planted"));
            }
            answer
        })
    }
}

/// An attempt whose caller is gone before its end: it ran out of time, or its process has died.
struct GivenUp<'a> {
    destination: &'a Faulty,
    at: Delivery,
    has_it: bool,
    over: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.over {
            let world = &self.destination.world;
            // What has been sent may arrive.
            let has_it = self.has_it || self.destination.dice.lock().chance(30);
            world.oracle.ended(self.at, Result::Failed { has_it });
            world.steps.note(|| format!("destination {}: place {} is given up", self.at.0, self.at.1));
        }
    }
}
