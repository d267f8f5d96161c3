//! Files that take the place of others: a merged one that of small ones, one without the rows of a conversation that of the
//! one with them. Exactly once across crashes.
//!
//! In this order, of which a note in the journal tells how far it may have come:
//!
//! 1. The note, synced: which files are replaced, by which.
//! 2. The new file. From now on whoever lists the folder may see its rows twice.
//! 3. The entry of the catalogue that names the new file and those that it replaces: whoever goes by the catalogue sees
//!    each row once before and after.
//! 4. The replaced files are deleted.
//! 5. The note is removed.
//!
//! A crash in the middle is gone on from at the start. Only files whose segment is dropped are replaced, since one of a
//! segment that is there may be written again. One that comes back all the same counts no more ([`super::folders`]).

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::catalogue::{self, Entry, FileEntry};
use super::lake::Found;
use super::merge::Rules;
use super::rewrite::Rewriter;
use super::upload::{Failed, Uploader};

/// Version of the note.
const VERSION: u32 = 1;

/// What is to be done, or is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// The version of the rows.
    schema: u32,
    /// The names of the files that are replaced.
    inputs: Vec<String>,
    /// The conversation whose rows go, if that is why.
    without: Option<String>,
    /// The new file; none if no row is left.
    file: Option<FileEntry>,
    /// The name of the new file and of its entry.
    name: String,
}

impl Note {
    /// Understands one.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failed> {
        let note: Self = serde_json::from_slice(text).map_err(|error| Failed::Note(error.to_string()))?;
        match note.version {
            VERSION => Ok(note),
            other => Err(Failed::Note(format!("its version is {other}, and this aftercall reads {VERSION}"))),
        }
    }

    /// The names of the files that are replaced.
    pub(super) fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// As it is written.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, Failed> {
        serde_json::to_vec_pretty(self).map_err(|error| Failed::Note(error.to_string()))
    }
}

/// A note that is not written yet, and the file that it tells of.
pub(super) struct Plan {
    pub(super) note: Note,
    pub(super) data: Option<Bytes>,
}

/// Files whose rows go into another one.
struct Inputs {
    names: Vec<String>,
    from: String,
    to: String,
    partition: String,
}

impl Uploader {
    /// Reads those that the rules choose of the files found in a folder, and makes one of them; none if there are not two to
    /// merge.
    /// Whether a segment is still here is asked with its number.
    pub(super) async fn plan_merge(
        &self,
        folder: &str,
        mut found: Vec<Found>,
        rules: &Rules,
        is_over: bool,
        now: i64,
        is_here: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Plan>, Failed> {
        found.retain(|file| folder_of(&file.name) == folder && self.is_settled(&file.name, is_here));
        let mut made: Option<(Rewriter, Inputs)> = None;
        for Found { name, .. } in rules.choose(found, is_over) {
            // A file that is not as the catalogue says, or that it does not know, is left alone.
            let Some(entry) = self.entry(&name).await? else { continue };
            let Some(data) = self.lake.get(&name).await?.filter(|data| catalogue::sha256(data) == entry.sha256) else {
                continue;
            };
            let (rewriter, inputs) = match &mut made {
                Some(made) => (&mut made.0, &mut made.1),
                none => {
                    let inputs = Inputs {
                        names: Vec::new(),
                        from: entry.from.clone(),
                        to: entry.to.clone(),
                        partition: entry.partition.clone(),
                    };
                    let (rewriter, inputs) = none.insert((Rewriter::like(&data, None)?, inputs));
                    (rewriter, inputs)
                }
            };
            if rewriter.push(&data)? {
                inputs.names.push(name);
                inputs.from = inputs.from.clone().min(entry.from);
                inputs.to = inputs.to.clone().max(entry.to);
            }
        }
        let Some((rewriter, inputs)) = made.filter(|(_, inputs)| inputs.names.len() > 1) else { return Ok(None) };
        self.plan('m', rewriter, inputs, None, now).map(Some)
    }

    /// Makes a file anew without the rows of a conversation.
    pub(super) async fn plan_erasure(
        &self,
        name: &str,
        data: &Bytes,
        conversation: &str,
        now: i64,
    ) -> Result<Plan, Failed> {
        let mut rewriter = Rewriter::like(data, Some(conversation))?;
        rewriter.push(data)?;
        let entry = self.entry(name).await?;
        let (from, to) = entry.map(|entry| (entry.from, entry.to)).unwrap_or_default();
        let inputs = Inputs { names: vec![name.to_owned()], from, to, partition: folder_of(name).to_owned() };
        self.plan('e', rewriter, inputs, Some(conversation), now)
    }

    fn plan(
        &self,
        kind: char,
        rewriter: Rewriter,
        inputs: Inputs,
        without: Option<&str>,
        now: i64,
    ) -> Result<Plan, Failed> {
        let Inputs { names, from, to, partition } = inputs;
        let made = rewriter.finish()?;
        // Made of what it replaces, so that two that are made in the same millisecond have two names.
        let digest = catalogue::sha256(names.join("\n").as_bytes());
        let name = format!("{}-{kind}{now:013}-{}", self.journal, &digest[..8]);
        let file = (made.rows > 0).then(|| FileEntry {
            name: format!("{partition}/{name}.parquet"),
            partition,
            rows: made.rows,
            bytes: made.data.len() as u64,
            sha256: catalogue::sha256(&made.data),
            from,
            to,
        });
        let data = file.is_some().then_some(made.data);
        let without = without.map(str::to_owned);
        Ok(Plan { note: Note { version: VERSION, schema: made.version, inputs: names, without, file, name }, data })
    }

    /// Does what a note says that is not done yet. It may be asked again, however far it came.
    ///
    /// # Errors
    /// The store; or a file that was to be replaced is gone, and the new one is not there.
    pub(super) async fn replace(&self, note: &Note, data: Option<Bytes>) -> Result<(), Failed> {
        let place = catalogue::place(&note.name);
        if self.lake.size(&place).await?.is_none() {
            let file = match (&note.file, data) {
                (Some(file), Some(data)) => {
                    self.lake.put(&file.name, data).await?;
                    Some(file.clone())
                }
                (Some(file), None) => Some(self.put_again(note, file).await?),
                (None, _) => None,
            };
            let entry = Entry::replacing(file, note.schema, note.inputs.clone());
            self.lake.put(&place, entry.to_json()?).await?;
        }
        for input in &note.inputs {
            self.lake.delete(input).await?;
        }
        note.inputs.iter().map(|input| folder_of(input)).collect::<BTreeSet<_>>().into_iter().try_for_each(|folder| {
            // The note goes next; without it nobody would delete them again.
            self.lake.settle(folder)
        })
    }

    /// The new file is there, or is made of the others, none of which has been deleted before its entry was written.
    async fn put_again(&self, note: &Note, file: &FileEntry) -> Result<FileEntry, Failed> {
        if let Some(data) = self.lake.get(&file.name).await?
            && catalogue::sha256(&data) == file.sha256
        {
            return Ok(file.clone());
        }
        let mut rewriter: Option<Rewriter> = None;
        for input in &note.inputs {
            let Some(data) = self.lake.get(input).await? else { return Err(Failed::Gone(input.clone())) };
            let rewriter = match &mut rewriter {
                Some(rewriter) => rewriter,
                none => none.insert(Rewriter::like(&data, note.without.as_deref())?),
            };
            if !rewriter.push(&data)? {
                return Err(Failed::Gone(input.clone()));
            }
        }
        let Some(made) = rewriter.map(Rewriter::finish).transpose()? else {
            return Err(Failed::Note("it replaces nothing".to_owned()));
        };
        let file = FileEntry {
            rows: made.rows,
            bytes: made.data.len() as u64,
            sha256: catalogue::sha256(&made.data),
            ..file.clone()
        };
        self.lake.put(&file.name, made.data).await?;
        Ok(file)
    }

    /// What the catalogue says of a file.
    async fn entry(&self, name: &str) -> Result<Option<FileEntry>, Failed> {
        let Some(place) = catalogue::entry_of(name) else { return Ok(None) };
        let Some(text) = self.lake.get(&place).await? else { return Ok(None) };
        // An entry that somebody has spoilt tells nothing, and is no reason to merge nothing else.
        let entry = Entry::parse(&text).ok();
        Ok(entry.and_then(|entry| entry.files.into_iter().find(|file| file.name == name)))
    }

    /// Whether a file is this journal's.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.rest(name).is_some()
    }

    /// Whether a file is this journal's, and its segment is not here any more: nobody will write it again.
    pub(super) fn is_settled(&self, name: &str, is_here: &(dyn Fn(u64) -> bool + Sync)) -> bool {
        let number = |rest: &str| rest.split('-').next().and_then(|number| number.parse::<u64>().ok());
        self.rest(name)
            .is_some_and(|rest| rest.starts_with(['m', 'e']) || number(rest).is_some_and(|number| !is_here(number)))
    }

    /// What a file's name has behind that of this journal.
    fn rest<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.rsplit('/').next()?.strip_prefix(&self.journal)?.strip_prefix('-')
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
