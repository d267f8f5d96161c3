//! Calls with several records, one after the other, until each record has a result.
//!
//! A call that is refused because of what is in it is halved until the bad record is alone, so only that one fails.

use std::sync::Arc;

use outbound::{now, read, retry_after};

use super::record::{self, Record};
use super::refusal;
use super::service::{Answer, Call, Said, Service};
use crate::batch::{Batch, Batched};
use crate::http::call::{Asking, Caller};
use crate::{BoxFuture, ErrorClass, Receipt, SendError};

/// How much of an answer is read, in bytes, and how much more for each record: errors of 200, each with long texts, are 8 MiB.
/// A longer one cannot be understood.
const ANSWER_MAX: usize = 64 * 1024;
const ANSWER_MAX_OF_RECORD: usize = 40 * 1024;
/// After so many single records that failed in a row, for reasons that may be anybody's, it is not the records.
const UNCLEAR_MAX: usize = 3;
/// After so many single records that were refused in a row, the mapping is likely wrong for all: what else is refused is
/// asked about one by one and not halved, which takes half of the calls.
const REFUSED_MAX: usize = 3;

/// The service, and how it is reached.
pub(super) struct Desk {
    pub(super) service: Box<dyn Service>,
    pub(super) caller: Caller,
}

impl Desk {
    /// Makes one call, and says what became of the records.
    pub(super) async fn write(&self, records: &[&Record]) -> Said {
        match self.asked(records).await {
            Ok(said) => said,
            Err(error) if error.class == ErrorClass::Permanent => Said::Content(error),
            Err(error) => Said::All(error),
        }
    }

    async fn asked(&self, records: &[&Record]) -> Result<Said, SendError> {
        let deadline = self.caller.deadline();
        let Call { method, address, headers: more, body } = self.service.call(records)?;
        let mut headers = self.caller.headers(None)?;
        headers.extend(more);
        let answered = self.caller.call(Asking { method, address, headers, body }, deadline).await?;
        let secrets = self.caller.secrets(answered.token());
        let (status, retry_after) =
            (answered.response.status().as_u16(), retry_after(answered.response.headers(), now()));
        let longest = ANSWER_MAX + records.len() * ANSWER_MAX_OF_RECORD;
        let body = read(answered.response, longest, longest, deadline).await;
        let said = self.service.read(&Answer { status, body, retry_after }, records);
        Ok(said.changed(|error| without(error, &secrets)))
    }

    /// Writes a record alone.
    pub(super) async fn write_one(&self, record: &Record) -> Result<Receipt, SendError> {
        match self.write(&[record]).await {
            Said::Each(mut results) => results.pop().flatten().unwrap_or_else(|| Err(self.silent())),
            Said::All(error) | Said::Content(error) | Said::Unclear(error) => Err(error),
        }
    }

    fn silent(&self) -> SendError {
        SendError::transient(format!("{} has said nothing about this record of a call", self.service.name()))
    }

    async fn write_all(&self, batch: &mut Batch<Record>) -> Result<(), SendError> {
        let mut pending: Vec<usize> = (0..batch.len()).collect();
        while !pending.is_empty() {
            let (round, later) = record::round(&pending, |place| batch.item(place));
            self.write_round(batch, round).await?;
            pending = later;
        }
        Ok(())
    }

    /// Records of different keys. Fails if all do that have no result yet.
    async fn write_round(&self, batch: &mut Batch<Record>, round: Vec<usize>) -> Result<(), SendError> {
        let alone = round.len() == 1;
        // Single records that have failed in an unclear way since a call succeeded.
        let mut unclear = 0;
        // Those that were refused.
        let mut refused = 0;
        let mut parts = vec![round];
        while let Some(mut part) = parts.pop() {
            let said = self.write(&part.iter().map(|place| batch.item(*place)).collect::<Vec<_>>()).await;
            match (said, &part[..]) {
                (Said::All(error), _) => return Err(error),
                (Said::Each(results), _) => {
                    unclear = 0;
                    if results.iter().flatten().any(Result::is_ok) {
                        refused = 0;
                    }
                    part = self.settle(batch, part, results);
                    match part.is_empty() {
                        true => continue,
                        false => parts.extend(halves(part)),
                    }
                }
                (Said::Content(error), [single]) => {
                    refused += 1;
                    batch.settle(*single, Err(error));
                }
                (Said::Unclear(error), [_]) if alone || unclear + 1 == UNCLEAR_MAX => return Err(error),
                (Said::Unclear(error), [single]) => {
                    unclear += 1;
                    batch.settle(*single, Err(error));
                }
                (Said::Content(_), _) if refused >= REFUSED_MAX => {
                    parts.extend(part.into_iter().rev().map(|place| vec![place]))
                }
                (Said::Content(_) | Said::Unclear(_), _) => parts.extend(halves(part)),
            }
        }
        Ok(())
    }

    /// Gives results to whom they concern. The places about which nothing is known, if they can be told apart by being
    /// fewer.
    fn settle(
        &self,
        batch: &mut Batch<Record>,
        part: Vec<usize>,
        results: Vec<Option<Result<Receipt, SendError>>>,
    ) -> Vec<usize> {
        let mut left = Vec::new();
        let single = part.len() == 1;
        for (place, result) in part.into_iter().zip(results.into_iter().chain(std::iter::repeat_with(|| None))) {
            match result {
                Some(result) => batch.settle(place, result),
                None if single => batch.settle(place, Err(self.silent())),
                None => left.push(place),
            }
        }
        left
    }
}

/// Both halves of a part, the first one on top; or a part of one.
fn halves(mut part: Vec<usize>) -> Vec<Vec<usize>> {
    let second = part.split_off(part.len().div_ceil(2));
    [second, part].into_iter().filter(|half| !half.is_empty()).collect()
}

impl Said {
    fn changed(self, change: impl Fn(SendError) -> SendError) -> Self {
        match self {
            Self::Each(results) => {
                Self::Each(results.into_iter().map(|result| result.map(|r| r.map_err(&change))).collect())
            }
            Self::All(error) => Self::All(change(error)),
            Self::Content(error) => Self::Content(change(error)),
            Self::Unclear(error) => Self::Unclear(change(error)),
        }
    }
}

/// The error without secrets: a server may echo what it was sent.
fn without(error: SendError, secrets: &[String]) -> SendError {
    let excerpt = error.excerpt.as_deref().and_then(|text| crate::http::answer::excerpt(text.as_bytes(), secrets));
    SendError { excerpt, ..error }
}

/// One of the lanes. Each key has one, so its records are written in calls one after the other.
pub(super) struct Lane(pub(super) Arc<Desk>);

impl Batched for Lane {
    type Item = Record;

    fn run<'a>(&'a self, batch: &'a mut Batch<Record>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let result = tokio::time::timeout_at(self.0.caller.deadline(), self.0.write_all(batch)).await;
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => batch.fail(&error),
                Err(_) => batch.fail(&refusal::no_answer(self.0.service.name())),
            }
        })
    }
}
