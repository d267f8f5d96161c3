use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{advance, sleep};

use super::*;
use crate::Class;
use crate::endpoint::BoxFuture;
use crate::token::TokenText;

/// An issuer that takes a second for each token and can be told to fail.
#[derive(Clone, Default)]
struct Issues(Arc<Told>);

#[derive(Default)]
struct Told {
    requests: AtomicUsize,
    failures: Mutex<VecDeque<TokenError>>,
    rejected: Mutex<Vec<Option<String>>>,
    mended: AtomicBool,
    panics: AtomicBool,
}

const TOOK: Duration = Duration::from_secs(1);
const LIFETIME: Duration = Duration::from_secs(300);

impl Issuer for Issues {
    fn issue(&self, rejected: Option<Arc<TokenText>>) -> BoxFuture<'_, Result<Grant, TokenError>> {
        Box::pin(async move {
            let number = self.0.requests.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.rejected.lock().push(rejected.map(|token| token.as_str().to_owned()));
            sleep(TOOK).await;
            assert!(!self.0.panics.swap(false, Ordering::SeqCst), "told to panic");
            match self.0.failures.lock().pop_front() {
                Some(error) => Err(error),
                None => {
                    let text = TokenText::new(&format!("token-{number}")).unwrap();
                    Ok(Grant { text, lifetime: LIFETIME, age: TOOK })
                }
            }
        })
    }

    fn is_mended(&self) -> bool {
        self.0.mended.load(Ordering::SeqCst)
    }
}

impl Issues {
    fn source(&self) -> TokenSource {
        TokenSource::of("https://a.b/token".into(), Box::new(self.clone()))
    }

    fn fail(&self, class: Class) {
        self.0.failures.lock().push_back(TokenError::new(class, "told to fail"));
    }

    fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_request() {
    let issues = Issues::default();
    let source = issues.source();
    let tokens = join_all((0..1_000).map(|_| source.token())).await;
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose() == "token-1"));
    assert_eq!(issues.requests(), 1);
    let asked = Instant::now();
    source.token().await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO, "who finds one does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_failure_and_the_pause_after_it() {
    let issues = Issues::default();
    issues.fail(Class::Transient);
    let source = issues.source();
    let outcomes = join_all((0..1_000).map(|_| source.token())).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().message == "told to fail"));
    let during = source.token().await.unwrap_err();
    assert!(during.retry_after.unwrap() <= Duration::from_secs(1));
    assert_eq!(issues.requests(), 1);
    advance(during.retry_after.unwrap()).await;
    assert_eq!(source.token().await.unwrap().expose(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_does_not_stop_the_request() {
    let issues = Issues::default();
    let source = issues.source();
    assert!(tokio::time::timeout(TOOK / 2, source.token()).await.is_err());
    assert_eq!(source.token().await.unwrap().expose(), "token-1");
    assert_eq!(issues.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_use_is_renewed_in_the_background() {
    let issues = Issues::default();
    let source = issues.source();
    source.token().await.unwrap();
    source.token().await.unwrap();
    for _ in 0..300 {
        sleep(Duration::from_secs(10)).await;
        let asked = Instant::now();
        source.token().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
    let expected = 3_000 / 225;
    assert!((expected..=expected + 2).contains(&issues.requests()), "{}", issues.requests());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_uses_is_not_renewed() {
    let issues = Issues::default();
    let source = issues.source();
    source.token().await.unwrap();
    source.token().await.unwrap();
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(issues.requests(), 2, "once for its use, and then no more");
    drop(source);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_stays_in_use_while_its_renewal_fails() {
    let issues = Issues::default();
    let source = issues.source();
    source.token().await.unwrap();
    (0..4).for_each(|_| issues.fail(Class::Transient));
    for _ in 0..100 {
        sleep(Duration::from_secs(3)).await;
        let asked = Instant::now();
        source.token().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
    assert_eq!(issues.requests(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_report_it() {
    let issues = Issues::default();
    let source = issues.source();
    let old = source.token().await.unwrap();
    sleep(Duration::from_secs(100)).await;
    let replace = || async {
        old.reject();
        source.token().await.unwrap()
    };
    let tokens = join_all((0..1_000).map(|_| replace())).await;
    assert!(tokens.iter().all(|token| token.expose() == "token-2"));
    old.reject();
    assert_eq!(source.token().await.unwrap().expose(), "token-2");
    assert_eq!(issues.requests(), 2);
    assert_eq!(*issues.0.rejected.lock(), [None, Some("token-1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_mended_secret_is_tried_at_once() {
    let issues = Issues::default();
    (0..6).for_each(|_| issues.fail(Class::Refused));
    let source = issues.source();
    for _ in 0..6 {
        let error = source.token().await.unwrap_err();
        sleep(error.retry_after.unwrap()).await;
    }
    issues.fail(Class::Refused);
    assert!(source.token().await.unwrap_err().retry_after.unwrap() > Duration::from_secs(20));
    let before = issues.requests();
    assert!(source.token().await.is_err());
    assert_eq!(issues.requests(), before);
    issues.0.mended.store(true, Ordering::SeqCst);
    source.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_request() {
    let issues = Issues::default();
    issues.0.panics.store(true, Ordering::SeqCst);
    let source = issues.source();
    let error = source.token().await.unwrap_err();
    assert_eq!((error.class, error.message.contains("given up")), (Class::Transient, true));
    sleep(error.retry_after.unwrap()).await;
    assert_eq!(source.token().await.unwrap().expose(), "token-2");
}

#[test]
fn a_runtime_that_ends_takes_no_lock_with_it() {
    let issues = Issues::default();
    let source = issues.source();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    let asked = first.block_on(async { tokio::time::timeout(TOOK / 2, source.token()).await });
    assert!(asked.is_err(), "under way");
    drop(first);
    let second = runtime();
    let error = second.block_on(source.token()).unwrap_err();
    assert!(error.message.contains("given up"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn neither_tokens_nor_sources_show_a_token() {
    let source = Issues::default().source();
    let token = source.token().await.unwrap();
    let shown = format!("{token:?} {source:?} {:?} {:?}", token.authorization(), token.text);
    assert!(!shown.contains("token-1"), "{shown}");
    assert_eq!(token.authorization(), "Bearer token-1");
}
