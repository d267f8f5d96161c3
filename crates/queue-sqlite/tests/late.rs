//! What is written late is worked out after a crash: known identities, the list of events without a route, the counters.
#![cfg(test)]

mod on_disk;

use on_disk::OnDisk;
use proptest::prelude::*;
use queue::conformance::Fixture;
use queue::conformance::fixture::identified;
use queue::{Published, UnmatchedQuery};
use queue_sqlite::check;

#[derive(Debug, Clone)]
enum Step {
    /// New events: for a destination, or for none.
    New {
        events: usize,
        matched: bool,
    },
    /// The last of them once more.
    Again(usize),
    /// The last of them with another content.
    Other(usize),
    /// Everything is delivered.
    Deliver,
    /// Something else is done, so all is written.
    Note,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..40, any::<bool>()).prop_map(|(events, matched)| Step::New { events, matched }),
        1 => (900_usize..1_200, any::<bool>()).prop_map(|(events, matched)| Step::New { events, matched }),
        2 => (1_usize..60).prop_map(Step::Again),
        1 => (1_usize..4).prop_map(Step::Other),
        1 => Just(Step::Deliver),
        1 => Just(Step::Note),
        3 => Just(Step::Crash),
    ]
}

/// What the queue must know.
#[derive(Default)]
struct Model {
    /// Name and topic, in the order of acceptance.
    accepted: Vec<(String, &'static str)>,
    unmatched: Vec<u64>,
    duplicates: u64,
    conflicts: u64,
}

impl Model {
    async fn step(&mut self, f: &mut Fixture<OnDisk>, step: &Step) {
        match step {
            Step::New { events, matched } => {
                let topic = if *matched { "crm" } else { "nobody" };
                let from = self.accepted.len();
                let names: Vec<_> = (from..from + events).map(|n| format!("event {n}")).collect();
                let new = names.iter().map(|name| identified(name, topic, "c", name)).collect();
                for (name, published) in names.into_iter().zip(f.publish(new).await) {
                    let Published::Accepted { seq, .. } = published else { panic!("{name}: {published:?}") };
                    self.note(name, topic, seq.0);
                }
            }
            Step::Again(count) => {
                let last: Vec<_> = self.last(*count).to_vec();
                let again = last.iter().map(|(name, topic)| identified(name, topic, "c", name)).collect();
                let published = f.publish(again).await;
                assert!(published.iter().all(Published::is_duplicate), "{last:?}: {published:?}");
                self.duplicates += last.len() as u64;
            }
            Step::Other(count) => {
                let last: Vec<_> = self.last(*count).to_vec();
                let body = |name: &str| format!("{name}, changed in step {}", self.conflicts);
                let other = last.iter().map(|(name, topic)| identified(name, topic, "c", &body(name))).collect();
                for ((name, topic), published) in last.into_iter().zip(f.publish(other).await) {
                    let Published::Conflict { seq, .. } = published else { panic!("{name}: {published:?}") };
                    self.conflicts += 1;
                    if topic == "nobody" {
                        self.unmatched.push(seq.0);
                    }
                }
            }
            Step::Deliver => drop(f.drain(f.crm).await),
            Step::Note => f.queue.note(Vec::new()).await.expect("notes"),
            Step::Crash => f.crash(),
        }
    }

    fn note(&mut self, name: String, topic: &'static str, seq: u64) {
        self.accepted.push((name, topic));
        if topic == "nobody" {
            self.unmatched.push(seq);
        }
    }

    fn last(&self, count: usize) -> &[(String, &'static str)] {
        &self.accepted[self.accepted.len().saturating_sub(count)..]
    }

    async fn compare(&self, f: &Fixture<OnDisk>) {
        let status = f.queue.status(f.now).await.expect("status");
        assert_eq!(
            (status.unmatched, status.duplicates, status.conflicts),
            (self.unmatched.len() as u64, self.duplicates, self.conflicts)
        );
        assert_eq!(status.identities, self.accepted.len() as u64 + self.conflicts);
    }

    /// Compares the list too, which has all written.
    async fn compare_list(&self, f: &Fixture<OnDisk>) {
        let mut found = Vec::new();
        let mut query = UnmatchedQuery { limit: 500, ..UnmatchedQuery::default() };
        loop {
            let page = f.queue.unmatched(query.clone()).await.expect("lists");
            found.extend(page.events.iter().map(|event| event.seq.0));
            let Some(next) = page.next else { break };
            query.before = Some(next);
        }
        found.reverse();
        assert_eq!(found, self.unmatched);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_forgets_nothing_that_was_to_be_written_late(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        runtime.block_on(async {
            let mut f = Fixture::<OnDisk>::new();
            let mut model = Model::default();
            for step in &steps {
                model.step(&mut f, step).await;
                model.compare(&f).await;
            }
            f.crash();
            model.compare(&f).await;
            model.compare_list(&f).await;
            model.step(&mut f, &Step::Again(2_000)).await;
            f.crash();
            model.compare_list(&f).await;
            f.queue.close().await.expect("closes");
            let report = check(f.harness.dir.path(), |_, _| {}).expect("checks");
            assert_eq!(report.findings, Vec::<String>::new());
            assert_eq!(report.identities, model.accepted.len() as u64 + model.conflicts);
        });
    }
}
