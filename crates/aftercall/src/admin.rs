//! Asking a running server: the client of its admin API.

use std::time::Duration;

use anyhow::Context;
use console::VERSION_HEADER;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::{ConsoleAddress, ServerArgs};
use crate::{config, output};

/// How long the console may take to answer; groups of a million dead letters take some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a stream may last; how long it may pause is another matter.
const STREAM_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// What is said when an answer ends before its end.
const BROKEN: &str = "the server's answer broke off; what came is not whole";

/// Where a token is looked for when none is named.
const TOKEN_VARIABLE: &str = "AFTERCALL_TOKEN";
/// What is said when a file does not tell where the server is.
const UNKNOWN: &str = "the configuration does not say where the server is; name its console with --console ADDRESS";
/// Items of a page that is asked for when all are wanted.
const PAGE: &str = "1000";

/// A running server's admin API.
pub(crate) struct Admin {
    console: ConsoleAddress,
    token: Option<String>,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// That of the server which the arguments name. A file that the server would refuse is good enough to find it.
    pub(crate) fn of(args: &ServerArgs) -> anyhow::Result<Self> {
        let console = match (&args.console, &args.config) {
            (Some(console), _) => console.clone(),
            (None, Some(path)) => {
                let file = config::whereabouts(path).inspect_err(|_| output::warn(UNKNOWN))?;
                ConsoleAddress::from(file.console_listen())
            }
            (None, None) => ConsoleAddress::from(config::File::default().console_listen()),
        };
        Ok(Self {
            console,
            token: token(args)?,
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// Asks for JSON.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&self.url(path), query)?;
        Ok(serde_json::from_slice(&self.send(self.client.get(url))?)?)
    }

    /// Asks for a page of a list. Whoever goes on by hand goes on after one that is seen, and not at a cursor.
    pub(crate) fn page(&self, path: &str, items: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut page = self.get(path, query)?;
        if !page["next"].is_null() {
            let last = page[items].as_array().and_then(|items| items.last());
            page["next"] = last.map_or(Value::Null, |last| last["id"].clone());
        }
        Ok(page)
    }

    /// Asks for lines, and hands each to `each` as it comes, without its end.
    pub(crate) fn get_lines(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut line = Vec::new();
        self.get_stream(path, query, |chunk| {
            let mut parts = chunk.split(|byte| *byte == b'\n').peekable();
            while let Some(part) = parts.next() {
                line.extend_from_slice(part);
                if parts.peek().is_some() {
                    each(&line)?;
                    line.clear();
                }
            }
            Ok(())
        })?;
        anyhow::ensure!(line.is_empty(), BROKEN);
        Ok(())
    }

    /// Asks for bytes, and hands them to `each` as they come.
    pub(crate) fn get_stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let url = reqwest::Url::parse_with_params(&self.url(path), query)?;
        let request = self.authorised(self.client.get(url).timeout(STREAM_LIMIT));
        self.runtime.block_on(async {
            let mut answer = self.answer(request).await?;
            if !answer.status().is_success() {
                return read(answer).await.map(drop);
            }
            while let Some(chunk) = timeout(PATIENCE, answer.chunk()).await.context(BROKEN)?.context(BROKEN)? {
                each(&chunk)?;
            }
            Ok(())
        })
    }

    /// Asks for all groups of dead letters, page by page.
    pub(crate) fn groups(&self, selection: &[(&str, String)]) -> anyhow::Result<Vec<Value>> {
        let (mut groups, mut cursor) = (Vec::new(), None);
        loop {
            let here = cursor.map(|cursor| ("cursor", cursor));
            let query: Vec<_> = selection.iter().cloned().chain([("limit", PAGE.to_owned())]).chain(here).collect();
            let mut page = self.get("dead-letter-groups", &query)?;
            if let Some(found) = page["groups"].as_array_mut() {
                groups.append(found);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(groups);
            }
        }
    }

    /// Asks for bytes.
    pub(crate) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.send(self.client.get(self.url(path)))
    }

    /// Has something done.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(self.client.post(self.url(path)).json(body))?)?)
    }

    /// Has something done that may take long.
    pub(crate) fn post_and_wait(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(self.url(path)).timeout(STREAM_LIMIT).json(body);
        Ok(serde_json::from_slice(&self.send(request)?)?)
    }

    /// Puts something there: JSON, as it is.
    pub(crate) fn put(&self, path: &str, query: &[(&str, String)], body: Vec<u8>) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&self.url(path), query)?;
        let request = self.client.put(url).header("content-type", "application/json").body(body);
        Ok(serde_json::from_slice(&self.send(request)?)?)
    }

    /// Takes something away.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(self.client.delete(self.url(path)))?)?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.console)
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn send(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let request = self.authorised(request);
        self.runtime.block_on(async { read(self.answer(request).await?).await })
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.send().await.with_context(|| {
            format!(
                "no server answers at {}; start one with `aftercall serve`, or name its console with --console",
                self.console
            )
        })?;
        anyhow::ensure!(
            answer.headers().contains_key(VERSION_HEADER),
            "what answers at {} is not the console of Aftercall ({}); name its console with --console",
            self.console,
            answer.status()
        );
        Ok(answer)
    }
}

/// The server cannot use the configuration that it was told to read.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is refused, and the one before stays in force: {0}")]
pub(crate) struct ConfigRefused(String);

/// The server has answered that it does not do this, so that the same request would be refused again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// What is said of work in steps that has ended early: after `done`, how it goes on once the reason is gone.
pub(crate) fn broken_off(error: anyhow::Error, nothing_done: bool, done: &str, goes_on: &str) -> anyhow::Error {
    match error.is::<Refused>() {
        // Nothing was begun, and what is missing stands in the answer.
        true if nothing_done => error,
        true => error.context(format!("{done}; when what the server says is mended, {goes_on}")),
        false => error.context(format!("{done}; when the server answers again, {goes_on}")),
    }
}

/// The token that the arguments name, or else the environment.
fn token(args: &ServerArgs) -> anyhow::Result<Option<String>> {
    let text = match (&args.token, &args.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(path)) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("reading the token in {}", path.display()))?)
        }
        (None, None) => std::env::var(TOKEN_VARIABLE).ok(),
    };
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// The answer's body; an error says what the server says.
async fn read(answer: Response) -> anyhow::Result<Vec<u8>> {
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().map_or_else(|| String::from_utf8_lossy(&body), Into::into);
        if problem["code"] == "config-refused" {
            return Err(ConfigRefused(detail.into_owned()).into());
        }
        let cure = match status.as_u16() {
            401 => format!("; name a good one with --token-file or {TOKEN_VARIABLE}"),
            _ => String::new(),
        };
        // What it has no time or room for now, it may do later.
        let later = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let told = format!("the server answered {status}: {detail}{cure}");
        return Err(if later { anyhow::anyhow!(told) } else { Refused(told).into() });
    }
    Ok(body.into())
}
