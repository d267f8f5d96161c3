//! What an error of the platform means for a delivery.

use destinations::SendError;
use genesys::GenesysError;

use crate::options::Schedule;

/// What the calls need that are made here.
const PERMISSIONS: &str = "the role of the OAuth client needs Speech and Text Analytics > Data > View, Recording > \
                           Recording > View, Analytics > Conversation Detail > View and Conversation > Communication > \
                           View, in the divisions of the calls; then redrive";

/// Sorts an error; `what` was asked for.
pub(crate) fn of(error: &GenesysError, what: &str, schedule: &Schedule) -> SendError {
    match error {
        GenesysError::NotFound { .. } => {
            SendError::not_yet(schedule.patience(), Some(404), format!("{what} is not there yet (404)"))
        }
        // Nothing was asked, or too much by all who use the client: neither is the conversation's fault.
        GenesysError::RateLimited { retry_after, correlation, .. } => {
            let status = correlation.as_ref().map(|_| 429);
            let error = SendError::not_yet(Schedule::budget(), status, "the platform's limit of requests is used up");
            SendError { retry_after: Some(*retry_after), ..error }
        }
        GenesysError::Transient { retry_after, .. } => {
            SendError { retry_after: *retry_after, ..SendError::transient(error.to_string()) }
        }
        // It concerns all deliveries, which wait until it is mended.
        GenesysError::Token(token) => {
            SendError { retry_after: token.retry_after, ..SendError::transient(error.to_string()) }
        }
        GenesysError::Refused { status: status @ 401, .. } => {
            SendError { status: Some(*status), ..SendError::transient(error.to_string()) }
        }
        GenesysError::Refused { status: status @ 403, code, .. } => {
            let code = if code.is_empty() { String::new() } else { format!(", {code}") };
            let message = format!("the platform does not give {what} to this OAuth client (403{code}): {PERMISSIONS}");
            SendError { status: Some(*status), ..SendError::permanent(message) }
        }
        // Cut off on its way, a page of something before the platform, or another address: no conversation is to blame.
        GenesysError::Refused { status, .. } if *status < 400 => SendError::transient(error.to_string()),
        GenesysError::Refused { status, .. } => {
            SendError { status: Some(*status), ..SendError::permanent(error.to_string()) }
        }
        GenesysError::Option { .. } | GenesysError::Setup(_) => SendError::permanent(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use destinations::ErrorClass;

    use super::*;

    fn refused(status: u16, code: &str) -> GenesysError {
        let (call, problem) = ("GET /x".to_owned(), format!("the platform answered {status}"));
        GenesysError::Refused { call, status, code: code.to_owned(), problem, correlation: None }
    }

    fn sorted(error: &GenesysError) -> SendError {
        of(error, "the transcript of communication m-1", &Schedule::default())
    }

    #[test]
    fn a_missing_permission_is_for_good_and_named() {
        let error = sorted(&refused(403, "missing.permissions"));
        assert_eq!((&error.class, error.status), (&ErrorClass::Permanent, Some(403)));
        assert!(error.message.contains("missing.permissions") && error.message.contains("Recording > View"), "{error}");
        assert!(error.message.len() < 512 && error.message.ends_with("then redrive"), "{error}");
    }

    #[test]
    fn what_concerns_all_deliveries_is_waited_for_and_what_is_wrong_with_one_is_not() {
        assert_eq!(sorted(&refused(401, "")).class, ErrorClass::Transient);
        assert_eq!(sorted(&refused(400, "")).class, ErrorClass::Permanent);
        for not_of_the_platform in [200, 302] {
            let error = sorted(&refused(not_of_the_platform, ""));
            assert_eq!((&error.class, error.status), (&ErrorClass::Transient, None));
        }
    }

    #[test]
    fn limits_are_waited_for_and_never_given_up() {
        let limited = |correlation: Option<String>| {
            let retry_after = Duration::from_secs(7);
            sorted(&GenesysError::RateLimited { call: String::new(), retry_after, correlation })
        };
        let error = limited(None);
        let ErrorClass::NotYet(patience) = &error.class else { panic!("{error:?}") };
        assert_eq!((patience.give_up, error.status, error.retry_after), (None, None, Some(Duration::from_secs(7))));
        assert_eq!(limited(Some("k".to_owned())).status, Some(429), "the platform was asked and is there");
    }
}
