//! The quarantine beside the running server: opened, tended and closed. Whatever it fails at, the server goes on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use intake::{Handle, KeyUse, Quarantine};
use quarantine_sqlite::{Options, SqliteQuarantine};

use super::now;

/// How often is looked for keys whose use is to be saved.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The use of a key is saved at most so often, and old requests are looked for.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Opens it, and tells intake of it and of the use of keys that it remembers. The data directory must be locked.
pub(crate) async fn open(options: Options, intake: &Handle) -> anyhow::Result<()> {
    let opened = tokio::task::spawn_blocking(move || SqliteQuarantine::open(options)).await?;
    // Without it the use is counted from now on, and that it is not known before is told.
    if let Ok(uses) = opened.key_uses().await {
        intake.remember_key_uses(uses);
    }
    intake.keep_refused_in(Arc::new(opened));
    Ok(())
}

/// Saves the use of keys and drops old requests from time to time; when `stop` is ready, once more, and closes it.
pub(super) async fn tend(intake: Handle, stop: impl Future<Output = ()>) {
    let Some(quarantine) = intake.quarantine().map(Arc::clone) else { return };
    let mut saved = Saved::default();
    let work = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            saved.step(&*quarantine, intake.key_uses(), now()).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
    let _ = quarantine.maintain(intake.key_uses(), now()).await;
    quarantine.close().await;
}

/// What was saved of each key, by source and fingerprint, and when.
#[derive(Default)]
struct Saved {
    keys: HashMap<(Arc<str>, String), (u64, Timestamp)>,
    maintained: Option<Timestamp>,
}

impl Saved {
    async fn step(&mut self, quarantine: &dyn Quarantine, uses: Vec<KeyUse>, now: Timestamp) {
        let due = self.due(uses, now);
        let rested = self.maintained.is_none_or(|at| at.plus(SAVE_EVERY) <= now);
        if due.is_empty() && !rested {
            return;
        }
        // What fails is logged by the quarantine, and saved with the next change.
        if quarantine.maintain(due.clone(), now).await.is_ok() {
            self.note(due, now);
        }
        self.maintained = Some(now);
    }

    /// Those that have changed and were not saved a moment ago.
    fn due(&self, uses: Vec<KeyUse>, now: Timestamp) -> Vec<KeyUse> {
        let is_due = |used: &KeyUse| match self.keys.get(&(Arc::clone(&used.source), used.fingerprint.clone())) {
            Some((uses, at)) => *uses != used.uses && at.plus(SAVE_EVERY) <= now,
            None => true,
        };
        uses.into_iter().filter(is_due).collect()
    }

    fn note(&mut self, saved: Vec<KeyUse>, now: Timestamp) {
        self.keys.extend(saved.into_iter().map(|used| ((used.source, used.fingerprint), (used.uses, now))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_a_key_is_saved_at_once_and_then_at_most_once_a_minute() {
        let at = |seconds: u64| Timestamp::default().plus(Duration::from_secs(seconds));
        let used = |fingerprint: &str, uses| KeyUse {
            source: Arc::from("genesys"),
            fingerprint: fingerprint.to_owned(),
            last_used: at(0),
            uses,
        };
        let mut saved = Saved::default();
        let due = saved.due(vec![used("a", 1), used("b", 1)], at(0));
        assert_eq!(due.len(), 2);
        saved.note(due, at(0));
        assert_eq!(saved.due(vec![used("a", 9), used("b", 1), used("c", 1)], at(59)), [used("c", 1)]);
        assert_eq!(saved.due(vec![used("a", 9), used("b", 1)], at(60)), [used("a", 9)]);
    }
}
