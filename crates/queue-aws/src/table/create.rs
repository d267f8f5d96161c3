//! Making the table, for tests, for trying out and for those who need no template.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    TableStatus, TimeToLiveSpecification,
};
use queue::QueueError;

use super::failure::wrong;

/// The attribute by which DynamoDB drops what has expired. The program compares times itself and does not rely on it.
pub(super) const EXPIRES: &str = "expires";

/// How often it is looked whether a new table is active, and the pause in between: a minute, of which DynamoDB needs some
/// seconds.
const LOOKS: usize = 300;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Makes the table with what the queue needs of it, unless it is there: two keys, billing on demand. What has expired is
/// dropped only after [`expire`].
///
/// # Errors
/// When DynamoDB refuses it or cannot be reached.
pub async fn create_table(client: &Client, name: &str) -> Result<(), QueueError> {
    let built = |error: aws_sdk_dynamodb::error::BuildError| QueueError::Invalid(format!("table `{name}`: {error}"));
    let mut request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let definition = AttributeDefinition::builder().attribute_name(attribute);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().map_err(built)?;
        let schema = KeySchemaElement::builder().attribute_name(attribute).key_type(kind).build().map_err(built)?;
        request = request.attribute_definitions(definition).key_schema(schema);
    }
    if let Err(error) = request.send().await {
        let there = error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception());
        if !there {
            return Err(wrong(name, "making", &error));
        }
    }
    for _ in 0..LOOKS {
        let answer = client.describe_table().table_name(name).send().await;
        let answer = answer.map_err(|error| wrong(name, "describing", &error))?;
        if answer.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(QueueError::Transient { detail: format!("table `{name}` is still not active; try again in a minute") })
}

/// Has DynamoDB drop what has expired: claims of identities, long after their events are gone. The queue works without it
/// and grows.
///
/// # Errors
/// When DynamoDB refuses it or cannot be reached.
pub async fn expire(client: &Client, name: &str) -> Result<(), QueueError> {
    let built = |error: aws_sdk_dynamodb::error::BuildError| QueueError::Invalid(format!("table `{name}`: {error}"));
    let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true).build().map_err(built)?;
    let request = client.update_time_to_live().table_name(name).time_to_live_specification(expiry);
    match request.send().await {
        Err(error) if error.message().is_some_and(|said| said.contains("already enabled")) => Ok(()),
        Err(error) => Err(wrong(name, "setting the expiry of", &error)),
        Ok(_) => Ok(()),
    }
}

/// Has DynamoDB keep what the table was at each moment of the last 35 days (point-in-time recovery).
///
/// # Errors
/// When DynamoDB refuses it or cannot be reached.
pub async fn back_up(client: &Client, name: &str) -> Result<(), QueueError> {
    let built = |error: aws_sdk_dynamodb::error::BuildError| QueueError::Invalid(format!("table `{name}`: {error}"));
    let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
    let recovery = recovery.build().map_err(built)?;
    let mut looks = 0;
    loop {
        let request = client.update_continuous_backups().table_name(name);
        let Err(error) = request.point_in_time_recovery_specification(recovery.clone()).send().await else {
            return Ok(());
        };
        // A new table is still being prepared for it.
        let is_early =
            error.as_service_error().is_some_and(|error| error.is_continuous_backups_unavailable_exception());
        if !is_early || looks >= LOOKS {
            return Err(wrong(name, "setting the recovery of", &error));
        }
        looks += 1;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
