//! Destinations of kind `http` with a recipe.

use std::sync::Arc;

use destinations::Destination;
use destinations::http::{HttpDestination, Options as HttpOptions};
use destinations::recipe::{Options, Recipe, RecipeDestination};
use http::Method;

use super::super::super::ConfigError;
use super::super::super::file::{DestinationTable, KeySetting, RecipeSetting};
use super::refused;

/// The keys that mean something with a recipe alone, and the keys of other kinds that do too.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 3] {
    [
        ("recipe", table.recipe.is_some()),
        ("api_version", table.api_version.is_some()),
        ("max_records", table.max_records.is_some()),
    ]
}

/// The keys of other kinds that mean something with a recipe.
pub(super) const SHARED: [&str; 3] = ["connections", "key", "object"];

/// Whether several records are written in one call.
pub(super) fn shares_calls(table: &DestinationTable) -> bool {
    let many = matches!(table.recipe, Some(RecipeSetting::Salesforce | RecipeSetting::HubSpot));
    many && table.max_records != Some(1)
}

/// Makes it, of the options that the keys of `http` give.
pub(super) fn open(
    name: &str,
    table: &DestinationTable,
    http: HttpOptions,
) -> Result<Arc<dyn Destination>, ConfigError> {
    match table.recipe {
        None => {
            refuse(name, "without a recipe", &keys(table))?;
            refuse(name, "without a recipe", &shared(table))?;
            plain(name, http)
        }
        Some(RecipeSetting::Put) => {
            refuse(name, "with recipe = \"put\"", &set_by_recipes(table)[..1])?;
            refuse(name, "with recipe = \"put\"", &keys(table)[1..])?;
            refuse(name, "with recipe = \"put\"", &shared(table))?;
            put(name, http)
        }
        Some(RecipeSetting::Salesforce) => records(name, table, http, Recipe::Salesforce),
        Some(RecipeSetting::HubSpot) => records(name, table, http, Recipe::HubSpot),
        Some(RecipeSetting::Dataverse) => records(name, table, http, Recipe::Dataverse),
    }
}

fn plain(name: &str, http: HttpOptions) -> Result<Arc<dyn Destination>, ConfigError> {
    let opened = HttpDestination::open(http);
    Ok(Arc::new(opened.map_err(|error| ConfigError::value(format!("destinations.{name}"), error))?))
}

/// Each delivery is a resource of its own, so writing it twice is writing it once.
fn put(name: &str, mut http: HttpOptions) -> Result<Arc<dyn Destination>, ConfigError> {
    http.method = Method::PUT;
    if http.url.fixed().is_some() {
        return Err(ConfigError::value_with_help(
            format!("destinations.{name}.url"),
            "is the same for every delivery, so with recipe = \"put\" each would overwrite the one before",
            "put what tells them apart into it, such as https://crm.example.com/outcomes/{event_id}",
        ));
    }
    plain(name, http)
}

fn records(
    name: &str,
    table: &DestinationTable,
    http: HttpOptions,
    recipe: Recipe,
) -> Result<Arc<dyn Destination>, ConfigError> {
    let at = |key: &str| format!("destinations.{name}.{key}");
    refuse(name, "with this recipe, which sets it", &set_by_recipes(table))?;
    let object = table.object.clone().ok_or_else(|| ConfigError::value(at("object"), missing_object(recipe)))?;
    let key = match &table.key {
        None => return Err(ConfigError::value(at("key"), missing_key(recipe))),
        Some(KeySetting::One(key)) => vec![key.clone()],
        Some(KeySetting::Several(keys)) => keys.clone(),
    };
    let mut options = Options::new(recipe, http, object, key);
    options.version = table.api_version.clone().unwrap_or(options.version);
    options.max_records = table.max_records.unwrap_or(options.max_records);
    options.connections = table.connections.unwrap_or(options.connections);
    Ok(Arc::new(RecipeDestination::open(options).map_err(|error| refused(name, error))?))
}

fn missing_object(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Salesforce => "is missing; name the sObject, such as \"Call_Outcome__c\"",
        Recipe::HubSpot => "is missing; name the type of objects, such as \"calls\" or \"2-1234567\"",
        Recipe::Dataverse => "is missing; name the entity set, such as \"phonecalls\"",
    }
}

fn missing_key(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Salesforce => "is missing; name the external id field, such as \"Aftercall_Id__c\"",
        Recipe::HubSpot => "is missing; name the unique property, such as \"aftercall_id\"",
        Recipe::Dataverse => "is missing; name the column of the alternate key, or a list of its columns",
    }
}

/// The keys of `http` that a recipe sets; the method comes first.
fn set_by_recipes(table: &DestinationTable) -> [(&'static str, bool); 4] {
    [
        ("method", table.method.is_some()),
        ("idempotency_header", table.idempotency_header.is_some()),
        ("success", table.success.is_some()),
        ("transient", table.transient.is_some()),
    ]
}

fn shared(table: &DestinationTable) -> [(&'static str, bool); 3] {
    [("connections", table.connections.is_some()), ("key", table.key.is_some()), ("object", table.object.is_some())]
}

fn refuse(name: &str, when: &str, keys: &[(&str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(
            format!("destinations.{name}.{key}"),
            format!("means nothing for kind = \"http\" {when}; remove it"),
        )),
        None => Ok(()),
    }
}
