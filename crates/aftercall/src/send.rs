//! `aftercall send`: signs files and posts them, as a contact centre would.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use intake::{Secret, SecretFormat, SignatureScheme};
use serde_json::Value;
use tokio::time::Instant;

use crate::cli::SendArgs;
use crate::config::{AuthTable, File, SignatureSetting};
use crate::output;
use crate::serve::{self, now};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends every file `--repeat` times.
pub(crate) fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let (file, _) = serve::configuration(args.config.as_deref(), args.data.clone(), None)?;
    let prove = Prove::of(&file, &args.source)?;
    let url = match &args.url {
        Some(url) => format!("{}/in/{}", url.trim_end_matches('/'), args.source),
        None => {
            let scheme = if file.intake.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}/in/{}", file.intake_options().listen, args.source)
        }
    };
    let bodies = args.files.iter().map(|path| body(path)).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let totals = runtime.block_on(send(args, &url, &prove, &bodies))?;
    output::print(&format!(
        "{}: {} accepted, {}, {} refused\n",
        output::counted(totals.requests, "request"),
        output::counted(totals.accepted, "event"),
        output::counted(totals.duplicates, "duplicate"),
        totals.refused
    ))?;
    Ok(if totals.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn body(path: &Path) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let name = if path == Path::new("-") { "-".to_owned() } else { format!("@{}", path.display()) };
    Ok((path.to_owned(), crate::cli::text_or_file(&name)?))
}

#[derive(Default)]
struct Totals {
    requests: u64,
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

async fn send(args: &SendArgs, url: &str, prove: &Prove, bodies: &[(PathBuf, Vec<u8>)]) -> anyhow::Result<Totals> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let pause = match args.rate {
        Some(rate) if rate.is_finite() && rate > 0.0 => Some(Duration::from_secs_f64(1.0 / rate)),
        Some(_) => anyhow::bail!("--rate must be a number of requests per second above 0"),
        None => None,
    };
    let mut next = Instant::now();
    let mut totals = Totals::default();
    for _ in 0..args.repeat {
        for (path, body) in bodies {
            if let Some(pause) = pause {
                tokio::time::sleep_until(next).await;
                next += pause;
            }
            let request = client.post(url).headers(prove.headers(body)).body(body.clone());
            let answer = request.send().await.with_context(|| format!("sending {} to {url}", path.display()))?;
            let status = answer.status();
            let text = answer.text().await?;
            let json: Value = serde_json::from_str(&text).unwrap_or_default();
            totals.requests += 1;
            if status.is_success() {
                totals.accepted += json["accepted"].as_u64().unwrap_or_default();
                totals.duplicates += json["duplicates"].as_u64().unwrap_or_default();
            } else {
                totals.refused += 1;
                eprintln!("{}: {status}: {}", path.display(), json["detail"].as_str().unwrap_or(&text));
            }
            if args.json {
                output::print(&format!("{text}\n"))?;
            }
        }
    }
    Ok(totals)
}

/// How requests to the source prove where they come from.
enum Prove {
    Sign(SignatureScheme, Secret),
    Header(HeaderName, HeaderValue),
    Nothing,
}

impl Prove {
    fn of(file: &File, source: &str) -> anyhow::Result<Self> {
        let table = file.sources.get(source).with_context(|| {
            let known: Vec<_> = file.sources.keys().map(String::as_str).collect();
            match &known[..] {
                [] => {
                    "the configuration has no sources; add a table [sources.NAME], or leave --config out to send to a \
                       server without a configuration (see aftercall config)"
                        .to_owned()
                }
                [one] => format!("the configuration has no source `{source}`, only `{one}`; use --source {one}"),
                _ => format!(
                    "the configuration has no source `{source}`; use --source with one that it has: {}",
                    known.join(", ")
                ),
            }
        })?;
        let auth = &table.auth;
        if auth.open == Some(true) {
            return Ok(Self::Nothing);
        }
        // With several secrets any will do; the first is the one that stays longest when they are rotated.
        let name = auth.secrets.first().with_context(|| format!("sources.{source}.auth names no secret"))?;
        Self::with(auth, &secret(name)?)
    }

    fn with(auth: &AuthTable, secret: &str) -> anyhow::Result<Self> {
        if let Some(SignatureSetting::Preset(preset)) = &auth.signature {
            let scheme = SignatureScheme::preset(preset).with_context(|| format!("there is no preset `{preset}`"))?;
            let secret = Secret::parse(secret.as_bytes(), scheme.secrets)?;
            return Ok(Self::Sign(scheme, secret));
        }
        if let Some(setting) = &auth.signature {
            let scheme = crate::config::signature_scheme("auth.signature", setting)?;
            return Ok(Self::Sign(scheme, Secret::parse(secret.as_bytes(), SecretFormat::Plain)?));
        }
        let (name, text) = match &auth.api_key {
            Some(name) => (name.parse()?, secret.to_owned()),
            None if auth.bearer == Some(true) => (header::AUTHORIZATION, format!("Bearer {secret}")),
            None => {
                use base64::Engine;
                let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
                (header::AUTHORIZATION, format!("Basic {encoded}"))
            }
        };
        Ok(Self::Header(name, HeaderValue::from_str(&text).context("the secret cannot stand in a header")?))
    }

    fn headers(&self, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Sign(scheme, secret) => {
                // The same body is the same message.
                let message = format!("msg_{:016x}", queue::body_hash(body));
                headers.extend(
                    scheme.sign(secret, &message, body, now()).into_iter().map(|(name, value)| (Some(name), value)),
                );
            }
            Self::Header(name, value) => drop(headers.insert(name, value.clone())),
            Self::Nothing => {}
        }
        headers
    }
}

/// The value of a secret that the configuration names.
fn secret(name: &str) -> anyhow::Result<String> {
    if let Some(text) = crate::config::Secrets::managed("auth.secrets", name) {
        return Ok(text?.trim().to_owned());
    }
    let value = match name.split_once(':') {
        Some(("env", variable)) => {
            std::env::var(variable).with_context(|| format!("the environment variable {variable}"))?
        }
        Some(("file", path)) => std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?,
        _ => anyhow::bail!(
            "a secret of the configuration is not named as \"env:NAME\", \"file:PATH\" or \"secretsmanager:NAME\""
        ),
    };
    let first = value.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(first.with_context(|| format!("{name} is empty"))?.to_owned())
}
