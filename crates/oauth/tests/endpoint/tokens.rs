//! Each test has a platform of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use oauth::{Class, Credentials, Options, TokenSource};
use outbound::{Secret, SecretFile};
use simulator::platform::{self, Platform};

fn platform(change: impl FnOnce(&mut platform::Options)) -> Platform {
    let mut options = platform::Options::default();
    change(&mut options);
    Platform::start(options).unwrap()
}

fn options(platform: &Platform) -> Options {
    Options::new(&platform.token_url(), platform::CLIENT_ID, Secret::fixed(platform::CLIENT_SECRET)).unwrap()
}

fn source(options: Options) -> TokenSource {
    TokenSource::new(options).unwrap()
}

#[tokio::test]
async fn a_thousand_callers_cause_one_request_that_is_well_formed() {
    let platform = platform(|_| {});
    let source = source(options(&platform));
    let tokens = join_all((0..1_000).map(|_| source.token())).await;
    let first = tokens[0].as_ref().unwrap();
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose() == first.expose()));
    assert!(platform.accepts(first.authorization().to_str().unwrap()));
    let report = platform.report();
    assert_eq!((report.token_requests, report.malformed), (1, Vec::new()));
}

#[tokio::test]
async fn credentials_in_the_form_for_endpoints_that_want_them_there() {
    let platform = platform(|options| options.form_credentials = true);
    let mut options = options(&platform);
    options.credentials = Credentials::Form;
    options.scope = Some("a b".into());
    options.parameters = vec![("resource".into(), "https://crm.example.com".into())];
    source(options).token().await.unwrap();
    assert_eq!(platform.report().malformed_count, 0);
}

#[tokio::test]
async fn a_rate_limit_that_answers_400_is_known_as_one() {
    let platform = platform(|options| options.token_limit = 0);
    let error = source(options(&platform)).token().await.unwrap_err();
    assert_eq!((error.class, error.status), (Class::RateLimited, Some(400)));
    assert!(error.retry_after.unwrap() >= Duration::from_secs(15), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_a_passing_trouble() {
    let platform = platform(|_| {});
    platform.fail_tokens(Some(503));
    let source = source(options(&platform));
    let error = source.token().await.unwrap_err();
    assert_eq!((error.class, error.status), (Class::Transient, Some(503)));
    platform.fail_tokens(None);
    let until_good = async {
        while source.token().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_good).await.unwrap();
    assert_eq!(platform.report().token_requests, 2, "who asks in the pause makes no request");
}

#[tokio::test]
async fn a_rotated_secret_is_read_again_when_the_old_one_is_refused() {
    let platform = platform(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, platform::CLIENT_SECRET).unwrap();
    let mut options = options(&platform);
    options.client_secret = Secret::file(SecretFile::new(path.clone()));
    let source = source(options);
    let old = source.token().await.unwrap();

    // The same length, and within the second in which the file is not looked at.
    let next = platform::CLIENT_SECRET.replace('0', "1");
    platform.allow(platform::CLIENT_ID, &next);
    platform.withdraw(platform::CLIENT_ID, platform::CLIENT_SECRET);
    std::fs::write(&path, &next).unwrap();
    platform.revoke_tokens();
    old.reject();
    let new = source.token().await.unwrap();
    assert!(platform.accepts(new.authorization().to_str().unwrap()));
    let report = platform.report();
    assert!(report.credentials_refused <= 1, "{report:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_without_being_shown() {
    let platform = platform(|_| {});
    let mut options = options(&platform);
    options.client_secret = Secret::fixed("opensesame");
    let error = source(options).token().await.unwrap_err();
    assert_eq!((error.class, error.status), (Class::Refused, Some(401)));
    assert!(error.message.contains("invalid_client") && !error.message.contains("opensesame"), "{error}");
    assert_eq!(platform.report().token_requests, 1, "the same secret is not tried twice");
}

#[tokio::test]
async fn processes_share_a_token_in_a_file() {
    let platform = platform(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token.json");
    let sharing = |path: &Path| {
        let mut options = options(&platform);
        options.cache_file = Some(path.to_owned());
        source(options)
    };
    // As if they were in processes of their own: they share nothing but the file.
    let sources: Vec<_> = (0..8).map(|_| sharing(&path)).collect();
    let tokens = join_all(sources.iter().map(TokenSource::token)).await;
    let first = tokens[0].as_ref().unwrap();
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose() == first.expose()));
    assert_eq!(platform.report().token_requests, 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    platform.revoke_tokens();
    for token in &tokens {
        token.as_ref().unwrap().reject();
    }
    let tokens = join_all(sources.iter().map(TokenSource::token)).await;
    assert!(tokens.iter().all(|token| platform.accepts(token.as_ref().unwrap().authorization().to_str().unwrap())));
    assert_eq!(platform.report().token_requests, 2, "the refused one in the file is not believed");

    std::fs::write(&path, "{\"version\":1,").unwrap();
    sharing(&path).token().await.unwrap();
    assert_eq!(platform.report().token_requests, 3, "a torn file is none");
    sharing(&path).token().await.unwrap();
    assert_eq!(platform.report().token_requests, 3, "and was written anew");
    // Nor does a file that cannot be written stop anybody.
    sharing(&dir.path().join("none/token.json")).token().await.unwrap();
}

#[tokio::test]
async fn a_short_lived_token_is_renewed_before_it_ends() {
    let platform = platform(|options| options.token_lifetime = Duration::from_secs(1));
    let source = source(options(&platform));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        let asked = Instant::now();
        let token = source.token().await.unwrap();
        let good = platform.accepts(token.authorization().to_str().unwrap());
        // A machine that stands still in between proves nothing.
        assert!(good || asked.elapsed() > Duration::from_millis(50), "an ended token was handed out");
        tokio::task::yield_now().await;
    }
    assert!((3..=5).contains(&platform.report().tokens_issued), "{:?}", platform.report());
}
