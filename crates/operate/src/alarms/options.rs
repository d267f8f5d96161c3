//! When there is an alarm; and every limit of the decision, in one place.

use std::time::Duration;

/// Alarms that are tracked at once: far more than a person can look at. What is over it is not opened.
pub(super) const TRACKED_MAX: usize = 500;
/// Groups of dead letters of one destination with an alarm of their own; the others share one. After a change of a CRM
/// a handful of messages is usual, and more say no more.
pub(super) const GROUPS_PER_DESTINATION: usize = 5;
/// Groups whose fingerprints are remembered as known.
pub(super) const KNOWN_MAX: usize = 1_000;
/// An update is told when the level has grown by this factor since the last notice.
pub(super) const GROWTH: u64 = 2;
/// Groups that the ledger keeps apart; what comes after them is counted as one of its destination and stage.
pub(super) const LEDGER_GROUPS_MAX: usize = 1_000;
/// Pairs of source and topic whose hours are learnt, 840 bytes each. Others share one a source.
pub(super) const PAIRS_MAX: usize = 200;
/// Weeks in which an hour must have been seen whole before anything is concluded from it.
pub(super) const WEEKS_MIN: u8 = 2;
/// Events that should have come during a silence before it is an alarm: were they independent of each other, the chance
/// of such a silence would be e^-20. It is high because calls come in bursts.
pub(super) const MISSED_MIN: f32 = 20.0;
/// How much of an hour's expectation its last week is: a change of habits is learnt within a month.
pub(super) const LEARNING: f32 = 0.4;
/// A request that found no room within this time means that the disk is full, whatever it says of itself.
pub(super) const FULL_WITHIN: Duration = Duration::from_secs(60);
/// A commit latency that rises above the threshold for a moment is no alarm; it must stay there.
pub(super) const COMMIT_LASTS: Duration = Duration::from_secs(30);

/// Thresholds. A threshold of `None` means that there is no such alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// More dead letters of one group than this.
    pub dead_letters: Option<u64>,
    /// Any dead letter of a group that was never seen before, also below `dead_letters`.
    pub new_group: bool,
    /// An event waits for a destination for longer than this.
    pub undelivered: Option<Duration>,
    /// A breaker has been open for longer than this.
    pub breaker_open: Option<Duration>,
    /// So many requests of a source were refused for their signature within `refused_within`.
    pub refused_signatures: Option<u64>,
    /// See `refused_signatures`.
    pub refused_within: Duration,
    /// A source that sends nothing at an hour at which it usually does, for at least this long.
    pub source_silent: Option<Duration>,
    /// Less than so many bytes are free where the data is.
    pub disk_free: Option<u64>,
    /// A commit takes longer than this.
    pub commit_latency: Option<Duration>,
    /// A notifier has failed for longer than this.
    pub notifier_failing: Option<Duration>,
    /// The quarantine is out of order.
    pub quarantine_closed: bool,
    /// The changed configuration is refused.
    pub configuration_refused: bool,
    /// The archive has failed for longer than this.
    pub archive_failing: Option<Duration>,
    /// An alarm is resolved when its condition was gone for this long.
    pub hold: Duration,
    /// An alarm is not opened again within this time of its end.
    pub cool_down: Duration,
    /// An open alarm tells at most so often that it is worse.
    pub update_every: Duration,
    /// What to add to a command so that it finds this server, such as ` --console 127.0.0.1:9081`.
    pub ask: String,
}

impl Default for Options {
    /// One dead letter is a lost customer story; a CRM may lag by a quarter of an hour before people notice; a breaker
    /// that is open for two minutes is no hiccup; 20 refusals in 5 minutes are no stray request; 1 GiB is some hundred
    /// thousand events; a commit of a second is a disk in trouble.
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            dead_letters: Some(0),
            new_group: true,
            undelivered: Some(minutes(15)),
            breaker_open: Some(minutes(2)),
            refused_signatures: Some(20),
            refused_within: minutes(5),
            source_silent: Some(minutes(30)),
            disk_free: Some(1 << 30),
            commit_latency: Some(Duration::from_secs(1)),
            notifier_failing: Some(minutes(5)),
            quarantine_closed: true,
            configuration_refused: true,
            archive_failing: Some(minutes(15)),
            hold: minutes(1),
            cool_down: minutes(5),
            update_every: minutes(15),
            ask: String::new(),
        }
    }
}
