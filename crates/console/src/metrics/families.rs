//! Every family of metrics, and where its numbers come from.

use std::fmt;

use delivery::{BreakerState, LATENCY_BOUNDS_MS};
use event::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use queue::ConsumerStatus;

use crate::{DestinationStatus, Status};

/// The labels of one sample.
type Labels<'a> = Vec<(&'static str, &'a str)>;
/// The samples of a family.
type Samples<'a, N> = Vec<(Labels<'a>, N)>;

/// Writes families one by one.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    /// Something that only grows. The format puts `_total` behind the name.
    fn counter(&mut self, name: &str, help: &str, samples: Samples<'_, u64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in &samples {
            family.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(value, None)?;
        }
        Ok(())
    }

    /// Something that goes up and down.
    fn gauge(&mut self, name: &str, help: &str, samples: Samples<'_, f64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in &samples {
            family.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    /// How long something took.
    fn histogram(&mut self, name: &str, help: &str, samples: Samples<'_, Histogram>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, value) in &samples {
            let mut family = family.encode_family(labels)?;
            family.encode_histogram::<NoLabelSet>(value.sum, value.count, &value.buckets, None)?;
        }
        Ok(())
    }
}

struct Histogram {
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

/// Writes all of them.
pub(super) fn write(status: &Status, encoder: DescriptorEncoder<'_>) -> fmt::Result {
    let mut to = Writer(encoder);
    server(status, &mut to)?;
    queue(status, &mut to)?;
    sources(status, &mut to)?;
    waiting(status, &mut to)?;
    attempts(status, &mut to)?;
    gates(status, &mut to)?;
    quarantine(status, &mut to)?;
    archive(status, &mut to)?;
    traces(status, &mut to)?;
    alarms(status, &mut to)
}

fn server(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let mut info = to.0.encode_descriptor("aftercall", "The program", None, MetricType::Info)?;
    info.encode_info(&[("version", status.version)])?;
    to.gauge("aftercall_ready", "1 while new events are accepted", one(flag(status.ready)))?;
    to.gauge("aftercall_start_time_seconds", "Unix time of the start", one(seconds(status.started_at)))?;
    let help = "1 while the configuration file is refused, and the one before is in force";
    to.gauge("aftercall_config_refused", help, one(flag(status.config.error.is_some())))
}

fn queue(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let queue = &status.queue;
    to.counter("aftercall_events_accepted", "Events accepted since the store was made", one(queue.accepted))?;
    to.counter("aftercall_events_duplicate", "Duplicates since the store was made", one(queue.duplicates))?;
    to.counter("aftercall_events_conflict", "Conflicts kept since the store was made", one(queue.conflicts))?;
    to.counter("aftercall_events_unmatched", "Events that matched no route", one(queue.unmatched))?;
    to.counter("aftercall_events_replayed", "Events replayed, each destination for itself", one(queue.replayed))?;
    to.counter("aftercall_dead_letters_redriven", "Dead letters redriven", one(queue.redriven))?;
    to.gauge("aftercall_queue_retained_events", "Events in the log", one(number(queue.retained)))?;
    to.gauge("aftercall_queue_identities", "Identities that dedupe knows", one(number(queue.identities)))?;
    to.gauge("aftercall_queue_disk_bytes", "Bytes on disk", one(number(queue.disk_bytes)))?;
    let help = "1 when the queue has stopped after a failed write";
    to.gauge("aftercall_queue_poisoned", help, one(flag(queue.poisoned.is_some())))?;
    let of_destinations = queue.consumers.iter().map(|consumer| consumer.dead_letters);
    let others = queue.dead_letters.saturating_sub(of_destinations.sum());
    let mut samples = each(status, |consumer| number(consumer.dead_letters));
    samples.push((vec![("destination", "")], number(others)));
    to.gauge("aftercall_dead_letters", "Dead letters now; without a destination, those from before routing", samples)
}

fn sources(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let counted = |member: &str| -> Samples<'_, u64> {
        let sources = status.sources.iter();
        sources.map(|source| (vec![("source", source.name.as_str())], count(&source.counters[member]))).collect()
    };
    to.counter("aftercall_source_requests", "Requests since start, whatever became of them", counted("requests"))?;
    to.counter("aftercall_source_body_bytes", "Bytes of authentic bodies since start", counted("bytes"))?;
    to.counter("aftercall_source_events_accepted", "Events accepted since start", counted("accepted"))?;
    to.counter("aftercall_source_events_duplicate", "Events known already, since start", counted("duplicates"))?;
    to.counter(
        "aftercall_source_bodies_unreadable",
        "Authentic bodies that became dead letters",
        counted("unreadable"),
    )?;
    let mut refused = Samples::new();
    for source in &status.sources {
        for pair in source.counters["refused"].as_array().into_iter().flatten() {
            if let Some(code) = pair[0].as_str() {
                refused.push((vec![("source", source.name.as_str()), ("code", code)], count(&pair[1])));
            }
        }
    }
    to.counter("aftercall_source_requests_refused", "Requests refused since start, by the problem's code", refused)
}

/// What waits for each destination, as the queue knows it.
fn waiting(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let help = "Events that are not settled; those not yet routed count too";
    to.gauge("aftercall_destination_waiting", help, each(status, |consumer| number(consumer.unsettled)))?;
    to.gauge(
        "aftercall_destination_retrying",
        "Events that wait for their retry",
        each(status, |consumer| number(consumer.retrying)),
    )?;
    let help = "Conversations that wait for a dead letter of theirs";
    let held = each(status, |consumer| number(consumer.held_conversations));
    to.gauge("aftercall_destination_held_conversations", help, held)?;
    let age = |since: Option<Timestamp>| since.map_or(0.0, |since| seconds(status.now - since.as_millis()).max(0.0));
    let help = "Age of the oldest event that is not settled";
    to.gauge("aftercall_destination_oldest_age_seconds", help, each(status, |consumer| age(consumer.oldest_unsettled)))
}

fn attempts(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let by = |value: fn(&DestinationStatus) -> u64| -> Samples<'_, u64> {
        status.destinations.iter().map(|destination| (named(destination), value(destination))).collect()
    };
    to.counter("aftercall_destination_delivered", "Deliveries taken since start", by(|one| one.health.delivered))?;
    let mut failed = Samples::new();
    for destination in &status.destinations {
        let health = &destination.health;
        let classes = [
            ("transient", health.failed_transient),
            ("permanent", health.failed_permanent),
            ("bug", health.failed_bug),
        ];
        for (class, value) in classes {
            failed.push((vec![("destination", destination.name.as_str()), ("class", class)], value));
        }
    }
    to.counter("aftercall_destination_attempts_failed", "Attempts that failed since start", failed)?;
    to.counter("aftercall_destination_dead", "Deliveries that became dead letters", by(|one| one.health.dead))?;
    to.counter(
        "aftercall_destination_put_aside",
        "Deliveries put aside in the archive",
        by(|one| one.health.put_aside),
    )?;
    to.counter(
        "aftercall_destination_not_yet",
        "Attempts that found that what they are about is not there yet",
        by(|one| one.health.not_yet),
    )?;
    let took = status.destinations.iter().map(|destination| (named(destination), histogram(destination))).collect();
    to.histogram("aftercall_delivery_duration_seconds", "How long deliveries took that were taken", took)
}

fn gates(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let by = |value: fn(&DestinationStatus) -> f64| -> Samples<'_, f64> {
        status.destinations.iter().map(|destination| (named(destination), value(destination))).collect()
    };
    to.gauge("aftercall_destination_in_flight", "Attempts under way", by(|one| number(one.health.in_flight)))?;
    let help = "How many attempts may be under way now, by all limits but the rate";
    let limit = by(|one| one.health.gate.map_or(0.0, |gate| number(gate.limit as u64)));
    to.gauge("aftercall_destination_concurrency_limit", help, limit)?;
    to.gauge("aftercall_destination_paused", "1 while it is paused by hand", by(|one| flag(one.paused.is_some())))?;
    let mut breakers = Samples::new();
    for destination in &status.destinations {
        let Some(gate) = destination.health.gate else { continue };
        for state in BreakerState::ALL {
            let labels = vec![("destination", destination.name.as_str()), ("state", state.as_str())];
            breakers.push((labels, flag(gate.breaker.state == state)));
        }
    }
    to.gauge("aftercall_destination_breaker", "1 for the state that the breaker is in", breakers)
}

fn quarantine(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let Some(quarantine) = &status.quarantine else { return Ok(()) };
    let by = |value: fn(&intake::QuarantineCounts) -> f64| -> Samples<'_, f64> {
        quarantine.sources.iter().map(|source| (vec![("source", source.source.as_str())], value(source))).collect()
    };
    to.gauge("aftercall_quarantine_requests", "Refused requests that are kept now", by(|one| number(one.requests)))?;
    to.gauge("aftercall_quarantine_bytes", "Their bytes", by(|one| number(one.bytes)))
}

fn archive(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let Some(archive) = &status.archive else { return Ok(()) };
    to.counter("aftercall_archive_events", "Events written to the archive since start", one(archive.events))?;
    to.counter("aftercall_archive_parts", "Parts written to the archive since start", one(archive.parts))?;
    to.gauge("aftercall_archive_failing", "1 while the archive cannot be written", one(flag(archive.error.is_some())))?;
    let age = archive.oldest_waiting.map_or(0.0, |since| seconds(status.now - since.as_millis()).max(0.0));
    to.gauge("aftercall_archive_oldest_age_seconds", "Age of the oldest event that is not exported", one(age))
}

fn traces(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let Some(spans) = &status.traces else { return Ok(()) };
    to.counter(
        "aftercall_trace_spans_exported",
        "Spans that the collector has taken, since start",
        one(spans.exported),
    )?;
    let dropped = vec![
        (vec![("reason", "queue-full")], spans.dropped_full),
        (vec![("reason", "not-taken")], spans.dropped_refused),
    ];
    to.counter("aftercall_trace_spans_dropped", "Spans that were dropped, since start", dropped)
}

fn alarms(status: &Status, to: &mut Writer<'_>) -> fmt::Result {
    let open = status.alarms.open.iter().map(|alarm| {
        let labels = vec![
            ("kind", alarm.kind.as_str()),
            ("severity", alarm.severity.as_str()),
            ("subject", alarm.subject.as_str()),
        ];
        (labels, 1.0)
    });
    to.gauge("aftercall_alarm_open", "1 for each alarm that is open", open.collect())?;
    let notifiers = &status.alarms.notifiers;
    let by = |value: fn(&operate::notifier::NotifierStatus) -> u64| -> Samples<'_, u64> {
        notifiers.iter().map(|notifier| (vec![("notifier", notifier.name.as_str())], value(notifier))).collect()
    };
    to.counter("aftercall_notices_sent", "Notices that a notifier took since start", by(|one| one.sent))?;
    to.counter("aftercall_notices_failed", "Attempts at notices that failed since start", by(|one| one.failed))?;
    to.counter("aftercall_notices_lost", "Notices that were given up since start", by(|one| one.lost))
}

/// A sample for each destination that the configuration has.
fn each(status: &Status, value: impl Fn(&ConsumerStatus) -> f64) -> Samples<'_, f64> {
    let configured = status.queue.consumers.iter().filter(|consumer| consumer.configured);
    configured.map(|consumer| (vec![("destination", consumer.name.as_str())], value(consumer))).collect()
}

fn histogram(destination: &DestinationStatus) -> Histogram {
    let health = &destination.health;
    let bounds = LATENCY_BOUNDS_MS.iter().map(|millis| f64::from(*millis) / 1_000.0).chain([f64::INFINITY]);
    Histogram {
        sum: number(health.latency_us) / 1_000_000.0,
        count: health.latency.iter().sum(),
        buckets: bounds.zip(health.latency).collect(),
    }
}

fn named(destination: &DestinationStatus) -> Labels<'_> {
    vec![("destination", destination.name.as_str())]
}

fn one<N>(value: N) -> Samples<'static, N> {
    vec![(Vec::new(), value)]
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Exact up to 2^53, which is all that the format's readers know.
fn number(value: u64) -> f64 {
    value as f64
}

/// Milliseconds as seconds.
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

fn count(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
