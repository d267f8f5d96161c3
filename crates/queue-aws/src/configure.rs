//! Setting the destinations. Names and ids are in the table, so all servers mean the same by an id.
//!
//! A new destination gets its id and its place behind the log in one transaction. A crash before it leaves nothing.

use std::sync::Arc;

use queue::{ConsumerId, QueueError, Topology};
use serde::{Deserialize, Serialize};

use crate::head::contended;
use crate::inner::{Destination, Inner, Setting, Wired};
use crate::keys;
use crate::state::Projection;
use crate::table::{Committed, Expected, Write};

/// The names of all destinations there ever were, as they are stored; the place is the id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    names: Vec<Arc<str>>,
}

impl Wired {
    fn know(&mut self, names: &[Arc<str>]) {
        for (id, name) in (0u16..).zip(names).skip(self.destinations.len()) {
            self.destinations.push(Arc::new(Destination::new(ConsumerId(id), name)));
        }
    }
}

impl Inner {
    pub(crate) async fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        let names = self.names(&topology).await?;
        let ids = self.wire(topology, &names);
        self.give_back(false).await;
        Ok(ids)
    }

    fn wire(&self, topology: Topology, names: &Names) -> Vec<ConsumerId> {
        let mut wired = self.wired.write();
        wired.know(&names.names);
        let mut ids = Vec::with_capacity(topology.consumers.len());
        for destination in &wired.destinations {
            let wanted = (0u16..).zip(&topology.consumers).find(|(_, wanted)| wanted.name == destination.name);
            *destination.setting.lock() = wanted.map_or_else(Setting::default, |(place, wanted)| Setting {
                place: Some(place),
                order: wanted.order,
                behind_dead: wanted.behind_dead,
            });
        }
        for wanted in &topology.consumers {
            ids.extend(wired.named(&wanted.name).map(|destination| destination.id));
        }
        wired.router = Some(topology.router);
        wired.tell_all();
        ids
    }

    /// Takes note of all destinations that there are, also of those that only other servers have.
    pub(crate) async fn know_destinations(&self) -> Result<(), QueueError> {
        if let Some(item) = self.table.get(&keys::destinations()).await? {
            let Names { names } = item.read()?;
            self.wired.write().know(&names);
        }
        Ok(())
    }

    /// All names, with those of the topology.
    async fn names(&self, topology: &Topology) -> Result<Names, QueueError> {
        let mut tries = 0;
        loop {
            let item = self.table.get(&keys::destinations()).await?;
            let expected = item.as_ref().map_or(Expected::Nothing, |item| Expected::Stamp(item.stamp));
            let mut names: Names = item.map(|item| item.read()).transpose()?.unwrap_or_default();
            let (head, _) = self.head().await?;
            let mut writes = Vec::new();
            for wanted in &topology.consumers {
                if names.names.contains(&wanted.name) {
                    continue;
                }
                let id = u16::try_from(names.names.len())
                    .map_err(|_| QueueError::Invalid("there have been more than 65,536 destinations".to_owned()))?;
                names.names.push(Arc::clone(&wanted.name));
                let taken = head.routed(ConsumerId(id));
                let projection = Projection { at: head.last, taken };
                writes.push(Write::put(keys::projection(ConsumerId(id)), Expected::Nothing, &projection)?);
            }
            if writes.is_empty() {
                return Ok(names);
            }
            writes.push(Write::put(keys::destinations(), expected, &names)?);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(names);
            }
            contended(tries).await?;
            tries += 1;
        }
    }
}
