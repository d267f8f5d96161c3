//! Lists of parts, and the check of each object against its manifest.

use bytes::Bytes;
use object_store::path::Path;
use serde::Serialize;

use crate::chain::Before;
use crate::manifest::{FORMAT, Kind, MANIFEST, Manifest, REPLAYED};
use crate::part::{PartReader, sha256};
use crate::{Archive, Error};

/// Bytes of a manifest, at most.
const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// A part as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ArchivePart))]
pub struct Listed {
    /// Its manifest, below the archive's root.
    pub manifest: String,
    /// The destination that it was put aside for; none if it is of a closed hour.
    pub destination: Option<String>,
    /// Whether what was put aside was replayed.
    pub replayed: bool,
    /// Events in it.
    pub count: u64,
    /// Bytes of its object.
    pub bytes: u64,
    /// Place in the log of its first event.
    pub first_seq: u64,
    /// And of its last.
    pub last_seq: u64,
    /// When its first event was received, by time.
    pub earliest: event::Timestamp,
    /// And its last.
    pub latest: event::Timestamp,
}

/// What became of the check of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verified {
    /// Its manifest, below the archive's root.
    pub manifest: String,
    /// Events in it.
    pub count: u64,
    /// What is wrong with it, if anything is.
    pub problem: Option<String>,
}

/// What became of the check of some parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedPage {
    /// Each part, and each that is missing.
    pub parts: Vec<Verified>,
    /// Where the next parts begin; none after the last.
    pub next: Option<String>,
}

impl Archive {
    /// The names of manifests behind `after` in the order of their names, at most `limit`.
    pub(crate) async fn manifests(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, bool)>, Error> {
        let mut found = Vec::new();
        for root in ["events", "outages"] {
            // Days are listed one by one, so that a page does not need the names of years.
            let mut roots = vec![Path::from(root)];
            if root == "outages" {
                let mut destinations = self.store.folders(&roots[0]).await?;
                // In the order of the names of their parts: `a-b/…` comes before `a/…`.
                destinations.sort_by_key(|name| format!("{name}/"));
                roots = destinations.iter().map(|name| Path::from_iter([root, name.as_str()])).collect();
            }
            for root in roots {
                for day in self.store.folders(&root).await? {
                    let folder = format!("{root}/{day}");
                    if after.is_some_and(|after| !after.starts_with(&folder) && *folder < *after) {
                        continue;
                    }
                    let names = self.store.names(&folder).await?;
                    let is_replayed = |stem: &str| names.binary_search(&format!("{stem}{REPLAYED}")).is_ok();
                    for name in &names {
                        let Some(stem) = name.strip_suffix(MANIFEST) else { continue };
                        if after.is_none_or(|after| **name > *after) {
                            found.push((name.clone(), is_replayed(stem)));
                        }
                        if found.len() >= limit {
                            return Ok(found);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// A page of parts, in the order of their names.
    ///
    /// # Errors
    /// When the archive cannot be reached, or a manifest is damaged.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        for (name, replayed) in self.manifests(after, limit).await? {
            let manifest = self.manifest(&name).await?;
            listed.push(Listed {
                manifest: name,
                destination: manifest.destination,
                replayed,
                count: manifest.count,
                bytes: manifest.bytes,
                first_seq: manifest.first_seq,
                last_seq: manifest.last_seq,
                earliest: manifest.earliest,
                latest: manifest.latest,
            });
        }
        Ok(listed)
    }

    /// Checks a page of parts, line by line, and whether the part before each is there.
    ///
    /// # Errors
    /// When the archive cannot be reached.
    pub async fn verify(&self, after: Option<&str>, limit: usize) -> Result<VerifiedPage, Error> {
        let mut page = VerifiedPage::default();
        let names = self.manifests(after, limit).await?;
        for (name, _) in &names {
            let mut before = Vec::new();
            let (count, problem) = match self.verify_one(name, &mut before).await {
                Ok(count) => (count, None),
                Err(Error::Damaged { what, .. }) => (0, Some(what)),
                Err(error) => return Err(error),
            };
            self.look_for(&before, &mut page).await?;
            page.parts.push(Verified { manifest: name.clone(), count, problem });
        }
        page.next = names.last().filter(|_| names.len() >= limit).map(|(name, _)| name.clone());
        if page.next.is_none() {
            self.look_for(&self.remembered().await, &mut page).await?;
        }
        Ok(page)
    }

    /// Adds the parts that should be there and are not.
    async fn look_for(&self, before: &[Before], page: &mut VerifiedPage) -> Result<(), Error> {
        for part in self.missing(before).await? {
            let problem = Some(part.gone());
            page.parts.push(Verified { manifest: part.manifest, count: 0, problem });
        }
        Ok(())
    }

    /// `before` gets what the manifest says of the parts before it.
    async fn verify_one(&self, name: &str, before: &mut Vec<Before>) -> Result<u64, Error> {
        let manifest = self.manifest(name).await?;
        before.clone_from(&manifest.before);
        if self.is_unnamed_missing(name, &manifest).await? {
            let what = "it is whole, but the part before it is missing, and nobody knows which that was".to_owned();
            return Err(Error::Damaged { part: name.to_owned(), what });
        }
        // What is there now is checked, and not what a replay has read.
        self.cached.lock().take();
        let mut part = PartReader::new(name, self.object(name, &manifest).await?)?;
        let (mut count, mut last) = (0, 0);
        while let Some((seq, _)) = part.next()? {
            (count, last) = (count + 1, seq);
        }
        if (count, last) != (manifest.count, manifest.last_seq) {
            let what = format!("it has {count} events up to place {last}, and not what its manifest says");
            return Err(Error::Damaged { part: name.to_owned(), what });
        }
        Ok(count)
    }

    /// Reads a manifest.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Manifest, Error> {
        let damaged = |what: String| Error::Damaged { part: name.to_owned(), what };
        let text = self.store.get(name).await?.ok_or_else(|| damaged("its manifest is gone".to_owned()))?;
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(damaged("its manifest is too long".to_owned()));
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest cannot be read: {error}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("its format is {}, and this program reads {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }

    /// A part's object, checked against its manifest. The last one is kept.
    pub(crate) async fn object(&self, name: &str, manifest: &Manifest) -> Result<Bytes, Error> {
        let damaged = |what: String| Error::Damaged { part: name.to_owned(), what };
        let key = format!("{name} {}", manifest.sha256);
        if let Some((_, data)) = self.cached.lock().as_ref().filter(|(cached, _)| *cached == key) {
            return Ok(data.clone());
        }
        let data = self.store.get(&manifest.object).await?;
        let data = data.ok_or_else(|| damaged(format!("its object {} is gone", manifest.object)))?;
        if data.len() as u64 != manifest.bytes || sha256(&data) != manifest.sha256 {
            return Err(damaged(format!("the checksum of {} is not the manifest's", manifest.object)));
        }
        *self.cached.lock() = Some((key, data.clone()));
        Ok(data)
    }

    /// Notes that what was put aside was replayed.
    pub(crate) async fn mark_replayed(&self, name: &str, replay: &str) -> Result<(), Error> {
        let stem = name.strip_suffix(MANIFEST).unwrap_or(name);
        let text = serde_json::json!({ "replay": replay }).to_string();
        self.store.put(&format!("{stem}{REPLAYED}"), text.into_bytes().into()).await
    }

    /// The days of a collection.
    pub(crate) async fn days(&self, kind: &Kind) -> Result<Vec<String>, Error> {
        self.store.folders(&kind.root()).await
    }
}
