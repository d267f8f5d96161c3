//! Secrets of AWS Secrets Manager: asked for once, kept in memory, and asked for again when they are old or were refused.
//!
//! What it guarantees: whoever needs a secret at once gets the one that is kept; after [`AGE`] it is refreshed in the
//! background; one that was refused is asked for anew, with [`AGAIN_EVERY`] in between at least; when Secrets Manager cannot be
//! asked, the last secret stays in force, and that is said once. All of it happens on one thread of its own, so it works
//! before there is an async runtime and on every one. A crash leaves nothing: nothing is written anywhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::{Access, Service, Signed};
use crate::{Secret, SecretError};

/// How long a secret is used before it is asked for again.
pub const AGE: Duration = Duration::from_secs(300);
/// Time between two requests for a secret that was refused, so that a flood of wrong signatures or of refusals does not become
/// one of requests.
const AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How often the thread looks whether a secret has grown old.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Time of a request with its tries; whoever waits for it holds a thread meanwhile.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that a refused secret is waited for: a pause, and two requests.
const WAIT: Duration = Duration::from_secs(8);
/// Secrets that wait to be asked for; more are not refreshed early.
const WAITING_MAX: usize = 256;

/// The stage that is in use, and the one before it.
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret that is kept, or one text in it.
#[derive(Clone)]
pub struct Managed {
    kept: Arc<Kept>,
    /// The member of a JSON object, if it is not the whole text.
    member: Option<String>,
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Managed({self})")
    }
}

impl fmt::Display for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secretsmanager:{}", self.kept.name)?;
        self.member.as_ref().map_or(Ok(()), |member| write!(f, "#{member}"))
    }
}

/// One secret of Secrets Manager.
struct Kept {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The text in use, and the one before it; none before it was asked for.
    current: Option<Arc<str>>,
    previous: Option<Arc<str>>,
    /// When it was asked for last, with or without success.
    asked: Option<SystemTime>,
    /// Why that failed.
    failing: Option<String>,
}

impl Managed {
    /// The secret of this name, `NAME` or `NAME#MEMBER`; the name may be an ARN. Asks for it, unless it is kept already.
    /// Blocks meanwhile.
    ///
    /// # Errors
    /// If it is not there, must not be read, or is no text.
    pub fn find(name: &str) -> Result<Self, SecretError> {
        let (name, member) = match name.split_once('#') {
            Some((name, member)) => (name, Some(member.to_owned())),
            None => (name, None),
        };
        if name.is_empty() || member.as_deref() == Some("") {
            return Err(SecretError(
                "a secret is named by secretsmanager:NAME or secretsmanager:NAME#MEMBER".to_owned(),
            ));
        }
        let managed = Self { kept: keeper()?.kept(name), member };
        if managed.kept.state().current.is_none() {
            keeper()?.ask(&managed.kept);
        }
        managed.current().map(|_| managed)
    }

    /// Its text in use, as it is kept; asks for it in the background if that is old.
    ///
    /// # Errors
    /// If there is none.
    pub fn current(&self) -> Result<Arc<str>, SecretError> {
        if self.kept.is_old(crate::now(), AGE)
            && let Ok(keeper) = keeper()
        {
            keeper.ask_later(&self.kept);
        }
        let state = self.kept.state();
        match &state.current {
            Some(text) => self.part(text),
            None => Err(self.cannot(state.failing.as_deref().unwrap_or("it was not asked for yet"))),
        }
    }

    /// Its texts that are good for verifying: the one in use, and the one before it.
    ///
    /// # Errors
    /// If there is none.
    pub fn valid(&self) -> Result<Vec<Arc<str>>, SecretError> {
        let mut texts = vec![self.current()?];
        // One from before it was a JSON object, or had this member, has nothing to verify with.
        texts.extend(self.kept.state().previous.as_ref().and_then(|text| self.part(text).ok()));
        texts.dedup();
        Ok(texts)
    }

    /// Asks for it now. Blocks meanwhile.
    pub fn ask_again(&self) {
        if let Ok(keeper) = keeper() {
            keeper.ask(&self.kept);
        }
    }

    /// Why it could not be had when it was asked for last, if so.
    pub fn failing(&self) -> Option<String> {
        self.kept.state().failing.clone()
    }

    /// The same as a secret that is sent: the text in use.
    pub fn secret(self) -> Secret {
        let again = self.clone();
        Secret::from_fns(
            move || self.current(),
            move || {
                again.ask_again();
                again.current()
            },
        )
    }

    fn part(&self, text: &Arc<str>) -> Result<Arc<str>, SecretError> {
        let part = match &self.member {
            None => Some(Arc::clone(text)),
            Some(member) => serde_json::from_str::<serde_json::Value>(text)
                .ok()
                .and_then(|json| json.get(member).and_then(|part| part.as_str()).map(Arc::from)),
        };
        part.filter(|part: &Arc<str>| !part.trim().is_empty()).ok_or_else(|| match &self.member {
            Some(member) => self.cannot(&format!("it is no JSON object with a text under `{member}`")),
            None => self.cannot("it is empty"),
        })
    }

    fn cannot(&self, problem: &str) -> SecretError {
        SecretError(format!("{self}: {problem}"))
    }
}

/// Asks for every secret again that is old, and waits for that: for a process that did not run for a while. Blocks.
pub fn refresh_old() {
    let Some(Ok(keeper)) = KEEPER.get() else { return };
    for kept in keeper.all().iter().filter(|kept| kept.is_old(crate::now(), AGE)) {
        keeper.ask(kept);
    }
}

impl Kept {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_old(&self, now: SystemTime, age: Duration) -> bool {
        // A clock that was set back makes it old too.
        self.state().asked.is_none_or(|asked| now.duration_since(asked).is_ok_and(|since| since >= age) || now < asked)
    }

    /// How long to wait before it is asked for as somebody wants who has come at this time; none if that was done since.
    fn pause(&self, wanted: SystemTime, now: SystemTime) -> Option<Duration> {
        let Some(asked) = self.state().asked else { return Some(Duration::ZERO) };
        let since = now.duration_since(asked).unwrap_or(AGAIN_EVERY);
        (asked < wanted || now < asked).then(|| AGAIN_EVERY.saturating_sub(since))
    }

    fn take(&self, asked: Result<(Arc<str>, Option<Arc<str>>), String>) {
        let mut state = self.state();
        state.asked = Some(crate::now());
        match asked {
            Ok((current, previous)) => {
                if state.current.as_ref().is_some_and(|before| *before != current) {
                    tracing::info!(secret = %self.name, "a secret of Secrets Manager has changed and is in use");
                }
                if state.failing.take().is_some() {
                    tracing::info!(secret = %self.name, "a secret of Secrets Manager can be had again");
                }
                (state.current, state.previous) = (Some(current), previous);
            }
            Err(problem) => {
                let first = state.failing.replace(problem.clone()).is_none();
                if first && state.current.is_some() {
                    let secret = &self.name;
                    tracing::warn!(%secret, %problem, "a secret cannot be asked for; the last one stays in force");
                }
            }
        }
    }
}

/// Asks for secrets, on a thread of its own.
struct Keeper {
    secrets: Mutex<HashMap<String, Weak<Kept>>>,
    asks: SyncSender<Ask>,
}

struct Ask {
    kept: Arc<Kept>,
    /// When it was wanted.
    wanted: SystemTime,
    /// Told when it is done.
    tell: Option<SyncSender<()>>,
}

static KEEPER: OnceLock<Result<Arc<Keeper>, String>> = OnceLock::new();

/// The one of this process, which is started with the first secret.
fn keeper() -> Result<&'static Arc<Keeper>, SecretError> {
    let started = KEEPER.get_or_init(Keeper::start).as_ref();
    started.map_err(|problem| SecretError(format!("asking Secrets Manager: {problem}")))
}

impl Keeper {
    fn start() -> Result<Arc<Self>, String> {
        let (asks, asked) = mpsc::sync_channel(WAITING_MAX);
        let keeper = Arc::new(Self { secrets: Mutex::default(), asks });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let own = Arc::clone(&keeper);
        let work = move || {
            let mut asking = None;
            loop {
                match asked.recv_timeout(LOOK_EVERY) {
                    Ok(Ask { kept, wanted, tell }) => {
                        // Several may have asked at the same time; one answer is new enough for all.
                        if let Some(pause) = kept.pause(wanted, crate::now()) {
                            kept.take(runtime.block_on(async {
                                tokio::time::sleep(pause).await;
                                fetch(&mut asking, &kept.name).await
                            }));
                        }
                        // Nobody waits any more if it cannot be told.
                        let _ = tell.map(|tell| tell.send(()));
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        let old = own.all().into_iter().filter(|kept| kept.is_old(crate::now(), AGE));
                        old.for_each(|kept| kept.take(runtime.block_on(fetch(&mut asking, &kept.name))));
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        std::thread::Builder::new().name("secrets".to_owned()).spawn(work).map_err(|error| error.to_string())?;
        Ok(keeper)
    }

    fn kept(&self, name: &str) -> Arc<Kept> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.retain(|_, kept| kept.strong_count() > 0);
        if let Some(kept) = secrets.get(name).and_then(Weak::upgrade) {
            return kept;
        }
        let kept = Arc::new(Kept { name: name.to_owned(), state: Mutex::default() });
        secrets.insert(name.to_owned(), Arc::downgrade(&kept));
        kept
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.values().filter_map(Weak::upgrade).collect()
    }

    /// Has it asked for, and waits.
    fn ask(&self, kept: &Arc<Kept>) {
        let (tell, told) = mpsc::sync_channel(1);
        if self.asks.try_send(Ask { kept: Arc::clone(kept), wanted: crate::now(), tell: Some(tell) }).is_err() {
            return;
        }
        // What does not come in time is there the next time.
        let wait = move || {
            let _ = told.recv_timeout(WAIT);
        };
        let here = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
        match here {
            Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }

    fn ask_later(&self, kept: &Arc<Kept>) {
        // When there is no room, the thread comes by anyway.
        let _ = self.asks.try_send(Ask { kept: Arc::clone(kept), wanted: crate::now(), tell: None });
    }
}

/// The text in use and the one before it. The client is made when it is needed first, and kept.
async fn fetch(client: &mut Option<Signed>, name: &str) -> Result<(Arc<str>, Option<Arc<str>>), String> {
    if client.is_none() {
        let made = Signed::new(Service::Secrets, &Access::default(), REQUEST_TIMEOUT).await;
        *client = Some(made.map_err(|refused| refused.to_string())?);
    }
    let Some(client) = client else { return Err("it was not asked for".to_owned()) };
    let stage = |stage: &str| serde_json::json!({ "SecretId": name, "VersionStage": stage });
    let text = |answer: &serde_json::Value| answer["SecretString"].as_str().map(Arc::<str>::from);
    let current = client.call("GetSecretValue", &stage(CURRENT)).await.map_err(|refused| refused.to_string())?;
    let Some(current) = text(&current) else {
        return Err("it is kept as bytes; store it as a text (`SecretString`)".to_owned());
    };
    match client.call("GetSecretValue", &stage(PREVIOUS)).await {
        Ok(previous) => Ok((current, text(&previous))),
        // A secret that was never changed has none before it.
        Err(refused) if refused.code.as_deref() == Some("ResourceNotFoundException") => Ok((current, None)),
        Err(refused) => Err(refused.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(current: &str, previous: Option<&str>) -> Arc<Kept> {
        let kept = Kept { name: "webhook".to_owned(), state: Mutex::default() };
        kept.take(Ok((Arc::from(current), previous.map(Arc::from))));
        Arc::new(kept)
    }

    fn texts(managed: &Managed) -> Vec<String> {
        managed.valid().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_one_before_is_good_for_verifying_and_a_failure_keeps_both() {
        let whole = Managed { kept: kept("new", Some("old")), member: None };
        assert_eq!(texts(&whole), ["new", "old"]);
        assert_eq!(&*whole.current().unwrap(), "new");
        whole.kept.take(Err("down".to_owned()));
        assert_eq!(texts(&whole), ["new", "old"]);
        assert_eq!(whole.failing().as_deref(), Some("down"));
        whole.kept.take(Ok((Arc::from("newer"), Some(Arc::from("new")))));
        assert_eq!(texts(&whole), ["newer", "new"]);
        assert_eq!(whole.failing(), None);
    }

    #[test]
    fn a_member_of_a_json_object_is_a_secret_of_its_own() {
        let kept = kept(r#"{"crm":"c-1","webhook":"w-1"}"#, Some("from before it was JSON"));
        let of = |member: &str| Managed { kept: Arc::clone(&kept), member: Some(member.to_owned()) };
        assert_eq!(texts(&of("crm")), ["c-1"]);
        let missing = of("other").current().unwrap_err().to_string();
        assert!(missing.contains("secretsmanager:webhook#other") && !missing.contains("c-1"), "{missing}");
        assert!(!format!("{:?}", of("crm")).contains("c-1"));
    }

    #[test]
    fn whoever_comes_behind_an_answer_is_asked_for_anew_and_not_too_often() {
        let kept = kept("new", None);
        let asked = kept.state().asked.unwrap();
        let after = |millis| asked + Duration::from_millis(millis);
        assert_eq!(kept.pause(asked - Duration::from_millis(1), after(5)), None, "it is answered already");
        assert_eq!(kept.pause(after(100), after(300)), Some(Duration::from_millis(700)));
        assert_eq!(kept.pause(after(5_000), after(5_000)), Some(Duration::ZERO));
        assert_eq!(kept.pause(asked, asked - Duration::from_secs(9)), Some(Duration::ZERO), "the clock was set back");
    }

    #[test]
    fn it_grows_old_by_the_clock_and_when_the_clock_is_set_back() {
        let kept = kept("new", None);
        let asked = kept.state().asked.unwrap();
        assert!(!kept.is_old(asked + AGE / 2, AGE));
        assert!(kept.is_old(asked + AGE, AGE));
        assert!(kept.is_old(asked - Duration::from_secs(1), AGE));
    }
}
