//! Alarms in rounds, for those who keep nothing in memory: what is remembered is read, a reading is taken in, what is to be
//! told is kept before it is told, and what was taken is struck off.
//!
//! Several may begin a round at once; the store lets one of them keep its own. Until that one has ended, or its time is over, no
//! other tells anything. A crash before a round was kept leaves the one before; a crash after it leaves notices that were
//! told or not, and the next round tells them (again) under the same keys. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarms::{Change, Notice, NotifierReading, Options, Reading, State};
use crate::notifier::{self, NotifyError, Outbox, Waiting};

/// Version of the format.
const VERSION: u32 = 1;
/// A notice that is refused for longer than this is given up: a wrong key or address is mended by then.
const REFUSED_MAX: Duration = Duration::from_secs(8 * 3_600);
/// The longest time for which a round that was not ended keeps others away. A clock that was wrong keeps them no longer.
const BUSY_MAX: Duration = Duration::from_secs(15 * 60);

/// Everything that is remembered between rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rounds {
    version: u32,
    state: State,
    waiting: Waiting,
    /// Notifiers of which every attempt has failed since then, and what with.
    #[serde(default)]
    failing: BTreeMap<String, (Timestamp, String)>,
    /// Somebody tells, until then at most.
    #[serde(default)]
    busy: Option<Timestamp>,
}

impl Default for Rounds {
    fn default() -> Self {
        let (state, waiting, failing, busy) = (State::default(), Waiting::default(), BTreeMap::new(), None);
        Self { version: VERSION, state, waiting, failing, busy }
    }
}

impl Rounds {
    /// Reads what [`Self::pack`] gave.
    ///
    /// # Errors
    /// If it is not that, or was written by another version.
    pub fn unpack(kept: &[u8]) -> Result<Self, String> {
        let rounds: Self = serde_json::from_slice(kept).map_err(|error| error.to_string())?;
        match rounds.version {
            VERSION => Ok(rounds),
            version => Err(format!("it has format {version}, and this program knows {VERSION}")),
        }
    }

    /// As it is kept.
    pub fn pack(&self) -> Vec<u8> {
        // What could not be packed would be refused when it is read.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether somebody else tells now.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        self.busy.is_some_and(|until| until > now && now.until(until) <= BUSY_MAX)
    }

    /// Takes in a reading, and has what follows from it told to those who want to know; the round is over `until` then.
    /// Returns what is new, for the log; `act` may change it, and names notifiers that are told whatever they want.
    pub fn begin(
        &mut self,
        mut reading: Reading,
        options: &Options,
        notifiers: &[notifier::Options],
        act: impl Fn(&mut Notice) -> Vec<String>,
        (now, until): (Timestamp, Timestamp),
    ) -> Vec<Notice> {
        let known = |name: &String| notifiers.iter().any(|notifier| notifier.name == *name);
        self.waiting.0.retain(|name, _| known(name));
        self.failing.retain(|name, _| known(name));
        reading.notifiers = notifiers.iter().map(|notifier| self.reading(&notifier.name)).collect();
        let mut notices = self.state.step(&reading, options, now);
        for notice in &mut notices {
            let called = act(notice);
            let told = notifiers.iter().filter(|notifier| notifier.wants(notice) || called.contains(&notifier.name));
            for notifier in told {
                self.push(&notifier.name, notice.clone());
            }
        }
        self.busy = Some(until);
        notices
    }

    fn reading(&self, name: &str) -> NotifierReading {
        let (failing_since, last_error) = self.failing.get(name).cloned().unzip();
        let waiting = self.waiting.0.get(name).map_or(0, Vec::len) as u64;
        NotifierReading { name: name.to_owned(), failing_since, last_error, waiting }
    }

    fn push(&mut self, name: &str, notice: Notice) {
        let waiting = self.waiting.0.entry(name.to_owned()).or_default();
        let mut outbox = Outbox::default();
        waiting.drain(..).chain([notice]).for_each(|notice| _ = outbox.push(notice));
        *waiting = outbox.all();
    }

    /// What is to be told to a notifier, in order.
    pub fn waiting(&self, name: &str) -> Vec<Notice> {
        self.waiting.0.get(name).cloned().unwrap_or_default()
    }

    /// A notifier has taken a notice, or not. Whether the others may be told to it now.
    pub fn told(&mut self, name: &str, notice: &Notice, result: Result<(), NotifyError>, now: Timestamp) -> bool {
        let waiting = self.waiting.0.entry(name.to_owned()).or_default();
        let (is_over, goes_on) = match &result {
            Ok(()) => (true, true),
            Err(NotifyError::Permanent(_)) => (notice.at.until(now) >= REFUSED_MAX, true),
            Err(NotifyError::Transient { .. }) => (false, false),
        };
        if is_over {
            waiting.retain(|known| known != notice);
        }
        match result {
            Ok(()) => drop(self.failing.remove(name)),
            Err(error) => {
                let failing = self.failing.entry(name.to_owned()).or_insert_with(|| (now, String::new()));
                failing.1 = error.to_string();
            }
        }
        goes_on
    }

    /// The round is over: others may begin.
    pub fn end(&mut self) {
        self.busy = None;
        self.waiting.0.retain(|_, waiting| !waiting.is_empty());
    }

    /// The alarms that are open.
    pub fn open(&self) -> usize {
        self.state.open().len()
    }
}

/// Whether an alarm opens, which is when something may be done about it.
pub fn opens(notice: &Notice) -> bool {
    notice.change == Change::Opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::Severity;
    use crate::notifier::{Channel, CommandOptions};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn notifier(name: &str) -> notifier::Options {
        let channel = Channel::Command(CommandOptions { program: "true".into(), arguments: Vec::new() });
        notifier::Options { name: name.to_owned(), channel, on: None, severity: Severity::Info, timeout: BUSY_MAX }
    }

    fn stopped() -> Reading {
        Reading { stopped: Some("a write failed".to_owned()), ..Reading::default() }
    }

    fn round(rounds: &mut Rounds, reading: Reading, now: i64) -> Vec<Change> {
        let (pager, chat) = (notifier("pager"), notifier("chat"));
        let span = (at(now), at(now + 30));
        let notices = rounds.begin(reading, &Options::default(), &[pager, chat], |_| Vec::new(), span);
        *rounds = Rounds::unpack(&rounds.pack()).unwrap();
        notices.into_iter().map(|notice| notice.change).collect()
    }

    #[test]
    fn what_was_told_is_told_once_over_any_number_of_cold_starts() {
        let mut rounds = Rounds::default();
        assert_eq!(round(&mut rounds, stopped(), 1_000), [Change::Opened]);
        for name in ["pager", "chat"] {
            let [notice] = &rounds.waiting(name)[..] else { panic!("{rounds:?}") };
            assert!(rounds.told(name, notice, Ok(()), at(1_001)));
        }
        rounds.end();
        assert_eq!(round(&mut rounds, stopped(), 1_060), []);
        assert!(rounds.waiting("pager").is_empty());
        assert_eq!(rounds.open(), 1);
        assert_eq!(round(&mut rounds, Reading::default(), 1_120), []);
        assert_eq!(round(&mut rounds, Reading::default(), 1_240), [Change::Resolved]);
        assert_eq!(rounds.open(), 0);
    }

    #[test]
    fn a_round_that_was_killed_leaves_its_notices_to_the_next() {
        let mut rounds = Rounds::default();
        round(&mut rounds, stopped(), 1_000);
        assert!(rounds.is_busy(at(1_010)) && !rounds.is_busy(at(1_030)), "others wait for as long as it may tell");
        assert!(!rounds.is_busy(at(-100_000)), "a clock that was set back keeps nobody away");
        assert_eq!(round(&mut rounds, stopped(), 1_060), []);
        assert_eq!(rounds.waiting("pager").len(), 1);
    }

    #[test]
    fn a_notifier_that_fails_is_told_later_and_the_other_hears_of_it() {
        let mut rounds = Rounds::default();
        round(&mut rounds, stopped(), 1_000);
        let notice = rounds.waiting("pager")[0].clone();
        let down = || NotifyError::Transient { message: "no answer".to_owned(), retry_after: None };
        assert!(!rounds.told("pager", &notice, Err(down()), at(1_001)), "the rest waits");
        assert!(rounds.told("chat", &notice, Ok(()), at(1_001)));
        rounds.end();
        assert_eq!(round(&mut rounds, stopped(), 1_600), [Change::Opened]);
        assert_eq!(rounds.waiting("chat")[0].alarm.key, "notifier-failing/pager");
        assert_eq!(rounds.waiting("pager").len(), 1, "not told of itself");
        // A refusal is tried for hours, and does not keep the others back.
        let refused = || Err(NotifyError::Permanent("wrong key".to_owned()));
        assert!(rounds.told("pager", &notice, refused(), at(2_000)));
        assert_eq!(rounds.waiting("pager").len(), 1);
        assert!(rounds.told("pager", &notice, refused(), at(1_000 + 8 * 3_600)));
        assert!(rounds.waiting("pager").is_empty());
    }

    #[test]
    fn what_another_version_has_kept_is_not_guessed_at() {
        assert!(Rounds::unpack(b"{").is_err());
        let other = String::from_utf8(Rounds::default().pack()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        assert!(Rounds::unpack(other.as_bytes()).unwrap_err().contains("format 2"));
    }
}
