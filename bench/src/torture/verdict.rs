//! What a run of torture proves, point by point.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use simulator::{LatencySummary, client, crm};

use crate::server::Status;

/// Everything that was seen.
pub(super) struct Evidence {
    pub(super) moments: BTreeMap<&'static str, u32>,
    pub(super) kills: u32,
    pub(super) took: Duration,
    /// From the start of the process to being ready.
    pub(super) starts: LatencySummary,
    pub(super) sent: client::Report,
    pub(super) crm: crm::Report,
    /// Events that were acknowledged and did not reach the CRM.
    pub(super) missing: u64,
    pub(super) status: Status,
    /// What `aftercall check` complains about.
    pub(super) damage: Option<String>,
}

/// What was wrong with one point, if anything.
struct Point {
    what: &'static str,
    wrong: Option<String>,
}

/// The points, and a summary of the evidence.
pub(super) struct Verdict {
    evidence: Evidence,
    points: Vec<Point>,
}

impl Verdict {
    pub(super) fn of(evidence: Evidence) -> Self {
        let points = points(&evidence);
        Self { evidence, points }
    }

    pub(super) fn is_good(&self) -> bool {
        self.failed() == 0
    }

    /// Kills that the server stood, and points that hold.
    pub(super) fn passed(&self) -> usize {
        self.evidence.kills as usize + self.points.len() - self.failed()
    }

    pub(super) fn failed(&self) -> usize {
        self.points.iter().filter(|point| point.wrong.is_some()).count()
    }
}

fn points(evidence: &Evidence) -> Vec<Point> {
    let Evidence { sent, crm, status, .. } = evidence;
    let none = |what, count: u64| Point { what, wrong: (count > 0).then(|| count.to_string()) };
    let stored = status.number("accepted");
    vec![
        none("acknowledged and not in the CRM", evidence.missing),
        none("twice in the CRM's table", crm.doubled),
        none("overwritten by another event", crm.overwritten),
        none("out of order within a conversation", crm.out_of_order),
        none("repeated with another payload", crm.changed),
        none("delivered without its content", crm.untagged),
        none("sent and never acknowledged", sent.unacked.len() as u64),
        none("answers that do not add up", sent.miscounted),
        none("dead letters", status.number("dead_letters")),
        none("conflicts", status.number("conflicts")),
        Point {
            what: "requests refused",
            wrong: (!sent.refused.is_empty()).then(|| {
                format!("{:?}, the first with {}", sent.refused, sent.first_refusal.as_deref().unwrap_or("no body"))
            }),
        },
        Point {
            what: "stored and delivered differ",
            wrong: (stored != crm.events).then(|| format!("{stored} stored, {} delivered", crm.events)),
        },
        Point { what: "damage in the data", wrong: evidence.damage.clone() },
    ]
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { moments, took, starts, sent, crm, status, .. } = &self.evidence;
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        let moments = moments.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ");
        let retried = &sent.retried;
        let mut table = Table::new();
        table.load_style(NOTHING);
        for (name, value) in [
            ("kills", format!("{} in {} s: {moments}", self.evidence.kills, took.as_secs())),
            ("ready after", format!("p50 {}, p99 {}, max {}", ms(starts.p50), ms(starts.p99), ms(starts.max))),
            ("events sent", format!("{}, of which {} again by the contact centre", sent.sent, sent.resent)),
            ("requests repeated", format!("{} for want of an answer", retried.total())),
            ("acknowledged", format!("{} different events", sent.acked.len())),
            ("stored", format!("{}, {} duplicates refused", status.number("accepted"), status.number("duplicates"))),
            (
                "in the CRM",
                format!("{} events; {} requests repeated, {} refused", crm.events, crm.repeats, crm.refused),
            ),
        ] {
            table.add_row([name, &value]);
        }
        for point in &self.points {
            match &point.wrong {
                None => table.add_row([point.what, "none"]),
                Some(wrong) => table.add_row([point.what, &format!("VIOLATED: {wrong}")]),
            };
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use simulator::Latency;

    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            moments: BTreeMap::from([("serving", 20)]),
            kills: 20,
            took: Duration::from_secs(30),
            starts: Latency::new().summary(),
            sent: client::Report::default(),
            crm: crm::Report { events: 5, ..crm::Report::default() },
            missing: 0,
            status: Status::parse(br#"{"queue": {"accepted": 5}}"#).unwrap(),
            damage: None,
        }
    }

    #[test]
    fn a_clean_run_is_good() {
        let verdict = Verdict::of(evidence());
        assert!(verdict.is_good() && verdict.failed() == 0 && verdict.passed() > 20);
        assert!(!verdict.to_string().contains("VIOLATED"));
    }

    #[test]
    fn each_violation_is_told() {
        let crm = |crm: crm::Report| Evidence { crm: crm::Report { events: 5, ..crm }, ..evidence() };
        let status = |text: &str| Evidence { status: Status::parse(text.as_bytes()).unwrap(), ..evidence() };
        let violations = [
            Evidence { missing: 1, ..evidence() },
            Evidence { damage: Some("event 7 is damaged".to_owned()), ..evidence() },
            Evidence { sent: client::Report { miscounted: 1, ..client::Report::default() }, ..evidence() },
            Evidence { sent: client::Report { refused: [(401, 1)].into(), ..client::Report::default() }, ..evidence() },
            crm(crm::Report { doubled: 1, ..crm::Report::default() }),
            crm(crm::Report { overwritten: 1, ..crm::Report::default() }),
            crm(crm::Report { out_of_order: 1, ..crm::Report::default() }),
            crm(crm::Report { changed: 1, ..crm::Report::default() }),
            crm(crm::Report { untagged: 1, ..crm::Report::default() }),
            status(r#"{"queue": {"accepted": 6}}"#),
            status(r#"{"queue": {"accepted": 5, "dead_letters": 1}}"#),
            status(r#"{"queue": {"accepted": 5, "conflicts": 1}}"#),
        ];
        for (number, violation) in violations.into_iter().enumerate() {
            let verdict = Verdict::of(violation);
            assert_eq!(verdict.failed(), 1, "violation {number}");
            assert_eq!(verdict.to_string().matches("VIOLATED").count(), 1, "violation {number}");
        }
    }
}
