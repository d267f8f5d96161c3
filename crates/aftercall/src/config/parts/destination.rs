//! Destinations, as delivery wants them.

mod aws;
mod objects;
mod parquet;
mod place;
mod postgres;
mod recipe;
mod transcripts;

use std::path::Path;
use std::sync::Arc;

use delivery::{Backoff, BreakerOptions, RateOptions};
use destinations::file::FileDestination;
use destinations::http::{Auth, HeaderText, Options, Statuses};
use destinations::{Destination, OpenError};
use http::HeaderName;
use queue::{BehindDead, Order};

#[cfg(feature = "parquet")]
pub(crate) use self::parquet::{JOURNALS as PARQUET_JOURNALS, options as parquet_options};
use super::super::file::{DestinationKind, DestinationTable, HeaderSetting, OutgoingAuth, RateTable};
use super::super::{ConfigError, Platform, Secrets};
use super::{DestinationParts, Fetching, Made, Opened, Setting, refuse};

/// Makes a destination, of what a running server has opened where that is the same.
pub(super) fn make(
    name: &str,
    table: &DestinationTable,
    data: &Path,
    platform: Option<&Platform>,
    opened: &Opened,
) -> Result<DestinationParts, ConfigError> {
    let delivery = delivery_options(table);
    delivery.check().map_err(|error| ConfigError::value(format!("destinations.{name}"), error))?;
    transcripts::refuse_elsewhere(name, table)?;
    let fetches = table.kind == DestinationKind::Transcripts;
    let asked = platform.filter(|_| fetches).map(|platform| platform.table.clone());
    let setting = Setting { table: table.clone(), ca: ca(name, table)?, platform: asked };
    if table.kind == DestinationKind::File {
        // What may not stand there is refused of an open file too.
        file_options(name, table)?;
    }
    let behind_dead = behind_dead(name, table)?;
    let destination = match opened.find(name, &setting) {
        Some(destination) => destination,
        None => {
            let fetching = fetches.then(|| Fetching::new(table.schedule().give_up));
            let asked = platform.cloned().zip(fetching.clone());
            let (at, data) = (name.to_owned(), data.to_owned());
            let (setting, delivery) = (setting.clone(), delivery.clone());
            let open = move || open(&at, &setting, &data, &delivery, asked.as_ref());
            let made = match open() {
                Ok(destination) => Made::of(destination),
                // Its events wait, and nobody else is concerned.
                Err(error @ ConfigError::Unusable { .. }) if opened.at_start() => {
                    Made::unusable(name, &error, Box::new(open))
                }
                Err(error) => return Err(error),
            };
            made.that_fetches(fetching)
        }
    };
    let (name, order) = (Arc::from(name), table.order());
    Ok(DestinationParts { name, order, behind_dead, delivery, destination, setting })
}

fn open(
    name: &str,
    Setting { table, ca, .. }: &Setting,
    data: &Path,
    delivery: &delivery::Options,
    asked: Option<&(Platform, Fetching)>,
) -> Result<Arc<dyn Destination>, ConfigError> {
    match table.kind {
        DestinationKind::Http => http(name, table, delivery, ca.clone()),
        DestinationKind::File => file(name, table),
        DestinationKind::Postgres => postgres::open(name, table, delivery, ca.clone()),
        DestinationKind::Parquet => parquet::open(name, table, data),
        DestinationKind::Objects => objects::open(name, table, delivery),
        DestinationKind::Sqs | DestinationKind::EventBridge => aws::open(name, table, delivery),
        DestinationKind::Transcripts => transcripts::open(name, table, asked),
    }
}

/// What the queue has to know of one.
pub(super) fn consumer(name: Arc<str>, table: &DestinationTable) -> Result<queue::Consumer, ConfigError> {
    let behind_dead = behind_dead(&name, table)?;
    Ok(queue::Consumer { name, order: table.order(), behind_dead })
}

fn behind_dead(name: &str, table: &DestinationTable) -> Result<BehindDead, ConfigError> {
    match table.behind_dead {
        Some(BehindDead::Hold) if table.order() == Order::None => Err(ConfigError::value(
            format!("destinations.{name}.behind_dead"),
            "is \"hold\", which means nothing without an order; set order = \"conversation\", or take it out",
        )),
        behind_dead => Ok(behind_dead.unwrap_or_default()),
    }
}

fn ca(name: &str, table: &DestinationTable) -> Result<Option<Vec<u8>>, ConfigError> {
    let failed = |path: &std::path::Path, error| {
        ConfigError::value(format!("destinations.{name}.ca"), format!("{}: {error}", path.display()))
    };
    let has_one = matches!(table.kind, DestinationKind::Http | DestinationKind::Postgres);
    let path = table.ca.as_ref().filter(|_| has_one);
    path.map(|path| std::fs::read(path).map_err(|error| failed(path, error))).transpose()
}

/// Whether [`make`] would make it. Opens no file, so a running server can keep what it has.
pub(super) fn check(
    name: &str,
    table: &DestinationTable,
    data: &Path,
    platform: Option<&Platform>,
) -> Result<(), ConfigError> {
    transcripts::refuse_elsewhere(name, table)?;
    match table.kind {
        DestinationKind::Http => make(name, table, data, None, &Opened::default()).map(drop),
        DestinationKind::File => {
            behind_dead(name, table)?;
            FileDestination::check(&file_options(name, table)?).map_err(|error| refused(name, error))
        }
        DestinationKind::Postgres => {
            behind_dead(name, table)?;
            let delivery = delivery_options(table);
            delivery.check().map_err(cannot_open(name))?;
            postgres::check(name, table, &delivery, ca(name, table)?)
        }
        DestinationKind::Sqs | DestinationKind::EventBridge => {
            behind_dead(name, table)?;
            let delivery = delivery_options(table);
            delivery.check().map_err(cannot_open(name))?;
            aws::check(name, table, &delivery)
        }
        DestinationKind::Parquet | DestinationKind::Objects | DestinationKind::Transcripts => {
            behind_dead(name, table)?;
            let delivery = delivery_options(table);
            delivery.check().map_err(cannot_open(name))?;
            match table.kind {
                DestinationKind::Parquet => parquet::check(name, table, data),
                DestinationKind::Transcripts => transcripts::check(name, table, platform),
                _ => objects::check(name, table, &delivery),
            }
        }
    }
}

/// Why a destination cannot be opened: for its settings, or for what they name.
fn refused(name: &str, error: OpenError) -> ConfigError {
    let at = format!("destinations.{name}");
    match error {
        OpenError::Option { key, problem } => ConfigError::value(format!("{at}.{key}"), problem),
        OpenError::Place { key, problem } => ConfigError::Unusable { key: format!("{at}.{key}"), problem },
        error if error.is_of_settings() => ConfigError::value(at, error),
        error => ConfigError::Unusable { key: at, problem: error.to_string() },
    }
}

fn cannot_open<E: std::fmt::Display>(name: &str) -> impl FnOnce(E) -> ConfigError {
    let key = format!("destinations.{name}");
    move |error| ConfigError::value(key, error.to_string())
}

fn delivery_options(table: &DestinationTable) -> delivery::Options {
    let mut options = delivery::Options::default();
    if table.kind == DestinationKind::Transcripts {
        options.concurrency = ::transcripts::Options::CONCURRENCY;
        // An answer that nothing is there takes a moment, and a download minutes: that says nothing of the platform.
        options.adaptive = false;
    }
    options.concurrency = table.concurrency.unwrap_or(options.concurrency);
    options.timeout = table.attempt().unwrap_or(options.timeout);
    options.attempts = table.attempts.unwrap_or(options.attempts);
    options.max_payload = table.max_payload.map_or(options.max_payload, |size| size.0);
    if let Some(backoff) = table.backoff {
        let Backoff { base, cap } = options.backoff;
        options.backoff =
            Backoff { base: backoff.base.map_or(base, |time| time.0), cap: backoff.cap.map_or(cap, |time| time.0) };
    }
    if let Some(breaker) = table.breaker {
        let BreakerOptions { window, minimum, percent, pause } = options.breaker;
        options.breaker = BreakerOptions {
            window: breaker.window.map_or(window, |time| time.0),
            minimum: breaker.minimum.unwrap_or(minimum),
            percent: breaker.percent.unwrap_or(percent),
            pause: breaker.pause.map_or(pause, |time| time.0),
        };
    }
    // A call with more records takes longer, which is no sign that there are too many.
    options.adaptive = table.adaptive.unwrap_or(options.adaptive && !recipe::shares_calls(table));
    if let Some(RateTable { per_second, per_minute, per_day }) = table.rate {
        options.rate = RateOptions { per_second, per_minute, per_day };
    }
    options
}

fn file(name: &str, table: &DestinationTable) -> Result<Arc<dyn Destination>, ConfigError> {
    let opened = FileDestination::open(file_options(name, table)?).map_err(|error| refused(name, error))?;
    Ok(Arc::new(opened))
}

fn file_options(name: &str, table: &DestinationTable) -> Result<destinations::file::Options, ConfigError> {
    let key = |key: &str| format!("destinations.{name}.{key}");
    refuse(name, "file", &[("url", table.url.is_some()), ("ca", table.ca.is_some())])?;
    refuse(name, "file", &http_keys(table))?;
    refuse(name, "file", &postgres::keys(table))?;
    refuse(name, "file", &place::of(name, table).bucket_keys())?;
    refuse(name, "file", &parquet::keys(table))?;
    refuse(name, "file", &objects::keys(table))?;
    refuse(name, "file", &aws::keys(table))?;
    let path =
        table.path.clone().ok_or_else(|| ConfigError::value(key("path"), "is missing; name the file to write"))?;
    Ok(destinations::file::Options::new(path))
}

/// The keys that only `http` knows.
fn http_keys(table: &DestinationTable) -> [(&'static str, bool); 9] {
    let [recipe, api_version, max_records] = recipe::keys(table);
    [
        recipe,
        api_version,
        max_records,
        ("method", table.method.is_some()),
        ("auth", table.auth.is_some()),
        ("headers", table.headers.is_some()),
        ("idempotency_header", table.idempotency_header.is_some()),
        ("success", table.success.is_some()),
        ("transient", table.transient.is_some()),
    ]
}

fn http(
    name: &str,
    table: &DestinationTable,
    delivery: &delivery::Options,
    ca_pem: Option<Vec<u8>>,
) -> Result<Arc<dyn Destination>, ConfigError> {
    let key = |key: &str| format!("destinations.{name}.{key}");
    let mut others = vec![("path", table.path.is_some())];
    others.extend(postgres::keys(table));
    others.extend(objects::keys(table));
    others.retain(|(key, _)| !recipe::SHARED.contains(key));
    refuse(name, "http", &others)?;
    refuse(name, "http", &place::of(name, table).bucket_keys())?;
    refuse(name, "http", &parquet::keys(table))?;
    refuse(name, "http", &aws::keys(table))?;
    let url = table
        .url
        .as_deref()
        .ok_or_else(|| ConfigError::value(key("url"), "is missing; name the address to send to"))?;
    let mut options = Options::new(url.parse().map_err(|error| ConfigError::value(key("url"), error))?);
    options.timeout = delivery.timeout;
    options.connections = delivery.concurrency;
    if let Some(method) = &table.method {
        options.method =
            method.parse().map_err(|_| ConfigError::value(key("method"), format!("`{method}` is no method")))?;
    }
    if let Some(auth) = &table.auth {
        options.auth = outgoing_auth(&key("auth"), auth, ca_pem.clone())?;
    }
    for (header, setting) in table.headers.iter().flatten() {
        let at = key(&format!("headers.{header}"));
        let text = match setting {
            HeaderSetting::Plain(text) => HeaderText::Plain(text.clone()),
            HeaderSetting::Secret { secret } => HeaderText::Secret(Secrets::find(&at, secret)?),
        };
        options.headers.push((header_name(&at, header)?, text));
    }
    match table.idempotency_header.as_deref() {
        Some("") => options.idempotency_header = None,
        Some(header) => options.idempotency_header = Some(header_name(&key("idempotency_header"), header)?),
        None => {}
    }
    let statuses =
        |at: &str, list: &Vec<String>| Statuses::from_list(list).map_err(|error| ConfigError::value(key(at), error));
    if let Some(list) = &table.success {
        options.success = statuses("success", list)?;
    }
    if let Some(list) = &table.transient {
        options.transient = statuses("transient", list)?;
    }
    options.ca_pem = ca_pem;
    recipe::open(name, table, options)
}

fn outgoing_auth(key: &str, table: &OutgoingAuth, ca_pem: Option<Vec<u8>>) -> Result<Auth, ConfigError> {
    let find = |at: &str, name: &str| Secrets::find(&format!("{key}.{at}"), name);
    if let Some(oauth) = &table.oauth
        && *table == (OutgoingAuth { oauth: Some(oauth.clone()), ..OutgoingAuth::default() })
    {
        return Ok(Auth::OAuth(oauth.source(&format!("{key}.oauth"), ca_pem)?));
    }
    match table {
        OutgoingAuth { bearer: Some(token), basic: None, password: None, api_key: None, secret: None, oauth: None } => {
            Ok(Auth::Bearer(find("bearer", token)?))
        }
        OutgoingAuth {
            bearer: None,
            basic: Some(user),
            password: Some(password),
            api_key: None,
            secret: None,
            oauth: None,
        } => Ok(Auth::Basic { user: user.clone(), password: find("password", password)? }),
        OutgoingAuth {
            bearer: None,
            basic: None,
            password: None,
            api_key: Some(header),
            secret: Some(secret),
            oauth: None,
        } => Ok(Auth::ApiKey { header: header_name(&format!("{key}.api_key"), header)?, key: find("secret", secret)? }),
        _ => Err(ConfigError::value_with_help(
            key,
            "needs `bearer`, or `basic` with `password`, or `api_key` with `secret`, or `oauth`, and nothing else",
            "for example auth = { bearer = \"env:CRM_TOKEN\" }",
        )),
    }
}

fn header_name(key: &str, name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|_| ConfigError::value(key, format!("`{name}` is no name of a header")))
}
