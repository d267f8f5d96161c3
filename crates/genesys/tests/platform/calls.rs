//! Each test has a platform of its own.

use std::time::{Duration, Instant};

use futures::future::join_all;
use genesys::{Client, GenesysError, Options, Region};
use outbound::Secret;
use simulator::platform::{self, Communication, Conversation, Platform, Transcript};

const CONVERSATION: &str = "31111111-1111-4111-8111-111111111111";
const LEG: &str = "32222222-2222-4222-8222-222222222222";

fn platform(change: impl FnOnce(&mut platform::Options)) -> Platform {
    let mut options = platform::Options::default();
    change(&mut options);
    Platform::start(options).unwrap()
}

fn options(platform: &Platform) -> Options {
    let secret = Secret::fixed(platform::CLIENT_SECRET);
    let mut options = Options::new(Region::find("eu-west-1").unwrap(), platform::CLIENT_ID, secret);
    options.login_url = format!("http://{}", platform.address());
    options.api_url = options.login_url.clone();
    options
}

fn client(platform: &Platform) -> Client {
    Client::new(&options(platform)).unwrap()
}

fn add(platform: &Platform, bytes: u64, after_requests: u32) {
    let transcript = Transcript { bytes, after_requests, after: Duration::ZERO, recordings: 1 };
    let recorded = Communication { id: LEG.into(), recorded: true, transcript: Some(transcript) };
    let other = Communication { id: CONVERSATION.into(), recorded: false, transcript: None };
    platform.add(Conversation { id: CONVERSATION.into(), communications: vec![other, recorded] });
}

#[tokio::test]
async fn from_the_conversation_to_its_transcript() {
    let platform = platform(|_| {});
    add(&platform, 3_000_000, 1);
    let client = client(&platform);
    let metrics = client.metrics(CONVERSATION).await.unwrap();
    assert_eq!((metrics.sentiment_score, metrics.sentiment_trend_class.as_deref()), (Some(0.25), Some("Declining")));
    assert_eq!(metrics.participant_metrics.unwrap().overtalk_count, Some(3));
    assert_eq!(client.recorded_communications(CONVERSATION).await.unwrap(), [LEG]);
    assert_eq!(client.conversation(CONVERSATION).await.unwrap().recorded(), [LEG]);

    let late = client.transcript_url(CONVERSATION, LEG).await.unwrap_err();
    assert!(matches!(&late, GenesysError::NotFound { correlation: Some(_), .. }) && late.is_transient(), "{late}");
    let one = client.transcript_url(CONVERSATION, LEG).await.unwrap().url;
    let all = client.transcript_urls(CONVERSATION, LEG).await.unwrap();
    assert_eq!((all.communication_id.as_deref(), all.urls.len()), (Some(LEG), 1));
    for url in [&one, &all.urls[0].url] {
        let mut stream = client.open(url).await.unwrap();
        assert_eq!(stream.length(), Some(3_000_000));
        let (mut total, mut longest) = (0, 0);
        while let Some(piece) = stream.next().await.unwrap() {
            (total, longest) = (total + piece.len(), longest.max(piece.len()));
        }
        assert!(total == 3_000_000 && longest < 1_000_000, "{total} {longest}");
    }
    let info = client.token_info().await.unwrap();
    assert_eq!(info.oauth_client.name.as_deref(), Some("aftercall"));
    assert_eq!(info.authorized_scope.len(), 2);

    let report = platform.report();
    assert_eq!((report.token_requests, report.malformed), (1, Vec::new()));
    assert_eq!(report.api_requests, u64::from(client.limits().unwrap().count));
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_the_request_repeated() {
    let platform = platform(|_| {});
    add(&platform, 0, 0);
    let client = client(&platform);
    client.token().await.unwrap();
    platform.revoke_tokens();
    let outcomes = join_all((0..20).map(|_| client.metrics(CONVERSATION))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(platform.report().tokens_issued, 2, "one for all that were refused");
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_for_a_person_to_mend() {
    let platform = platform(|_| {});
    add(&platform, 0, 0);
    let client = client(&platform);
    platform.fail_api(401, 2);
    let error = client.metrics(CONVERSATION).await.unwrap_err();
    assert_eq!(platform.report().tokens_issued, 2);
    assert!(matches!(&error, GenesysError::Refused { status: 401, .. }) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn errors_of_the_platform_say_what_to_do() {
    let platform = platform(|_| {});
    add(&platform, 0, 0);
    let client = client(&platform);
    for status in [408, 500, 502, 503, 504] {
        platform.fail_api(status, 1);
        let error = client.metrics(CONVERSATION).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("told.to.fail"), "{error}");
    }
    platform.fail_api(403, 1);
    let error = client.metrics(CONVERSATION).await.unwrap_err().to_string();
    assert!(error.contains("permission") && error.contains("correlation id"), "{error}");
    client.metrics(CONVERSATION).await.unwrap();
    assert!(matches!(client.metrics("").await, Err(GenesysError::Refused { .. })));
}

#[tokio::test]
async fn no_more_requests_than_are_allowed_reach_the_platform() {
    let platform = platform(|options| options.api_limit = 10);
    add(&platform, 0, 0);
    let mut options = options(&platform);
    (options.requests_per_minute, options.wait_max) = (10, Duration::from_millis(200));
    let client = Client::new(&options).unwrap();
    let outcomes = join_all((0..50).map(|_| client.metrics(CONVERSATION))).await;
    let limited = |outcome: &&Result<_, GenesysError>| matches!(outcome, Err(GenesysError::RateLimited { .. }));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    assert_eq!(outcomes.iter().filter(limited).count(), 40);
    let wait = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()?.retry_after()).max().unwrap();
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(61), "{wait:?}");
    let report = platform.report();
    assert_eq!((report.api_requests, report.api_requests_limited), (10, 0), "none was refused over there");
}

#[tokio::test]
async fn what_others_use_of_the_budget_is_seen_and_429_is_waited_for() {
    let platform = platform(|options| (options.api_limit, options.window) = (5, Duration::from_millis(1_500)));
    add(&platform, 0, 0);
    let (one, other) = (client(&platform), client(&platform));
    one.metrics(CONVERSATION).await.unwrap();
    one.metrics(CONVERSATION).await.unwrap();
    for _ in 0..3 {
        other.metrics(CONVERSATION).await.unwrap();
    }
    let began = Instant::now();
    // It has not heard of the other's yet, so it is refused and waits.
    one.metrics(CONVERSATION).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(platform.report().api_requests_limited, 1);
}

#[tokio::test]
async fn an_unreachable_platform_is_a_passing_trouble_that_names_the_place() {
    let platform = platform(|_| {});
    let mut options = options(&platform);
    options.api_url = "http://127.0.0.1:9".into();
    let error = Client::new(&options).unwrap().metrics(CONVERSATION).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("http://127.0.0.1:9 cannot be reached"), "{error}");
    options.login_url = "http://127.0.0.1:9".into();
    let error = Client::new(&options).unwrap().metrics(CONVERSATION).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("it is http://127.0.0.1:9/oauth/token"), "{error}");
}

#[tokio::test]
async fn a_wrong_secret_is_for_a_person_to_mend() {
    let platform = platform(|_| {});
    let mut options = options(&platform);
    options.client_secret = Secret::fixed("not-the-secret");
    let error = Client::new(&options).unwrap().metrics(CONVERSATION).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("invalid_client"), "{error}");
    assert!(!error.to_string().contains("not-the-secret"), "{error}");
    assert_eq!(platform.report().api_requests, 0);
}
