//! Publishes after a start what was accepted before it.
//!
//! All of it goes before anything that comes after the start from the same source: what of it has to wait is known when the
//! bodies have been looked through.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use event::{LargeLimits, Outline, Splitter};
use tokio::task::spawn_blocking;

use super::pending::{Place, Turn};
use super::publish::Publishing;
use crate::server::{Mode, Shared};
use crate::spool::{Head, Spooled};

/// The bodies that were accepted before the start, oldest first.
pub(crate) struct Left {
    bodies: Vec<Body>,
    turn: Option<Turn>,
}

struct Body {
    file: String,
    spooled: Spooled,
    head: Head,
    place: Place,
}

impl Left {
    /// Opens their files, before anything is received. Blocks.
    pub(crate) fn find(shared: &Arc<Shared>, accepted: Vec<PathBuf>) -> Self {
        let Some(spool) = shared.spool.as_ref().filter(|_| !accepted.is_empty()) else {
            return Self { bodies: Vec::new(), turn: None };
        };
        let open = |path: PathBuf| {
            let file = path.display().to_string();
            let opened = spool.reopen(path).map_err(|error| lost(&file, &error));
            let (spooled, head) = opened.ok()?;
            let place = shared.pending.enter(&Arc::from(&*head.source), None);
            Some(Body { file, spooled, head, place })
        };
        Self { bodies: accepted.into_iter().filter_map(open).collect(), turn: shared.pending.first_turn() }
    }
}

/// Publishes these bodies, one after the other. Stops when the server does.
pub(crate) async fn resume(shared: Arc<Shared>, Left { bodies, turn }: Left) {
    let mut outlined = Vec::with_capacity(bodies.len());
    for Body { file, spooled, head, place } in bodies {
        if *shared.mode.borrow() >= Mode::Draining {
            return;
        }
        match spawn_blocking(move || outline(&spooled, &head).map(|outline| (spooled, head, outline))).await {
            Ok(Ok((spooled, head, mut outline))) => {
                place.narrow(outline.take_conversations());
                outlined.push((file, spooled, head, outline, place));
            }
            Ok(Err(error)) => {
                lost(&file, &error);
                place.leave();
            }
            Err(error) => tracing::error!(file, %error, "opening an accepted batch failed by a fault in Aftercall"),
        }
    }
    for (file, spooled, head, outline, place) in outlined {
        if *shared.mode.borrow() >= Mode::Draining {
            return;
        }
        tracing::info!(
            file,
            events = outline.events(),
            "a batch that was accepted before the start is being published"
        );
        let splitter = Splitter::new(&head.split);
        Publishing::new(&shared, spooled, &head, splitter, outline).in_turn(place).await;
    }
    drop(turn);
}

/// Makes sure that the file is what was accepted, and looks through it again. Blocks.
fn outline(spooled: &Spooled, head: &Head) -> io::Result<Outline> {
    let mut digest = digest::Context::new(&digest::SHA256);
    spooled.stored().for_each(|piece| digest.update(piece))?;
    if digest.finish().as_ref() != head.digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the body's checksum is wrong"));
    }
    Splitter::new(&head.split).outline(spooled.stored(), LargeLimits::default()).map_err(io::Error::other)
}

fn lost(file: &str, error: &io::Error) {
    tracing::error!(
        file, %error,
        "a batch that was accepted before the start cannot be published; its sender got no answer and should send it again, \
         then remove the file"
    );
}
