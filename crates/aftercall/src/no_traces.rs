//! Traces in a build that cannot export them: there are none. A configuration that wants some is refused.

use std::time::Duration;

use crate::config::TraceOptions;

/// None.
pub(crate) struct Traces;

impl Traces {
    /// Never asked for: no configuration of such a build gives options.
    pub(crate) fn start(_: TraceOptions) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Nothing waits.
    pub(crate) async fn flush(&self, _: Duration) {}
}
