//! What a token costs whoever asks for it: a thousand callers at once with a cold cache, and then with a warm one.
//!
//! `cargo run -p oauth --example warm_cache`

use std::time::{Duration, Instant};

use futures::future::join_all;
use oauth::{Options, TokenSource};
use outbound::Secret;
use simulator::platform::{self, Platform};

/// Callers at a time.
const CALLERS: usize = 1_000;
/// Rounds with a warm cache.
const ROUNDS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let platform = Platform::start(platform::Options::default())?;
    let url = format!("http://{}/oauth/token", platform.address());
    let source = TokenSource::new(Options::new(&url, platform::CLIENT_ID, Secret::fixed(platform::CLIENT_SECRET))?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let cold = round(&source).await;
        report("cold", cold, &platform);
        let mut warm = Vec::new();
        for _ in 0..ROUNDS {
            warm.extend(round(&source).await);
        }
        report("warm", warm, &platform);
    });
    Ok(())
}

/// How long each of the callers waited.
async fn round(source: &TokenSource) -> Vec<Duration> {
    let ask = || {
        let source = source.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            source.token().await.map(|_| began.elapsed())
        })
    };
    join_all((0..CALLERS).map(|_| ask())).await.into_iter().flatten().flatten().collect()
}

#[expect(clippy::print_stdout, reason = "a measurement is there to be printed")]
fn report(what: &str, mut waited: Vec<Duration>, platform: &Platform) {
    waited.sort_unstable();
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share) as usize];
    let asked = platform.report().token_requests;
    println!(
        "{what}: {} calls; median {:?}, 99 % {:?}, longest {:?}; requests to the token endpoint so far: {asked}",
        waited.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
