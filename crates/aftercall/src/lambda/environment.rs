//! What the function's environment says: its role, its configuration, and what the template has made for it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// The names of the variables.
const ROLE: &str = "AFTERCALL_ROLE";
const CONFIG: &str = "AFTERCALL_CONFIG";
const TABLE: &str = "AFTERCALL_TABLE";
const WAKE: &str = "AFTERCALL_WAKE_QUEUE_URL";
const BODIES: &str = "AFTERCALL_BODIES_BUCKET";
const CONFIG_AGE: &str = "AFTERCALL_CONFIG_AGE";

/// How long a configuration without a version is used before it is looked at again, unless the environment says it: soon
/// enough for people, and no cost.
const CONFIG_AGE_DEFAULT: Duration = Duration::from_secs(300);

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Ingest,
    Route,
    Deliver,
    Review,
    Upkeep,
}

impl Role {
    const ALL: [(&'static str, Self); 5] = [
        ("ingest", Self::Ingest),
        ("route", Self::Route),
        ("deliver", Self::Deliver),
        ("review", Self::Review),
        ("upkeep", Self::Upkeep),
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, role)| role == self).map_or("", |(name, _)| name))
    }
}

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) role: Role,
    /// Where the configuration is.
    pub(super) config: String,
    /// How long it is used before it is looked at again, if it has no version.
    pub(super) config_age: Duration,
    /// The table of the queue, instead of the configured one.
    pub(super) table: Option<String>,
    /// The bucket for large bodies, instead of the configured one.
    pub(super) bodies: Option<String>,
    /// Where wake-ups are sent.
    pub(super) wake: String,
}

impl Environment {
    /// Reads it, and refuses what is missing.
    pub(super) fn read() -> anyhow::Result<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let get = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let roles = Role::ALL.map(|(name, _)| name).join(", ");
        let wanted = get(ROLE).with_context(|| format!("{ROLE} is not set; it is one of {roles}"))?;
        let Some((_, role)) = Role::ALL.into_iter().find(|(name, _)| *name == wanted) else {
            bail!("{ROLE} is `{wanted}`, which is no role; it is one of {roles}");
        };
        let config = get(CONFIG).with_context(|| {
            format!("{CONFIG} is not set; write ssm:NAME, ssm:NAME:VERSION, s3://BUCKET/KEY or the path of a file")
        })?;
        let wake = get(WAKE).with_context(|| {
            format!("{WAKE} is not set; name the standard queue of SQS that the function with the role `deliver` reads")
        })?;
        let config_age = get(CONFIG_AGE).map(|text| humantime::parse_duration(&text)).transpose();
        let config_age = config_age.with_context(|| format!("{CONFIG_AGE} is no time; write 5m, or leave it out"))?;
        let config_age = config_age.unwrap_or(CONFIG_AGE_DEFAULT);
        Ok(Self { role, config, config_age, table: get(TABLE), bodies: get(BODIES), wake })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        Environment::of(find).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        assert!(of(&[]).unwrap_err().contains("AFTERCALL_ROLE is not set; it is one of ingest, route"));
        assert!(of(&[(ROLE, "sort")]).unwrap_err().contains("`sort`, which is no role"));
        assert!(of(&[(ROLE, "ingest")]).unwrap_err().contains("ssm:NAME:VERSION"));
        assert!(of(&[(ROLE, "ingest"), (CONFIG, "ssm:a")]).unwrap_err().contains(WAKE));
        let all = of(&[(ROLE, "ingest"), (CONFIG, "ssm:a"), (WAKE, "http://q"), (TABLE, " ")]).unwrap();
        assert_eq!((all.role, all.table), (Role::Ingest, None));
        for (name, role) in Role::ALL {
            assert_eq!(role.to_string(), name);
        }
    }
}
