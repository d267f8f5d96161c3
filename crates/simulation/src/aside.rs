//! Where deliveries are put aside while their destination is down: it takes its time, and fails now and then.

use std::sync::Arc;
use std::time::Duration;

use delivery::{Group, NotPutAside, PutAside};
use parking_lot::Mutex;
use queue::BoxFuture;

use crate::dice::Dice;
use crate::planted::Planted;
use crate::world::World;

/// Longest time that putting a group aside takes.
const TAKES_MAX: Duration = Duration::from_secs(3);
/// Percent of groups that cannot be put aside.
const FAILS: u64 = 20;

/// See the module. It is outside of the process, and lives on when that dies.
pub(crate) struct Aside {
    world: Arc<World>,
    number: usize,
    dice: Mutex<Dice>,
}

impl Aside {
    pub(crate) fn new(world: &Arc<World>, number: usize) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), number, dice: Mutex::new(world.dice(400 + number as u64)) })
    }
}

impl PutAside for Aside {
    fn put_aside(&self, group: Group) -> BoxFuture<'static, std::result::Result<Arc<str>, NotPutAside>> {
        let (world, number) = (self.world.clone(), self.number);
        let (takes, fails) = {
            let mut dice = self.dice.lock();
            (dice.time(Duration::from_millis(1), TAKES_MAX), dice.chance(FAILS))
        };
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            if fails && !world.is_calm() {
                return Err(NotPutAside::Failed("nobody is there".to_owned()));
            }
            if world.planted == Some(Planted::LostAside) && world.strikes() {
                return Ok(Arc::from("part"));
            }
            world.steps.note(|| format!("destination {number}: {} events are put aside", group.events.len()));
            group.events.iter().for_each(|stored| world.oracle.put_aside(number, stored));
            Ok(Arc::from("part"))
        })
    }
}
