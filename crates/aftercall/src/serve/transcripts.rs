//! Transcripts that are stored, tended beside the other parts.

use std::time::Duration;

use super::destinations::Views;

/// Pause before the first pass: a server that has just started has other things to do.
const FIRST: Duration = Duration::from_secs(30);
/// Pause between passes: retention is counted in days, and a pass lists all that is stored.
const EVERY: Duration = Duration::from_secs(3_600);

/// Removes transcripts at the end of their retention until `stop` is ready.
pub(super) async fn tend(views: Views, stop: impl Future<Output = ()>) {
    let work = async {
        tokio::time::sleep(FIRST).await;
        loop {
            sweep(&views).await;
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}

async fn sweep(views: &Views) {
    let fetching: Vec<_> =
        views.load().iter().filter_map(|view| Some((view.name.clone(), view.fetching()?.opened()?))).collect();
    for (destination, transcripts) in fetching {
        match transcripts.sweep().await {
            Ok(swept) if swept.transcripts > 0 => tracing::info!(
                destination,
                transcripts = swept.transcripts,
                bytes = swept.bytes,
                "transcripts have reached the end of their retention and are removed"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(destination, %error, "transcripts beyond retention stay; it is tried again"),
        }
    }
}
