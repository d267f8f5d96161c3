//! Erasing a conversation from the parts: each part that has it is written anew without the bodies, and its manifest then
//! names the new object. A crash in between leaves the old part as it was, and what is left over of it is deleted when
//! the erasure is asked for again.

use serde::Serialize;

use crate::manifest::{DATA, MANIFEST, Manifest};
use crate::part::{PartReader, PartWriter};
use crate::{Archive, Error};

/// What was erased from some parts, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArchiveErased))]
pub struct ErasedParts {
    /// Parts that were read.
    pub read: u64,
    /// Parts that had something of it.
    pub parts: u64,
    /// Events whose bodies were still there.
    pub events: u64,
    /// Bytes of those bodies.
    pub bytes: u64,
    /// Parts that cannot be read, so that nobody knows what is in them: restore or delete them.
    pub damaged: Vec<String>,
    /// Where the next parts begin; none after the last.
    pub next: Option<String>,
}

impl Archive {
    /// Erases a conversation from a page of parts, in the order of their names, or only counts.
    ///
    /// # Errors
    /// When the archive cannot be reached; what was done until then stays done.
    pub async fn erase(
        &self,
        conversation: &str,
        dry_run: bool,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ErasedParts, Error> {
        // A part that is being exported may have been read before the bodies were erased from the queue.
        let _exporting = self.exporting.lock().await;
        // As may one that is being put aside.
        let _putting = self.putting.write().await;
        if after.is_none() && !dry_run {
            self.delete_unfinished().await?;
        }
        let mut erased = ErasedParts::default();
        for (name, _) in self.manifests(after, limit).await? {
            match self.erase_from(&name, conversation, dry_run).await {
                Ok((events, bytes)) => {
                    erased.parts += u64::from(events > 0);
                    erased.events += events;
                    erased.bytes += bytes;
                }
                Err(Error::Damaged { .. }) => erased.damaged.push(name.clone()),
                Err(error) => return Err(error),
            }
            erased.read += 1;
            erased.next = Some(name);
        }
        if erased.read < limit as u64 {
            erased.next = None;
        }
        Ok(erased)
    }

    async fn erase_from(&self, name: &str, conversation: &str, dry_run: bool) -> Result<(u64, u64), Error> {
        let mut manifest = self.manifest(name).await?;
        if let Some(old) = manifest.replaces.take().filter(|_| !dry_run) {
            self.store.delete(&old).await?;
        }
        let mut part = PartReader::new(name, self.object(name, &manifest).await?)?;
        let mut writer = PartWriter::new()?;
        let (mut events, mut bytes) = (0, 0);
        while let Some((seq, mut event)) = part.next()? {
            if event.conversation.as_deref() == Some(conversation) && !event.is_erased() {
                events += 1;
                bytes += event.body.len() as u64;
                event.body = bytes::Bytes::new();
            }
            writer.push(seq, &event)?;
        }
        if events == 0 || dry_run {
            return Ok((events, bytes));
        }
        let stem = name.strip_suffix(MANIFEST).unwrap_or(name);
        let times = manifest.rewritten + 1;
        let (data, new) = writer.finish(&format!("{stem}.{times}"))?;
        let old = std::mem::replace(&mut manifest.object, format!("{stem}.{times}{DATA}"));
        let manifest = Manifest {
            bytes: new.bytes,
            lines_bytes: new.lines_bytes,
            sha256: new.sha256,
            rewritten: times,
            replaces: Some(old.clone()),
            ..manifest
        };
        self.write(stem, data, &manifest).await?;
        self.cached.lock().take();
        self.store.delete(&old).await?;
        tracing::info!(part = name, events, "bodies of a conversation were erased from the archive");
        Ok((events, bytes))
    }
}
