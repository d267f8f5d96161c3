//! What can go wrong in the simulator itself; what goes wrong at the other side is counted in reports.

use std::io;
use std::net::SocketAddr;

/// The simulator could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A setting cannot be used; the text names it and says what to change.
    #[error("{setting}: {cure}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong and what to use instead.
        cure: String,
    },
    /// The address is not on this machine. The simulator talks to loopback addresses only.
    #[error("{0} is not a loopback address: use 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    /// A socket, a thread or a runtime could not be set up.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

impl SimulatorError {
    pub(crate) fn setting(setting: &'static str, cure: impl Into<String>) -> Self {
        Self::Setting { setting, cure: cure.into() }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Refuses an address that is not on this machine.
pub(crate) fn loopback(address: SocketAddr) -> Result<SocketAddr, SimulatorError> {
    if address.ip().is_loopback() { Ok(address) } else { Err(SimulatorError::NotLoopback(address)) }
}
