//! Asking a running server: the client of its admin API.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::cli::ServerArgs;
use crate::config;

/// How long the console may take to answer; groups of a million dead letters take some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server's admin API.
pub(crate) struct Admin {
    console: SocketAddr,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// That of the server which the arguments name.
    pub(crate) fn of(args: &ServerArgs) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
        Ok(Self {
            console: args.console.unwrap_or_else(|| file.console_listen()),
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// Asks for JSON.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&self.url(path), query)?;
        Ok(serde_json::from_slice(&self.send(self.client.get(url))?)?)
    }

    /// Asks for bytes.
    pub(crate) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.send(self.client.get(self.url(path)))
    }

    /// Has something done.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(self.client.post(self.url(path)).json(body))?)?)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/{path}", self.console)
    }

    fn send(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        self.runtime.block_on(async {
            let answer = request.send().await.with_context(|| {
                format!(
                    "no server answers at {}; start one with `aftercall serve`, or name its console with --console",
                    self.console
                )
            })?;
            read(answer).await
        })
    }
}

/// The answer's body; an error says what the server says.
async fn read(answer: Response) -> anyhow::Result<Vec<u8>> {
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().map_or_else(|| String::from_utf8_lossy(&body), Into::into);
        anyhow::bail!("the server answered {status}: {detail}");
    }
    Ok(body.into())
}
