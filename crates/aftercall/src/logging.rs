//! The log of a running server: one line an event on standard error, text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Sets the log up. `AFTERCALL_LOG` takes a filter such as `info` or `intake=debug,info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("AFTERCALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
