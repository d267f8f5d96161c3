//! What a failed request means for the caller.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::CancellationReason;
use queue::QueueError;

use super::Committed;
use crate::options::RETRY_AFTER;

/// An error of a request to a table.
pub(super) fn wrong<E, R>(table: &str, doing: &str, error: &SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let code = error.code().unwrap_or_default();
    let said = error.message().map_or_else(|| deepest(error), str::to_owned);
    of_code(table, doing, code, &said)
}

fn of_code(table: &str, doing: &str, code: &str, said: &str) -> QueueError {
    let cure = match code {
        "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "ThrottlingError" => return QueueError::Busy { retry_after: RETRY_AFTER },
        "ValidationException" | "ValidationError" | "ItemCollectionSizeLimitExceeded" => {
            let keys = match said.contains("schema") {
                true => "; its keys must be the texts pk and sk: `aftercall aws table check` says what is wrong",
                false => "",
            };
            return QueueError::Invalid(format!("{doing} table `{table}`: {said}{keys}"));
        }
        "ResourceNotFoundException" => {
            "; is the table there, in this region and account? `aftercall aws table create` makes it"
        }
        "AccessDeniedException" | "UnrecognizedClientException" | "InvalidSignatureException" => {
            "; do the credentials allow GetItem, Query, PutItem, DeleteItem and ConditionCheckItem on it?"
        }
        _ => "",
    };
    QueueError::Transient { detail: format!("{doing} table `{table}`: {said}{cure}") }
}

/// What a cancelled transaction means: conditions that did not hold, or a failure.
pub(super) fn refused(table: &str, reasons: &[CancellationReason]) -> Result<Committed, QueueError> {
    let mut refused = Vec::new();
    for (place, reason) in reasons.iter().enumerate() {
        match reason.code().unwrap_or("None") {
            "ConditionalCheckFailed" => refused.push(place),
            "None" | "TransactionConflict" | "DuplicateItem" => {}
            code => return Err(of_code(table, "writing", code, reason.message().unwrap_or(code))),
        }
    }
    Ok(Committed::Refused(refused))
}

/// What lies at the bottom of an error, which says more than "dispatch failure".
fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).message("why").build()
    }

    #[test]
    fn a_cancelled_transaction_says_whose_condition_did_not_hold_or_that_it_failed() {
        let of = |codes: &[&str]| refused("t", &codes.iter().map(|code| reason(code)).collect::<Vec<_>>());
        assert_eq!(of(&["None", "ConditionalCheckFailed"]).unwrap(), Committed::Refused(vec![1]));
        assert_eq!(of(&["TransactionConflict", "None"]).unwrap(), Committed::Refused(vec![]));
        assert!(matches!(of(&["None", "ThrottlingError"]), Err(QueueError::Busy { .. })));
        assert!(matches!(of(&["ValidationError"]), Err(QueueError::Invalid(_))));
        assert!(matches!(of(&["AccessDeniedException"]), Err(QueueError::Transient { .. })));
    }
}
