//! Looking whether a table is as the queue needs it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    ContinuousBackupsStatus, KeyType, PointInTimeRecoveryStatus, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveStatus,
};
use queue::QueueError;

use super::create::EXPIRES;
use super::failure::wrong;

/// What a table lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What, in one line.
    pub what: String,
    /// What to do about it.
    pub cure: &'static str,
    /// Whether the queue cannot be there as it is.
    pub fatal: bool,
}

/// What a table lacks to be a queue that loses nothing; nothing if it is as [`super::create_table`], [`super::expire`] and
/// [`super::back_up`] make it.
///
/// # Errors
/// When DynamoDB refuses to tell or cannot be reached.
pub async fn check_table(client: &Client, name: &str) -> Result<Vec<Lack>, QueueError> {
    let described = match client.describe_table().table_name(name).send().await {
        Ok(described) => described.table,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => None,
        Err(error) => return Err(wrong(name, "describing", &error)),
    };
    let Some(table) = described else {
        return Ok(vec![Lack {
            what: format!("table `{name}` is not there, in this region and account"),
            cure: "make it with `aftercall aws table create`, or mend queue.table and queue.region",
            fatal: true,
        }]);
    };
    let mut lacks = of_keys(name, &table);
    let expiry = client.describe_time_to_live().table_name(name).send().await;
    let expiry = expiry.map_err(|error| wrong(name, "asking for the expiry of", &error))?.time_to_live_description;
    let is_on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
    let expires = expiry.is_some_and(|expiry| {
        expiry.time_to_live_status().is_some_and(is_on) && expiry.attribute_name() == Some(EXPIRES)
    });
    if !expires {
        lacks.push(Lack {
            what: format!("time to live is not on by the attribute `{EXPIRES}`, so identities are kept for good"),
            cure: "`aftercall aws table create` switches it on",
            fatal: false,
        });
    }
    let backups = client.describe_continuous_backups().table_name(name).send().await;
    let backups = backups.map_err(|error| wrong(name, "asking for the recovery of", &error))?;
    let is_kept = backups.continuous_backups_description.is_some_and(|backups| {
        let recovery = backups.point_in_time_recovery_description();
        *backups.continuous_backups_status() == ContinuousBackupsStatus::Enabled
            && recovery.and_then(|of| of.point_in_time_recovery_status()) == Some(&PointInTimeRecoveryStatus::Enabled)
    });
    if !is_kept {
        lacks.push(Lack {
            what: "point-in-time recovery is off, so damage by people or programs could not be undone".to_owned(),
            cure: "`aftercall aws table create` switches it on",
            fatal: false,
        });
    }
    Ok(lacks)
}

fn of_keys(name: &str, table: &TableDescription) -> Vec<Lack> {
    let is_text = |wanted: &str| {
        let mut definitions = table.attribute_definitions().iter();
        definitions.any(|of| of.attribute_name() == wanted && *of.attribute_type() == ScalarAttributeType::S)
    };
    let is_key = |wanted: &str, kind: &KeyType| {
        table.key_schema().iter().any(|of| of.attribute_name() == wanted && of.key_type() == kind) && is_text(wanted)
    };
    let mut lacks = Vec::new();
    if !is_key("pk", &KeyType::Hash) || !is_key("sk", &KeyType::Range) {
        let has = table.key_schema().iter().map(|of| format!("{} ({})", of.attribute_name(), of.key_type()));
        lacks.push(Lack {
            what: format!(
                "table `{name}` has the keys {}, and needs the texts pk (HASH) and sk (RANGE)",
                has.collect::<Vec<_>>().join(", ")
            ),
            cure: "name another table in queue.table and make it with `aftercall aws table create`; keys cannot be changed",
            fatal: true,
        });
    }
    if table.table_status() != Some(&TableStatus::Active) && table.table_status() != Some(&TableStatus::Updating) {
        lacks.push(Lack {
            what: format!("table `{name}` is {}", table.table_status().map_or("in no state", TableStatus::as_str)),
            cure: "wait until it is active",
            fatal: true,
        });
    }
    lacks
}
