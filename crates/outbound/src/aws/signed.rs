//! Single signed requests to services of AWS of which one or two operations are wanted, so that a client of the SDK for each
//! would only cost time to build and room in the program.
//!
//! What it guarantees: no request outlives its timeout; what may pass is tried [`TRIES`] times in all, and nothing else;
//! neither credentials nor what was answered reaches an error.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout_at};

use super::{About, Access, Trouble, trouble};
use crate::{ClientOptions, HttpClient, client, read, root_cause};

/// Tries of a request whose failure may pass.
const TRIES: u32 = 3;
/// Pause before the second try; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(100);
/// Idle connections that are kept: requests come one at a time.
const CONNECTIONS: usize = 1;
/// Bytes of an answer that are read. The largest that is wanted is a configuration in S3.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of what S3 says is wrong that are looked through for its code.
const ERROR_BYTES: usize = 4 << 10;

/// A service that is asked without a client of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Secrets Manager.
    Secrets,
    /// The Parameter Store of Systems Manager.
    Parameters,
    /// SQS.
    Queues,
    /// S3.
    Objects,
}

impl Service {
    /// How it is called in addresses and signatures.
    fn id(self) -> &'static str {
        match self {
            Self::Secrets => "secretsmanager",
            Self::Parameters => "ssm",
            Self::Queues => "sqs",
            Self::Objects => "s3",
        }
    }

    /// How it is called in errors.
    fn name(self) -> &'static str {
        match self {
            Self::Secrets => "Secrets Manager",
            Self::Parameters => "the Parameter Store",
            Self::Queues => "SQS",
            Self::Objects => "S3",
        }
    }

    /// The variable that gives it another address than the others; the SDKs know it too.
    fn variable(self) -> &'static str {
        match self {
            Self::Secrets => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Self::Parameters => "AWS_ENDPOINT_URL_SSM",
            Self::Queues => "AWS_ENDPOINT_URL_SQS",
            Self::Objects => "AWS_ENDPOINT_URL_S3",
        }
    }

    /// What stands before an operation's name, and the version of the protocol.
    fn protocol(self) -> (&'static str, &'static str) {
        match self {
            Self::Secrets => ("secretsmanager", "application/x-amz-json-1.1"),
            Self::Parameters => ("AmazonSSM", "application/x-amz-json-1.1"),
            Self::Queues | Self::Objects => ("AmazonSQS", "application/x-amz-json-1.0"),
        }
    }
}

/// A request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .trouble.text)]
pub struct Refused {
    /// The service's own code, if it has answered.
    pub code: Option<String>,
    /// What it means.
    pub trouble: Trouble,
}

/// Asks one service.
pub struct Signed {
    service: Service,
    config: SdkConfig,
    http: HttpClient,
    region: String,
    /// Without a slash at its end.
    endpoint: String,
    amazon: bool,
    timeout: Duration,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Signed {
    /// Finds out where the service is; asks it nothing yet. `timeout` is that of a request with all its tries.
    ///
    /// # Errors
    /// If no region is known, or the machine has no root certificates.
    pub async fn new(service: Service, access: &Access, timeout: Duration) -> Result<Self, Refused> {
        let config = access.config(timeout).await;
        let refuse = |text: String| Refused { code: None, trouble: Trouble { about: About::Place, text } };
        let Some(region) = config.region().map(ToString::to_string) else {
            let text = format!("no region is known, so {} cannot be found; set AWS_REGION", service.name());
            return Err(refuse(text));
        };
        let own = access.endpoint.clone().or_else(|| std::env::var(service.variable()).ok());
        let named = own.filter(|url| !url.is_empty()).or_else(|| config.endpoint_url().map(str::to_owned));
        let amazon = named.is_none();
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = named.unwrap_or_else(|| format!("https://{}.{region}.{domain}", service.id()));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let options = ClientOptions { tls: endpoint.starts_with("https:"), ca_pem: None, connections: CONNECTIONS };
        let http = client(options).map_err(|error| refuse(format!("asking {}: {error}", service.name())))?;
        Ok(Self { service, config, http, region, endpoint, amazon, timeout })
    }

    /// Calls an operation of a service that speaks JSON.
    ///
    /// # Errors
    /// If it refuses, or there is no answer.
    pub async fn call(&self, operation: &str, asked: &serde_json::Value) -> Result<serde_json::Value, Refused> {
        let (target, version) = self.service.protocol();
        let target = format!("{target}.{operation}");
        let headers = [("content-type", version), ("x-amz-target", target.as_str())];
        let body = Bytes::from(asked.to_string());
        let answer = self.ask(&Method::POST, &format!("{}/", self.endpoint), &headers, &body).await?;
        serde_json::from_slice(&answer).map_err(|_| self.no_answer("its answer is no JSON"))
    }

    /// Reads an object of S3; `key` as it is, `version` if it is to be a certain one.
    ///
    /// # Errors
    /// If it is not there or must not be read, or there is no answer.
    pub async fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Bytes, Refused> {
        let key = escaped(key, true);
        // Amazon's own addresses have the bucket in front; emulators and other stores know the longer path for sure.
        let mut url = match (self.amazon, self.endpoint.split_once("://")) {
            (true, Some((scheme, host))) if !bucket.contains('.') => format!("{scheme}://{bucket}.{host}/{key}"),
            _ => format!("{}/{bucket}/{key}", self.endpoint),
        };
        if let Some(version) = version {
            url = format!("{url}?versionId={}", escaped(version, false));
        }
        self.ask(&Method::GET, &url, &[], &Bytes::new()).await
    }

    async fn ask(&self, method: &Method, url: &str, headers: &[(&str, &str)], body: &Bytes) -> Result<Bytes, Refused> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = PAUSE;
        for attempt in 1.. {
            let tried = timeout_at(deadline, self.try_once(method, url, headers, body, deadline)).await;
            let refused = match tried {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused)) => refused,
                Err(_) => self.no_answer(&format!("no answer within {} s", self.timeout.as_secs_f32())),
            };
            let passes = matches!(refused.trouble.about, About::Passing | About::Load);
            if attempt == TRIES || !passes || Instant::now() + pause >= deadline {
                return Err(refused);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(self.no_answer("it was not asked"))
    }

    async fn try_once(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Refused> {
        let request = self.signed(method, url, headers, body).await?;
        let answer = self.http.request(request).await.map_err(|error| self.no_answer(&root_cause(&error)))?;
        let status = answer.status();
        let announced = answer.headers().get("x-amzn-errortype").and_then(|code| code.to_str().ok()).map(str::to_owned);
        let text = read(answer, ANSWER_BYTES_MAX, ANSWER_BYTES_MAX, deadline).await;
        if status.is_success() {
            return Ok(text);
        }
        let (code, message) = said(&text);
        let code = code.or(announced).unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        let unknown = std::io::Error::other("it refused");
        let trouble = trouble(self.service.name(), Some(&code), message.as_deref(), &unknown);
        Err(Refused { code: Some(code), trouble })
    }

    async fn signed(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, Refused> {
        let Some(provider) = self.config.credentials_provider() else {
            return Err(self.no_answer("no credentials are configured"));
        };
        let credentials = provider.provide_credentials().await.map_err(|error| self.no_answer(&root_cause(&error)))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        if self.service == Service::Objects {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let unsigned = |error: &dyn std::fmt::Display| self.no_answer(&format!("signing: {error}"));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.id())
            .time(crate::now())
            .settings(settings)
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let signable = SignableRequest::new(method.as_str(), url, headers.iter().copied(), SignableBody::Bytes(body))
            .map_err(|error| unsigned(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| unsigned(&error))?.into_parts();
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .body(Full::new(body.clone()))
            .map_err(|error| unsigned(&error))?;
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
                request.headers_mut().insert(name, value);
            }
        }
        instructions.apply_to_request_http1x(&mut request);
        debug_assert!(headers.is_empty() || request.headers().contains_key(CONTENT_TYPE));
        Ok(request)
    }

    fn no_answer(&self, cause: &str) -> Refused {
        let cause = std::io::Error::other(cause.to_owned());
        Refused { code: None, trouble: trouble(self.service.name(), None, None, &cause) }
    }
}

/// The code and the message of a refusal, in JSON or in S3's XML.
fn said(text: &[u8]) -> (Option<String>, Option<String>) {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(text) {
        let of = |names: [&str; 2]| names.iter().find_map(|name| json[*name].as_str()).map(str::to_owned);
        return (of(["__type", "code"]), of(["message", "Message"]));
    }
    let text = String::from_utf8_lossy(&text[..text.len().min(ERROR_BYTES)]);
    let of = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    (of("Code"), of("Message"))
}

/// Escapes what may not stand in a path or a query as it is; slashes stay if they part a path.
fn escaped(text: &str, path: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            b'/' if path => escaped.push('/'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_in_both_forms() {
        let json = br#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"gone"}"#;
        assert_eq!(said(json), (Some("com.amazonaws.ssm#ParameterNotFound".to_owned()), Some("gone".to_owned())));
        let xml = b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
        assert_eq!(said(xml), (Some("NoSuchKey".to_owned()), Some("gone".to_owned())));
        assert_eq!(said(b"<html>"), (None, None));
    }

    #[test]
    fn keys_and_versions_are_escaped() {
        assert_eq!(escaped("a b/c+ü", true), "a%20b/c%2B%C3%BC");
        assert_eq!(escaped("a/b", false), "a%2Fb");
    }
}
