//! Taking over the destinations of a configuration.

use std::sync::Arc;

use queue::{Consumer as Configured, ConsumerId, Topology};
use rusqlite::types::ValueRef;

use super::Writer;
use crate::consumer::{Consumer, Cursor, Placed};
use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::{DESTINATIONS, text};
use crate::shared::Routing;

const ADDING: &str = "adding a destination";

impl Writer {
    /// Gives each destination its consumer: the one it had, or a new one that starts at the end of the log.
    ///
    /// The router and the places that it names change here together, on the one thread that appends events; on failure
    /// neither does.
    pub(super) fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, Failed> {
        let Topology { consumers: wanted, router } = topology;
        let consumers = wanted.iter().map(|wanted| self.known_or_new(wanted)).collect::<Result<Vec<_>, _>>()?;
        let names = wanted.iter().map(|wanted| Arc::clone(&wanted.name)).collect();
        let routing = Arc::new(Routing { router, names });
        *self.shared.routing.write() = Some(Arc::clone(&routing));
        self.shared.consumers.read().iter().for_each(|consumer| consumer.state.lock().placed = None);
        for (number, (consumer, wanted)) in (0u16..).zip(consumers.iter().zip(&wanted)) {
            let mut state = consumer.state.lock();
            state.placed = Some(Placed { number, routing: Arc::clone(&routing) });
            state.order = wanted.order;
            state.window.set_behind_dead(wanted.behind_dead);
            // The router's numbers may mean something else now.
            state.window.cool_all();
            drop(state);
            consumer.changed.notify_one();
        }
        Ok(consumers.iter().map(|consumer| consumer.id).collect())
    }

    fn known_or_new(&self, wanted: &Configured) -> Result<Arc<Consumer>, Failed> {
        let known = self.shared.consumers.read().iter().find(|consumer| consumer.name == wanted.name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let watermark = self.counters.last_seq;
        let id = self.new_destination(&wanted.name, watermark)?;
        let consumer = Consumer::new(ConsumerId(id), Arc::clone(&wanted.name), Cursor::at(watermark), 0);
        let consumer = Arc::new(consumer);
        self.shared.consumers.write().push(Arc::clone(&consumer));
        Ok(consumer)
    }

    /// Adds the row of a destination, whose id is the next one.
    fn new_destination(&self, name: &str, watermark: u64) -> Result<u16, Failed> {
        let sql = "SELECT coalesce(max(id), 0) + 1 FROM destinations";
        let id: i64 = self.connection.query_row(sql, [], |row| row.get(0)).place(ADDING)?;
        let number = u16::try_from(id)
            .map_err(|_| Failed::Damaged("more than 65,535 destinations have been configured over time".to_owned()))?;
        let sql = "INSERT INTO destinations (id, name, watermark, delivered, crc) VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = [ValueRef::Integer(id), text(name), ValueRef::Integer(place(watermark)), ValueRef::Integer(0)];
        DESTINATIONS.execute(&self.connection, sql, &row, ADDING)?;
        Ok(number)
    }
}
