//! What a stopped server has kept.

use std::path::Path;

use event::EventId;
use queue::{DeadLetter, DeadLetterQuery, Queue, Stored};
use queue_sqlite::{Options, SqliteQueue};

/// All dead letters, with their bodies.
pub(crate) fn dead_letters(data: &Path) -> Vec<DeadLetter> {
    with_queue(data, async |queue| {
        let query = DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() };
        let mut letters = Vec::new();
        for letter in queue.dead_letters(query).await.unwrap() {
            letters.push(queue.dead_letter(letter.id).await.unwrap().unwrap());
        }
        letters
    })
}

/// One event.
pub(crate) fn event(data: &Path, id: &str) -> Option<Stored> {
    let id: EventId = id.parse().unwrap();
    with_queue(data, async |queue| queue.event(id).await.unwrap())
}

fn with_queue<T>(data: &Path, look: impl AsyncFnOnce(&SqliteQueue) -> T) -> T {
    let options = Options::new(data);
    let queue = SqliteQueue::open(&options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let seen = look(&queue).await;
        queue.close().await.unwrap();
        seen
    })
}
