//! Which keys cannot change while the server runs: what it listens on, where its data is, and what its queue was opened
//! with. A configuration that changes one is refused as a whole, so that what runs is always one file and not a mixture.

use std::collections::BTreeMap;
use std::time::Duration;

use queue::Order;

use super::file::{DestinationKind, File};
use super::parts::same_files;

/// What the server was started with, and what a file cannot tell.
#[derive(Debug, Default)]
pub(crate) struct Started {
    /// How long the queue leases an event; twice the longest attempt at least.
    pub(crate) lease_time: Duration,
    /// How long the queue lets a delivery wait; a retry further ahead would be due at once.
    pub(crate) longest_wait: Duration,
    /// The order of each destination that was ever configured: what waits in the queue is arranged by it.
    pub(crate) orders: BTreeMap<String, Order>,
}

impl Started {
    /// Takes note of the destinations of a configuration that is in force.
    pub(crate) fn note(&mut self, file: &File) {
        self.orders.extend(file.destinations.iter().map(|(name, table)| (name.clone(), table.order())));
    }
}

/// The keys of `new` that differ from `old` and cannot be taken over by a running server.
pub(crate) fn needs_restart(old: &File, new: &File, started: &Started) -> Vec<String> {
    let (intake, limits, queue, quarantine) = (&old.intake, &old.intake.limits, &old.queue, &old.quarantine);
    let (new_intake, new_limits) = (&new.intake, &new.intake.limits);
    let fixed = [
        ("data_dir", old.data_dir() != new.data_dir()),
        ("intake.listen", intake.listen != new_intake.listen),
        ("intake.drain", intake.drain != new_intake.drain),
        ("intake.tls", intake.tls != new_intake.tls),
        ("intake.limits.body", limits.body != new_limits.body),
        ("intake.limits.headers", limits.headers != new_limits.headers),
        ("intake.limits.header_timeout", limits.header_timeout != new_limits.header_timeout),
        ("intake.limits.body_timeout", limits.body_timeout != new_limits.body_timeout),
        ("intake.limits.body_stall", limits.body_stall != new_limits.body_stall),
        ("intake.limits.idle_timeout", limits.idle_timeout != new_limits.idle_timeout),
        ("intake.limits.connections", limits.connections != new_limits.connections),
        ("intake.limits.requests", limits.requests != new_limits.requests),
        ("intake.limits.body_memory", limits.body_memory != new_limits.body_memory),
        ("intake.limits.spool", limits.spool != new_limits.spool),
        ("console.listen", old.console_listen() != new.console_listen()),
        ("queue (where it is)", !queue.is_same_place(&new.queue)),
        ("queue.dedupe_window", queue.dedupe_window != new.queue.dedupe_window),
        ("queue.retention", queue.retention != new.queue.retention),
        ("audit.retention", old.audit != new.audit),
        ("archive", old.archive != new.archive),
        ("quarantine.enabled", quarantine.enabled != new.quarantine.enabled),
        ("quarantine.requests", quarantine.requests != new.quarantine.requests),
        ("quarantine.bytes", quarantine.bytes != new.quarantine.bytes),
        ("traces", old.traces != new.traces),
        ("quarantine.retention", quarantine.retention != new.quarantine.retention),
    ];
    let mut keys: Vec<String> =
        fixed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect();
    for (name, table) in &new.destinations {
        if started.orders.get(name).is_some_and(|order| *order != table.order()) {
            keys.push(format!("destinations.{name}.order"));
        }
        // Its journal is locked by what writes it now.
        let known = old.destinations.get(name).filter(|known| known.kind == DestinationKind::Parquet);
        if known.is_some_and(|known| !same_files(known, table)) {
            keys.push(format!("destinations.{name} (where and how its files are written)"));
        }
        // A lease must outlive every attempt.
        if table.attempt().is_some_and(|timeout| timeout * 2 > started.lease_time) {
            keys.push(format!("destinations.{name}.timeout"));
        }
        if table.longest_wait().is_some_and(|wait| wait > started.longest_wait) {
            keys.push(format!("destinations.{name} (how long its deliveries wait)"));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn keys(old: &str, new: &str) -> Vec<String> {
        let (old, new) = (parse("old", old).unwrap(), parse("new", new).unwrap());
        let mut started = Started {
            lease_time: Duration::from_secs(60),
            longest_wait: Duration::from_secs(3_600),
            ..Started::default()
        };
        started.note(&old);
        needs_restart(&old, &new, &started)
    }

    #[test]
    fn every_fixed_key_is_named_and_a_default_that_is_spelt_out_is_no_change() {
        let new = "data_dir = \"elsewhere\"\n[intake]\nlisten = \"127.0.0.1:1\"\n[intake.limits]\nbody = 1\n\
                   [console]\nlisten = \"127.0.0.1:2\"\n[queue]\nretention = \"20d\"\n[quarantine]\nrequests = 1\n";
        let named = [
            "data_dir",
            "intake.listen",
            "intake.limits.body",
            "console.listen",
            "queue.retention",
            "quarantine.requests",
        ];
        assert_eq!(keys("", new), named);
        assert_eq!(keys("", "data_dir = \"aftercall-data\"\n[console]\nlisten = \"127.0.0.1:8081\"\n"), [""; 0]);
    }

    #[test]
    fn what_the_queue_has_arranged_cannot_change() {
        let crm = |rest: &str| format!("[destinations.crm]\nkind = \"file\"\npath = \"a\"\n{rest}\n");
        assert_eq!(keys(&crm(""), &crm("order = \"none\"")), ["destinations.crm.order"]);
        assert_eq!(keys("", &crm("order = \"none\"")), [""; 0], "a new one may have any");
        assert_eq!(keys(&crm(""), &crm("timeout = \"30s\"")), [""; 0]);
        assert_eq!(keys(&crm(""), &crm("timeout = \"31s\"")), ["destinations.crm.timeout"]);
        let waits = "destinations.crm (how long its deliveries wait)";
        assert_eq!(keys(&crm(""), &crm("backoff = { cap = \"61m\" }")), [waits]);
        let calls = keys("", "[destinations.calls]\nkind = \"transcripts\"\n");
        assert_eq!(calls, ["destinations.calls.timeout", "destinations.calls (how long its deliveries wait)"]);
    }

    #[test]
    fn how_files_are_written_cannot_change_and_how_they_are_delivered_can() {
        let lake = |rest: &str| format!("[destinations.lake]\nkind = \"parquet\"\nurl = \"lake\"\n{rest}\n");
        let named = ["destinations.lake (where and how its files are written)"];
        assert_eq!(keys(&lake(""), &lake("file_age = \"1m\"")), named);
        assert_eq!(keys(&lake(""), &lake("concurrency = 7\nattempts = 3")), [""; 0]);
    }
}
