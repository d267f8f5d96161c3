//! What to do when a token is asked for, when an answer has come, and when time has passed; pure.
//!
//! A moment is the time since some fixed one. At most one request is under way: [`State::ask`] and [`State::is_due`]
//! say when one is to be made, and until [`State::granted`] or [`State::failed`] tells how it ended they say so to
//! nobody else.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::Grant;
use crate::limits::{AHEAD_MAX, MARGIN_MAX, PAUSE_BASE, PAUSE_MAX, RATE_PAUSE, RETRY_AFTER_MAX, SETTLE_MAX, YOUNG};
use crate::token::TokenText;
use crate::{Class, TokenError};

/// The time since a fixed moment.
pub(crate) type Moment = Duration;

/// Tokens refused soon after their issue that are replaced at once; further ones after a pause.
const STRIKES_FREE: u32 = 1;

/// What a source of tokens knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    held: Option<Held>,
    /// A request is under way.
    asking: bool,
    pause: Option<Pause>,
    /// Requests that failed since the last one that did not.
    failures: u32,
    /// Tokens in a row that were refused soon after their issue.
    strikes: u32,
    /// The last token that was refused; what another process keeps may be the same one.
    rejected: Option<Arc<TokenText>>,
    last_id: u64,
}

/// The token in use.
#[derive(Debug)]
struct Held {
    id: u64,
    text: Arc<TokenText>,
    issued: Moment,
    renew_at: Moment,
    use_until: Moment,
    expires: Moment,
    /// Somebody asked for it.
    used: bool,
    /// A resource has taken it.
    proven: bool,
    /// Until then it is not dropped if it is proven.
    settled: Moment,
}

/// No request before this moment, and what whoever needs one is told until then.
#[derive(Debug)]
struct Pause {
    until: Moment,
    error: TokenError,
}

/// A token as it is handed out.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) id: u64,
    pub(crate) text: Arc<TokenText>,
    pub(crate) expires_in: Duration,
}

/// What whoever asks for a token is to do.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Use this one.
    Use(Handed),
    /// Use this one, and make a request for the next without waiting for it.
    UseAndRequest(Handed),
    /// Make a request, and wait for its end.
    Request,
    /// Wait for the end of the request that is under way.
    Wait,
    /// There is none for now.
    Fail(TokenError),
}

impl State {
    /// Somebody needs a token.
    pub(crate) fn ask(&mut self, now: Moment) -> Ask {
        let may_request = !self.asking && self.paused(now).is_none();
        if let Some(held) = self.held.as_mut().filter(|held| now < held.use_until) {
            held.used = true;
            let handed = held.handed(now);
            if now < held.renew_at || !may_request {
                return Ask::Use(handed);
            }
            self.asking = true;
            return Ask::UseAndRequest(handed);
        }
        if self.asking {
            return Ask::Wait;
        }
        if let Some(pause) = self.paused(now) {
            return Ask::Fail(TokenError { retry_after: Some(pause.until - now), ..pause.error.clone() });
        }
        self.asking = true;
        Ask::Request
    }

    /// Whether a request is to be made ahead of the token's end. Only for a token that somebody asked for: nobody needs
    /// the next one of a destination that gets nothing.
    pub(crate) fn is_due(&mut self, now: Moment) -> bool {
        let due = self.held.as_ref().is_some_and(|held| held.used && (held.renew_at..held.use_until).contains(&now));
        let begins = due && !self.asking && self.paused(now).is_none();
        self.asking |= begins;
        begins
    }

    /// When [`State::is_due`] is worth asking.
    pub(crate) fn due_at(&self) -> Option<Moment> {
        let held = self.held.as_ref()?;
        let pause = self.pause.as_ref().map_or(Moment::ZERO, |pause| pause.until);
        Some(held.renew_at.max(pause)).filter(|at| *at < held.use_until)
    }

    /// The request has brought a token.
    pub(crate) fn granted(&mut self, now: Moment, grant: Grant) -> Handed {
        let issued = now.saturating_sub(grant.age);
        // What was younger than the moments that are counted from keeps its end all the same.
        let expires = (now + grant.lifetime).saturating_sub(grant.age);
        self.last_id += 1;
        let held = Held {
            id: self.last_id,
            text: Arc::new(grant.text),
            issued,
            renew_at: expires.saturating_sub(ahead(grant.lifetime)),
            use_until: expires.saturating_sub(margin(grant.lifetime)),
            expires,
            used: false,
            proven: false,
            settled: issued + settling(grant.lifetime),
        };
        let handed = held.handed(now);
        self.held = Some(held);
        (self.asking, self.pause, self.failures, self.rejected) = (false, None, 0, None);
        handed
    }

    /// The request has failed. `jitter`, from 0 to 1, spreads those who failed together.
    pub(crate) fn failed(&mut self, now: Moment, error: TokenError, jitter: f64) -> TokenError {
        self.asking = false;
        let asked = match (error.retry_after, error.class) {
            (Some(asked), _) => asked.min(RETRY_AFTER_MAX),
            (None, Class::RateLimited) => RATE_PAUSE,
            (None, _) => Duration::ZERO,
        };
        let pause = growing(self.failures).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0).max(asked);
        self.failures = self.failures.saturating_add(1);
        let error = TokenError { retry_after: Some(pause), ..error };
        self.pause = Some(Pause { until: now + pause, error: error.clone() });
        error
    }

    /// A resource has taken the token with this id.
    pub(crate) fn accept(&mut self, id: u64) {
        if let Some(held) = self.held.as_mut().filter(|held| held.id == id) {
            held.proven = true;
            self.strikes = 0;
        }
    }

    /// A resource refused the token with this id. Whether it is dropped: if it is the one in use, and was not taken just
    /// before for something else.
    pub(crate) fn reject(&mut self, now: Moment, id: u64) -> bool {
        let drops = |held: &mut Held| held.id == id && !(held.proven && now < held.settled);
        let Some(held) = self.held.take_if(drops) else { return false };
        let young = !held.proven && now.saturating_sub(held.issued) < YOUNG;
        self.strikes = if young { self.strikes.saturating_add(1) } else { 0 };
        self.rejected = Some(held.text);
        if self.strikes > STRIKES_FREE && self.paused(now).is_none() {
            let until = now + growing(self.strikes - STRIKES_FREE - 1);
            let error = TokenError::transient(format!(
                "the last {} access tokens were refused soon after they were issued; check that they are meant for this \
                 place (scope, audience) and that the client has the rights that it needs",
                self.strikes
            ));
            self.pause = Some(Pause { until, error });
        }
        true
    }

    /// What made the endpoint refuse the credentials has changed: no pause for that.
    pub(crate) fn mended(&mut self) {
        if self.pause.as_ref().is_some_and(|pause| pause.error.class == Class::Refused) {
            (self.pause, self.failures) = (None, 0);
        }
    }

    /// The token that must not be used again.
    pub(crate) fn rejected(&self) -> Option<Arc<TokenText>> {
        self.rejected.clone()
    }

    fn paused(&self, now: Moment) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| now < pause.until)
    }
}

impl Held {
    fn handed(&self, now: Moment) -> Handed {
        Handed { id: self.id, text: Arc::clone(&self.text), expires_in: self.expires.saturating_sub(now) }
    }
}

/// How long before its end a token is not used any more.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 10).min(MARGIN_MAX)
}

/// How long before its end a token is renewed.
pub(crate) fn ahead(lifetime: Duration) -> Duration {
    (lifetime / 4).min(AHEAD_MAX)
}

/// For how long a token that was taken is not dropped.
fn settling(lifetime: Duration) -> Duration {
    (lifetime / 10).min(SETTLE_MAX)
}

/// The pause after so many failures before.
fn growing(before: u32) -> Duration {
    PAUSE_BASE.saturating_mul(1 << before.min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
