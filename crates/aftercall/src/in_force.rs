//! The configuration that a dry run goes by: a run that takes a while must not be half of one and half of the next.

use anyhow::ensure;
use event::Timestamp;
use serde_json::Value;

use crate::admin::Admin;
use crate::serve;
use crate::status::age;

/// What the server had in force when a dry run began.
pub(crate) struct InForce {
    config: Value,
}

impl InForce {
    /// Asks for it, before anything is tried.
    pub(crate) fn now(admin: &Admin) -> anyhow::Result<Self> {
        Ok(Self { config: admin.get("status", &[])?["config"].clone() })
    }

    /// Asks again, when all is tried; says what it was tried with.
    ///
    /// # Errors
    /// Another one has come into force meanwhile, so what was counted is of both.
    pub(crate) fn still(&self, admin: &Admin) -> anyhow::Result<String> {
        let after = &admin.get("status", &[])?["config"];
        ensure!(
            after["hash"] == self.config["hash"],
            "the configuration has changed while it was tried, so what was counted is of both; run it again"
        );
        let read = after["loaded_at"].as_i64().map_or(Timestamp::from_millis(0), Timestamp::from_millis);
        let refused = match after["error"].as_str() {
            Some(problem) => format!("; what is in the file now is REFUSED: {problem}"),
            None => String::new(),
        };
        Ok(format!("tried with the configuration that was read {} ago{refused}\n", age(read.until(serve::now()))))
    }
}
