//! What can be set on an `http` destination with a recipe, and the check of it.

use super::dataverse::Dataverse;
use super::hubspot::HubSpot;
use super::salesforce::Salesforce;
use super::service::Service;
use crate::{OpenError, http};

/// Calls under way at a time, by default. More make records of one parent wait for each other's locks.
const CONNECTIONS: usize = 2;
/// Most calls at a time.
const CONNECTIONS_MAX: usize = 32;
/// Bytes of a name of an object, a field or a version.
const NAME_MAX: usize = 128;

/// Whose way of writing records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Upsert by an external id, up to 200 records in a call.
    Salesforce,
    /// Upsert by a unique property, up to 100 records in a call.
    HubSpot,
    /// Upsert by an alternate key, one record in a call.
    Dataverse,
}

impl Recipe {
    /// Most records that the service takes in a call.
    pub fn records_max(self) -> usize {
        match self {
            // "up to 200 records": developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-upsert.html
            Self::Salesforce => 200,
            // developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/batch/upsert-contacts and its limits
            Self::HubSpot => 100,
            // UpsertMultiple is all or nothing for standard tables, and so has no result for each.
            Self::Dataverse => 1,
        }
    }

    /// The version of the service's API, unless another is set.
    pub fn version(self) -> &'static str {
        match self {
            Self::Salesforce => "62.0",
            Self::HubSpot => "v3",
            Self::Dataverse => "9.2",
        }
    }
}

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// The service, how requests are authorised, further headers, timeout and certificates. Of the URL there is only
    /// scheme, host and perhaps a path in front; method, statuses and the idempotency header are the recipe's.
    pub http: http::Options,
    /// The recipe.
    pub recipe: Recipe,
    /// What records are of: an sObject, an object type, an entity set.
    pub object: String,
    /// The members of the payload that say which record is meant: an external id, a unique property, or what makes up an
    /// alternate key.
    pub key: Vec<String>,
    /// Version of the service's API.
    pub version: String,
    /// Records of a call, at most.
    pub max_records: usize,
    /// Calls at a time, of recipes that write many records in one.
    pub connections: usize,
}

impl Options {
    /// The defaults, for records of an object at a service.
    pub fn new(recipe: Recipe, http: http::Options, object: impl Into<String>, key: Vec<String>) -> Self {
        let (version, max_records) = (recipe.version().to_owned(), recipe.records_max());
        Self { http, recipe, object: object.into(), key, version, max_records, connections: CONNECTIONS }
    }

    /// Checks them, and makes what knows the service.
    pub(super) fn service(&self) -> Result<Box<dyn Service>, OpenError> {
        let Some(base) = self.http.url.fixed().filter(|url| url.query().is_none()) else {
            let problem = "is that of the service and the same for every delivery; remove what varies and the query";
            return Err(OpenError::option("url", problem));
        };
        let base = base.to_string().trim_end_matches('/').to_owned();
        let most = self.recipe.records_max();
        if !(1..=most).contains(&self.max_records) {
            return Err(OpenError::option("max_records", format!("is {}; use 1 to {most}", self.max_records)));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            let problem = format!("is {}; use 1 to {CONNECTIONS_MAX}", self.connections);
            return Err(OpenError::option("connections", problem));
        }
        name("object", &self.object, "-")?;
        self.key.iter().try_for_each(|key| name("key", key, ""))?;
        name("api_version", &self.version, ".-")?;
        Ok(match (self.recipe, &self.key[..]) {
            (_, []) => {
                return Err(OpenError::option("key", "is empty; name the field that says which record is meant"));
            }
            (Recipe::Dataverse, _) => Box::new(Dataverse::new(&base, self)),
            (Recipe::Salesforce, [key]) => Box::new(Salesforce::new(&base, key, self)?),
            (Recipe::HubSpot, [key]) => Box::new(HubSpot::new(&base, key, self)),
            (Recipe::Salesforce | Recipe::HubSpot, _) => {
                return Err(OpenError::option("key", "has several names, and the service knows records by one field"));
            }
        })
    }
}

/// A name that stands in addresses: letters, digits, underscores, and what else is allowed.
fn name(key: &'static str, text: &str, more: &str) -> Result<(), OpenError> {
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(c));
    match good && !text.is_empty() && text.len() <= NAME_MAX && !text.starts_with('.') {
        true => Ok(()),
        false => Err(OpenError::option(key, format!("is `{}`, which is no name there", text.escape_debug()))),
    }
}
