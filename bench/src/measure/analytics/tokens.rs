//! What an access token costs whoever asks for it: a thousand callers at once, while it is not there, while it is, and over
//! several of its lives.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use oauth::{Options, TokenSource};
use outbound::Secret;
use simulator::Latency;
use simulator::platform::{self, Platform};

use super::super::Bench;
use super::super::report::{Line, Target};

/// Callers at a time.
const CALLERS: usize = 1_000;
/// Rounds with a warm cache.
const ROUNDS: usize = 100;
/// A life that is over soon. A quarter of it before its end the next token is fetched.
const LIFE: Duration = Duration::from_secs(4);
/// How long callers ask for tokens with such a life: some lives.
const LASTS: Duration = Duration::from_secs(12);
/// Tokens that are fetched in that time, if each is fetched when a quarter of the one before is left.
const LIVES: f64 = 1.0 + LASTS.as_secs() as f64 / (LIFE.as_secs() as f64 * 0.75);
/// How long a call may wait for its token once there is one.
const WARM_MS_MAX: f64 = 1.0;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (mut requests, mut warm, mut over_lives) = (Vec::new(), Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    bench.each_round("tokens", || {
        let platform = Platform::start(platform::Options::default())?;
        let source = source(&platform)?;
        let waited = runtime.block_on(async {
            round(&source).await?;
            let mut waited = Latency::new();
            for _ in 0..ROUNDS {
                round(&source).await?.into_iter().for_each(|time| waited.record(time));
            }
            anyhow::Ok(waited)
        })?;
        requests.push(platform.report().token_requests as f64);
        warm.push(waited.summary().p99.as_secs_f64() * 1e3);

        let platform = Platform::start(platform::Options { token_lifetime: LIFE, ..platform::Options::default() })?;
        let source = self::source(&platform)?;
        let began = Instant::now();
        while began.elapsed() < LASTS {
            runtime.block_on(round(&source))?;
        }
        over_lives.push(platform.report().token_requests as f64 / LIVES);
        Ok(())
    })?;
    Ok(vec![
        Line::new(format!("token requests by {CALLERS} callers at once, {ROUNDS} times"), "", requests)
            .wants(Target::AtMost(1.0)),
        Line::new("token requests in each life of a token, under as many callers", "", over_lives)
            .wants(Target::AtMost(1.0)),
        Line::new("a call waits for its token, once there is one (p99)", "ms", warm).wants(Target::AtMost(WARM_MS_MAX)),
    ])
}

fn source(platform: &Platform) -> Result<TokenSource> {
    let url = format!("http://{}/oauth/token", platform.address());
    let options = Options::new(&url, platform::CLIENT_ID, Secret::fixed(platform::CLIENT_SECRET));
    TokenSource::new(options.context("the options of a token")?).context("a source of tokens")
}

/// How long each of the callers waited.
async fn round(source: &TokenSource) -> Result<Vec<Duration>> {
    let ask = || {
        let source = source.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            source.token().await.map(|_| began.elapsed())
        })
    };
    let waited: Vec<_> = join_all((0..CALLERS).map(|_| ask())).await.into_iter().flatten().flatten().collect();
    ensure!(waited.len() == CALLERS, "{} of {CALLERS} callers got no token", CALLERS - waited.len());
    Ok(waited)
}
