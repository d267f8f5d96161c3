//! Every limit of this crate.

use std::time::Duration;

/// How long a request to the token endpoint may take, connecting included. Token endpoints answer within a second; a
/// delivery that waits for one has 5 s by default.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer is read, in bytes. Tokens that carry claims have a few KiB.
pub(crate) const ANSWER_MAX: usize = 64 * 1024;

/// Longest access token, in bytes: with more, servers refuse a request for the size of its headers.
pub(crate) const TOKEN_MAX: usize = 16 * 1024;

/// Longest description that an error takes over from an answer, in characters.
pub(crate) const DESCRIPTION_MAX: usize = 200;

/// What a token's lifetime is taken to be if the answer does not say: the shortest that Genesys Cloud allows. A token
/// that lives longer is only fetched too often.
pub(crate) const LIFETIME_UNKNOWN: Duration = Duration::from_secs(300);

/// A longer lifetime is taken to be this one: a slip such as milliseconds must not keep a token for years.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long before its end a token is no longer used, at most; of a short-lived one a tenth. A request takes time to
/// arrive, and clocks differ in speed.
pub(crate) const MARGIN_MAX: Duration = Duration::from_secs(30);

/// How long before its end a token is renewed, at most; of a short-lived one a quarter. In between lies the time in
/// which the endpoint may be down and nobody notices.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(300);

/// Pause after the first failed request; it doubles with each further one.
pub(crate) const PAUSE_BASE: Duration = Duration::from_secs(1);

/// Longest pause after failed requests: deliveries go on within a minute of the endpoint's recovery.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Pause after a rate limit that names no time. Genesys Cloud counts token requests by the minute.
pub(crate) const RATE_PAUSE: Duration = Duration::from_secs(15);

/// The longest time that the endpoint's `Retry-After` is honoured for. Beyond it a wrong header could stop all
/// deliveries for days.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A token that is refused sooner after it was issued counts as refused at once. After two in a row the next is fetched
/// with a pause: a resource that refuses every token must not make a request to the token endpoint of each delivery.
pub(crate) const YOUNG: Duration = Duration::from_secs(60);

/// A token that a resource has taken is not dropped for being refused before it is this old, or a tenth of its life:
/// then the refusal is about what was sent with it. So an event that is answered 401 whatever the token costs one
/// request to the endpoint in that time, and takes the token from nobody else.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How long to wait for another process that holds the cache file's lock: as long as its request may take, and more.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(12);

/// How often the lock is tried meanwhile.
pub(crate) const LOCK_EVERY: Duration = Duration::from_millis(25);

/// Largest cache file, in bytes; more is none of ours.
pub(crate) const CACHE_FILE_MAX: u64 = 64 * 1024;
