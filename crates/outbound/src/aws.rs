//! Access to services of AWS: where they are, who asks, and what their refusals mean.
//!
//! What it guarantees: a client tries once, since whoever asks decides about trying again; no request outlives its
//! timeout; a key that is rotated in its file is used within [`KEY_AGE`]; no key reaches an error or a `Debug` text.

pub mod secrets;
mod signed;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials};

use crate::{Secret, root_cause};

pub use signed::{Refused, Service, Signed};

/// How long a configured key is used before its source is looked at again.
pub const KEY_AGE: Duration = Duration::from_secs(60);
/// Time for a connection to be made; what takes longer is as good as not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a service is and who asks it.
#[derive(Clone, Default)]
pub struct Access {
    /// The region; without one the environment's, the profile's or the machine's.
    pub region: Option<String>,
    /// Another address than Amazon's.
    pub endpoint: Option<String>,
    /// Key and secret; without them the environment's, the profile's, the container's or the machine's role.
    pub key: Option<(Secret, Secret)>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("region", &self.region).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Access {
    /// What clients are made of. Looks at the environment, and asks the machine for its region if nothing else says it.
    pub async fn config(&self, timeout: Duration) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .operation_timeout(timeout)
            .operation_attempt_timeout(timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint.trim_end_matches('/'));
        }
        if let Some((id, secret)) = &self.key {
            loader = loader.credentials_provider(Keys { id: id.clone(), secret: secret.clone() });
        }
        loader.load().await
    }
}

impl Access {
    /// The same, with what a queue's address says: its region, and the endpoint if that is not one of Amazon's.
    pub fn of_queue(&self, queue_url: &str) -> Self {
        let mut access = self.clone();
        let (scheme, rest) = queue_url.split_once("://").unwrap_or(("https", queue_url));
        let host = rest.split('/').next().unwrap_or_default();
        let amazon = host.strip_prefix("sqs.").filter(|host| host.contains(".amazonaws.com"));
        match amazon.and_then(|rest| rest.split('.').next()) {
            Some(region) => access.region = access.region.or_else(|| Some(region.to_owned())),
            None => access.endpoint = access.endpoint.or_else(|| Some(format!("{scheme}://{host}"))),
        }
        access
    }
}

/// The configured key, as it is now.
struct Keys {
    id: Secret,
    secret: Secret,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let found = || {
            let (id, secret) = (self.id.get()?, self.secret.get()?);
            let until = crate::now() + KEY_AGE;
            Ok(Credentials::new(&*id, &*secret, None, Some(until), "aftercall configuration"))
        };
        provider::future::ProvideCredentials::ready(
            found().map_err(|error: crate::SecretError| CredentialsError::provider_error(error)),
        )
    }
}

/// What a failed request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// There are too many requests, or the service is overloaded.
    Load,
    /// The credentials, or what they are allowed.
    Rights,
    /// The queue or bus is not there.
    Place,
    /// What was sent in it.
    Content,
    /// The way there, or anything else that may pass.
    Passing,
}

/// A request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about.
    pub about: About,
    /// What happened, and the cure where a person can do something. Without a final full stop.
    pub text: String,
}

/// What an error code of SQS or EventBridge is about.
pub fn about(code: &str) -> About {
    // The older protocol had a prefix.
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "OverLimit"
        | "SlowDown"
        | "KmsThrottled"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => About::Load,
        "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired"
        | "KmsAccessDenied"
        | "KmsDisabled"
        | "KmsInvalidState"
        | "KmsNotFound"
        | "KmsOptInRequired"
        | "KmsInvalidKeyUsage"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidSecurity" => About::Rights,
        code if code.starts_with("NotAuthorized") => About::Rights,
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "ResourceNotFoundException"
        | "QueueDeletedRecently"
        | "InvalidAddress"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchVersion"
        | "ParameterNotFound"
        | "ParameterVersionNotFound" => About::Place,
        "InvalidMessageContents"
        | "InvalidParameterValue"
        | "InvalidAttributeValue"
        | "BatchRequestTooLong"
        | "MalformedDetail"
        | "InvalidArgument"
        | "ValidationException"
        | "MessageTooLong"
        | "SerializationException"
        | "InvalidParameterCombination"
        | "MissingParameter" => About::Content,
        _ => About::Passing,
    }
}

/// What a failed request of the SDK means: `code` and `message` are those of the service, if it has answered.
pub fn trouble(service: &str, code: Option<&str>, message: Option<&str>, error: &(dyn Error + 'static)) -> Trouble {
    let Some(code) = code else {
        return no_answer(service, &root_cause(error));
    };
    let about = about(code);
    let mut text = format!("{service} answered {code}");
    if let Some(message) = message.map(str::trim).filter(|message| !message.is_empty()) {
        text = format!("{text}: {}", message.trim_end_matches('.'));
    }
    if let Some(cure) = cure(about) {
        text = format!("{text}; {cure}");
    }
    Trouble { about, text }
}

/// The request did not come to an answer.
fn no_answer(service: &str, cause: &str) -> Trouble {
    // Credentials are looked for before anything is sent, and the SDK has no code of its own for not finding any.
    let credentials = cause.contains("credential") || cause.contains("secret") || cause.contains("identity");
    let (about, text) = match credentials {
        true => (About::Rights, format!("there are no credentials for {service}: {cause}; {RIGHTS_CURE}")),
        false => (About::Passing, format!("{service} cannot be reached: {cause}")),
    };
    Trouble { about, text }
}

const RIGHTS_CURE: &str = "renew the credentials, or give them the rights that docs/aws-services.md lists; nothing is lost \
                           meanwhile";

fn cure(about: About) -> Option<&'static str> {
    match about {
        About::Rights => Some(RIGHTS_CURE),
        About::Place => Some("make it, or mend its name and the region; nothing is lost meanwhile"),
        About::Load | About::Content | About::Passing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_protocols_are_known_and_unknown_ones_pass() {
        let cases = [
            ("AWS.SimpleQueueService.NonExistentQueue", About::Place),
            ("com.amazonaws.sqs#QueueDoesNotExist", About::Place),
            ("NotAuthorizedForSourceException", About::Rights),
            ("ExpiredTokenException", About::Rights),
            ("ThrottlingException", About::Load),
            ("MalformedDetail", About::Content),
            ("InternalFailure", About::Passing),
            ("SomethingNew", About::Passing),
        ];
        for (code, expected) in cases {
            assert_eq!(about(code), expected, "{code}");
        }
    }

    #[test]
    fn what_a_person_can_mend_comes_with_its_cure() {
        let error = std::io::Error::other("refused");
        let said = |code, message| trouble("SQS", code, message, &error);
        assert_eq!(said(None, None).text, "SQS cannot be reached: refused");
        let denied = said(Some("AccessDenied"), Some("You may not."));
        assert!(denied.text.starts_with("SQS answered AccessDenied: You may not; renew"), "{}", denied.text);
        assert_eq!(said(Some("InternalError"), Some("")).text, "SQS answered InternalError");
    }

    #[test]
    fn a_queues_address_says_its_region_or_its_endpoint() {
        let of = |url: &str| Access::default().of_queue(url);
        let amazon = of("https://sqs.eu-central-1.amazonaws.com/123456789012/calls");
        assert_eq!((amazon.region.as_deref(), amazon.endpoint), (Some("eu-central-1"), None));
        assert_eq!(of("http://127.0.0.1:4566/1/q").endpoint.as_deref(), Some("http://127.0.0.1:4566"));
        let own = Access { region: Some("eu-west-1".to_owned()), ..Access::default() };
        let own = own.of_queue("https://sqs.us-east-1.amazonaws.com/1/q");
        assert_eq!(own.region.as_deref(), Some("eu-west-1"));
    }

    #[tokio::test]
    async fn a_rotated_key_is_used_and_none_is_shown() {
        let values = std::sync::Arc::new(std::sync::Mutex::new("first"));
        let held = std::sync::Arc::clone(&values);
        let keys = Keys {
            id: Secret::fixed("id"),
            secret: Secret::from_fn(move || Ok(std::sync::Arc::from(*held.lock().unwrap()))),
        };
        for value in ["first", "second"] {
            *values.lock().unwrap() = value;
            let found = keys.provide_credentials().await.unwrap();
            assert_eq!(found.secret_access_key(), value);
            assert!(found.expiry().is_some());
        }
        let access = Access { key: Some((keys.id.clone(), keys.secret.clone())), ..Access::default() };
        assert!(!format!("{keys:?}{access:?}").contains("second"));
    }
}
