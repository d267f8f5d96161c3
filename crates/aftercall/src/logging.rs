//! The log of a running server: one line an event on standard error, text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// What verifies certificates writes an ERROR at every attempt. The attempt fails with the same text, and that is logged once
/// an outage.
const VERIFIER: &str = "rustls_platform_verifier";

/// Sets the log up. `AFTERCALL_LOG` takes a filter such as `info` or `intake=debug,info`.
pub(crate) fn start(format: LogFormat) {
    let wanted = std::env::var("AFTERCALL_LOG").unwrap_or_default();
    let without_verifier = |wanted: &str| match wanted.contains(VERIFIER) {
        true => wanted.to_owned(),
        false => format!("{wanted},{VERIFIER}=off"),
    };
    let filter = Some(&*wanted).filter(|wanted| !wanted.trim().is_empty());
    let filter = filter.and_then(|wanted| EnvFilter::try_new(without_verifier(wanted)).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(without_verifier("info")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
