//! What came of the demo: every event accounted for.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::crm::{Crm, Report};

use super::Sent;
use crate::status;

/// The accounts.
pub(super) struct Verdict {
    sent: u64,
    different: u64,
    accepted: u64,
    duplicates: u64,
    delivered: u64,
    lost: u64,
    crm: Report,
    ack: simulator::LatencySummary,
    caught_up_after: Option<Duration>,
    stopped_well: bool,
    retried: u64,
    refused: u64,
}

impl Verdict {
    pub(super) fn new(sent: &Sent, crm: &Crm, stopped_well: bool) -> Self {
        let report = &sent.report;
        Self {
            sent: report.sent,
            different: (report.acked.len() + report.unacked.len()) as u64,
            accepted: report.acked.len() as u64,
            duplicates: report.duplicates,
            delivered: crm.report().events,
            lost: crm.missing(report.acked.iter().copied()).len() as u64,
            crm: crm.report(),
            ack: report.ack.summary(),
            caught_up_after: sent.caught_up_after,
            stopped_well,
            retried: report.retried.total(),
            refused: report.refused.values().sum(),
        }
    }

    /// Nothing lost, doubled or out of order, and nothing left unsaid.
    pub(super) fn is_good(&self) -> bool {
        let bad = self.lost + self.crm.doubled + self.crm.overwritten + self.crm.out_of_order + self.refused;
        bad == 0 && self.accepted == self.different && self.stopped_well
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "sent": self.sent, "different": self.different, "accepted": self.accepted,
            "duplicates_refused": self.duplicates, "delivered": self.delivered, "lost": self.lost,
            "doubled": self.crm.doubled, "out_of_order": self.crm.out_of_order,
            "repeated_deliveries": self.crm.repeats, "max_concurrency": self.crm.max_concurrency,
            "requests_sent_again": self.retried,
            "ack_ms": { "p50": millis(self.ack.p50), "p99": millis(self.ack.p99), "max": millis(self.ack.max) },
            "caught_up_after_ms": self.caught_up_after.map(millis), "good": self.is_good(),
        })
    }

    pub(super) fn table(&self, check: &str) -> String {
        let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
        let caught_up = self.caught_up_after.map_or_else(|| "-".to_owned(), seconds);
        let rows = [
            ("sent", self.sent.to_string(), format!("{} different events, the rest duplicates", self.different)),
            (
                "accepted",
                self.accepted.to_string(),
                format!("{} requests were sent again while the server was away", self.retried),
            ),
            ("duplicates refused", self.duplicates.to_string(), String::new()),
            (
                "delivered",
                self.delivered.to_string(),
                format!(
                    "at most {} at once; {} repeated after the kill or an outage, harmless",
                    self.crm.max_concurrency, self.crm.repeats
                ),
            ),
            ("lost", self.lost.to_string(), String::new()),
            ("doubled", self.crm.doubled.to_string(), String::new()),
            ("out of order", self.crm.out_of_order.to_string(), "within a conversation".to_owned()),
            (
                "ack latency",
                format!("{:.1} ms", millis(self.ack.p50)),
                format!("p50; p99 {:.1} ms, max {:.1} ms", millis(self.ack.p99), millis(self.ack.max)),
            ),
            ("caught up", caught_up, "after the CRM was back".to_owned()),
        ];
        let mut table = status::table(&["", "", ""], 1..2);
        for (name, value, remark) in rows {
            table.add_row([name.to_owned(), value, remark]);
        }
        let verdict = if self.is_good() {
            "Nothing lost, nothing doubled, in order per conversation."
        } else {
            "NOT GOOD: see above."
        };
        format!(
            "The CRM was down for 10 s; the server was killed (kill -9) and started again.\n{table}\nstored: {check}\n{verdict}\n"
        )
    }
}

fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}
