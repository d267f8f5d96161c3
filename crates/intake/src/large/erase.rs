//! Erasing a conversation from the large bodies that lie in the spool.

use queue::Mention;
use tokio::task::spawn_blocking;

use crate::error::SpoolError;
use crate::server::Shared;

/// See [`crate::Handle::erase_spooled`].
pub(crate) async fn erase(shared: &Shared, conversation: &str, dry_run: bool) -> Result<u64, SpoolError> {
    if shared.pending.holds(conversation) {
        return Err(SpoolError::Pending);
    }
    let Some(spool) = shared.spool.clone() else { return Ok(0) };
    let mention = Mention::of(conversation);
    let erased = spawn_blocking(move || spool.erase(&mention, dry_run)).await;
    let erased = erased.map_err(|error| SpoolError::Failed(error.to_string()))?;
    erased.map_err(|error| SpoolError::Failed(error.to_string()))
}
