//! The table of traces, and the variables that OpenTelemetry has for the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};
use outbound::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{File, HeaderSetting};
use super::{ConfigError, Secrets};

/// The table, as it is written. What each key means stands in `default.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TracesTable {
    endpoint: Option<String>,
    headers: BTreeMap<String, HeaderSetting>,
    ratio: Option<f64>,
    ca: Option<PathBuf>,
}

/// What a collector of traces is told, and where it is.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "a build that exports none reads none"))]
pub(crate) struct TraceOptions {
    /// Where spans are posted to.
    pub(crate) endpoint: String,
    /// Headers whose values are no secrets.
    pub(crate) plain: Vec<(HeaderName, String)>,
    /// Headers whose values are, asked for at each request.
    pub(crate) secret: Vec<(HeaderName, Secret)>,
    /// The share of traces that is told, from 0 to 1.
    pub(crate) ratio: f64,
    /// Certificates of private authorities.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    /// How long spans wait for others at most.
    pub(crate) delay: Duration,
    /// Spans that wait at most; more are dropped.
    pub(crate) waiting_max: usize,
    /// Spans in one request at most.
    pub(crate) batch_max: usize,
}

/// The path of a collector that is named without one.
const PATH: &str = "/v1/traces";
/// How long a request may take, as OpenTelemetry's specification says: `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long spans wait for others, as it says: `OTEL_BSP_SCHEDULE_DELAY`.
const DELAY: Duration = Duration::from_secs(5);
/// Spans that wait, as it says: `OTEL_BSP_MAX_QUEUE_SIZE`. About 2 MB.
const WAITING_MAX: usize = 2_048;
/// The most that may be asked for: about 64 MB.
const WAITING_LIMIT: usize = 65_536;
/// Spans in a request, as it says: `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`.
const BATCH_MAX: usize = 512;

impl File {
    /// Where traces go to; none if nobody is to have them. The variables of OpenTelemetry say what the table does not.
    pub(crate) fn trace_options(&self) -> Result<Option<TraceOptions>, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        options(&self.traces, variable)
    }
}

fn options(
    table: &TracesTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<TraceOptions>, ConfigError> {
    if !cfg!(feature = "otlp") {
        return match *table == TracesTable::default() {
            true => Ok(None),
            false => Err(ConfigError::value_with_help(
                "traces",
                "is for another build of aftercall: this one cannot export traces",
                "use one with the cargo feature `otlp`: cargo build --release --features otlp",
            )),
        };
    }
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let of_traces =
        || variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(|url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url));
    let of_all = || {
        let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        Some(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}{PATH}", base.trim_end_matches('/'))))
    };
    let named = table.endpoint.clone().map(|url| ("traces.endpoint", url)).or_else(of_traces).or_else(of_all);
    let Some((key, endpoint)) = named else {
        return match *table == TracesTable::default() {
            true => Ok(None),
            false => Err(ConfigError::value_with_help(
                "traces.endpoint",
                "is missing, so traces would go nowhere",
                "name the collector, such as \"http://127.0.0.1:4318\", or remove [traces]",
            )),
        };
    };
    let (plain, secret) = headers(table)?;
    let ca_pem = table.ca.as_ref().map(|path| {
        std::fs::read(path).map_err(|error| ConfigError::value("traces.ca", format!("cannot be read: {error}")))
    });
    let number = |name: &str| variable(name).and_then(|value| value.trim().parse::<u64>().ok());
    let millis = |name: &str, default| number(name).map_or(default, Duration::from_millis);
    let count = |name: &str, default| number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
    let timeout = millis("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT);
    let waiting_max = count("OTEL_BSP_MAX_QUEUE_SIZE", WAITING_MAX).clamp(1, WAITING_LIMIT);
    Ok(Some(TraceOptions {
        endpoint: address(key, &endpoint)?,
        plain,
        secret,
        ratio: ratio(table, &variable)?,
        ca_pem: ca_pem.transpose()?,
        timeout: millis("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", timeout),
        delay: millis("OTEL_BSP_SCHEDULE_DELAY", DELAY),
        waiting_max,
        batch_max: count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_MAX).clamp(1, waiting_max),
    }))
}

/// Headers with plain values, and those with secrets.
type Headers = (Vec<(HeaderName, String)>, Vec<(HeaderName, Secret)>);

fn headers(table: &TracesTable) -> Result<Headers, ConfigError> {
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    for (name, setting) in &table.headers {
        let key = format!("traces.headers.{name}");
        let header: HeaderName =
            name.parse().map_err(|_| ConfigError::value(&key, format!("`{name}` is no name of a header")))?;
        match setting {
            HeaderSetting::Plain(text) if http::HeaderValue::from_str(text).is_ok() => {
                plain.push((header, text.clone()))
            }
            HeaderSetting::Plain(_) => return Err(ConfigError::value(key, "has a control or non-ASCII character")),
            HeaderSetting::Secret { secret: name } => secret.push((header, Secrets::find(&key, name)?)),
        }
    }
    Ok((plain, secret))
}

/// The whole address, and nothing in it that a log must not show.
fn address(key: &str, text: &str) -> Result<String, ConfigError> {
    let wrong = |problem: &str| {
        ConfigError::value_with_help(key, problem, "name the collector, such as \"http://127.0.0.1:4318\"")
    };
    let url: Uri = text.trim().parse().map_err(|_| wrong("is no address"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(wrong("does not begin with http:// or https://; spans go over HTTP, not gRPC"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("has a user in it; secrets belong into `traces.headers`, as { secret = \"env:NAME\" }"));
    }
    let has_path = !matches!(url.path(), "" | "/");
    let path = if has_path { "" } else { PATH };
    Ok(format!("{}{path}", if has_path { text.trim() } else { text.trim().trim_end_matches('/') }))
}

fn ratio(table: &TracesTable, variable: &impl Fn(&str) -> Option<String>) -> Result<f64, ConfigError> {
    const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let (key, ratio) = match (table.ratio, variable(SAMPLER).as_deref()) {
        (Some(ratio), _) => ("traces.ratio", ratio),
        (None, Some("always_off" | "parentbased_always_off")) => (SAMPLER, 0.0),
        (None, Some("traceidratio" | "parentbased_traceidratio")) => {
            let argument = variable(ARGUMENT).unwrap_or_else(|| "1".to_owned());
            (ARGUMENT, argument.trim().parse().unwrap_or(f64::NAN))
        }
        (None, _) => (SAMPLER, 1.0),
    };
    match (0.0..=1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err(ConfigError::value(key, "is no share; write a number from 0 to 1")),
    }
}

#[cfg(test)]
#[cfg(feature = "otlp")]
mod tests {
    use super::*;

    fn of(table: &str, variables: &[(&str, &str)]) -> Result<Option<TraceOptions>, String> {
        let table: TracesTable = toml::from_str(table).unwrap();
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        options(&table, find).map_err(|error| error.in_a_line())
    }

    fn endpoint(table: &str, variables: &[(&str, &str)]) -> Option<String> {
        of(table, variables).unwrap().map(|options| options.endpoint)
    }

    const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
    const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/x");

    #[test]
    fn the_table_comes_before_the_variables() {
        assert_eq!(endpoint("", &[]), None);
        assert_eq!(endpoint("", &[ALL]).unwrap(), "http://all:4318/v1/traces");
        assert_eq!(endpoint("", &[ALL, TRACES]).unwrap(), "http://traces:4318/x");
        let named = "endpoint = \"https://c.example.com\"";
        assert_eq!(endpoint(named, &[ALL, TRACES]).unwrap(), "https://c.example.com/v1/traces");
        assert_eq!(endpoint("endpoint = \"http://c/otlp\"", &[]).unwrap(), "http://c/otlp");
        assert_eq!(endpoint(named, &[("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn a_share_is_one() {
        let ratio = |table: &str, variables: &[(&str, &str)]| {
            of(&format!("endpoint = \"http://c\"\n{table}"), variables).map(|options| options.unwrap().ratio)
        };
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        assert_eq!(ratio("", &[]), Ok(1.0));
        assert_eq!(ratio("", &[sampler, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]), Ok(0.25));
        assert_eq!(ratio("ratio = 0.5", &[sampler, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]), Ok(0.5));
        assert_eq!(ratio("", &[("OTEL_TRACES_SAMPLER", "always_off")]), Ok(0.0));
        assert!(ratio("ratio = 2.0", &[]).unwrap_err().contains("traces.ratio"));
        assert!(ratio("", &[sampler, ("OTEL_TRACES_SAMPLER_ARG", "x")]).unwrap_err().contains("SAMPLER_ARG"));
    }

    #[test]
    fn what_would_lose_traces_or_show_a_secret_is_refused() {
        assert!(of("ratio = 0.5", &[]).unwrap_err().contains("traces.endpoint"));
        assert!(of("endpoint = \"collector:4317\"", &[]).unwrap_err().contains("not gRPC"));
        assert!(of("endpoint = \"http://me:secret@c\"", &[]).unwrap_err().contains("traces.headers"));
        let missing = of("endpoint = \"http://c\"\nheaders = { x = { secret = \"env:NOT_THERE_AT_ALL\" } }", &[]);
        assert!(missing.unwrap_err().contains("NOT_THERE_AT_ALL"));
    }
}
