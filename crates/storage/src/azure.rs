//! Azure Blob Storage, in a build with the feature `azure`.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{OpenError, Patience};

/// A container of Azure Blob Storage.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Azure {
    /// The container.
    pub container: String,
    /// What every name begins with.
    pub prefix: String,
    /// Another address than Azure's, with the account in its path if it is not in its host.
    pub endpoint: Option<String>,
    /// The storage account; without it the environment's.
    pub account: Option<String>,
    /// The account's key; without it the environment's, or the machine's identity.
    pub key: Option<String>,
}

impl std::fmt::Debug for Azure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Azure")
            .field("container", &self.container)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Azure {
    #[cfg(not(feature = "azure"))]
    pub(crate) fn open(&self, _: Patience) -> Result<Arc<dyn ObjectStore>, OpenError> {
        Err(OpenError::NotBuilt { scheme: "az", feature: "azure" })
    }

    #[cfg(feature = "azure")]
    pub(crate) fn open(&self, patience: Patience) -> Result<Arc<dyn ObjectStore>, OpenError> {
        let mut builder = object_store::azure::MicrosoftAzureBuilder::from_env().with_container_name(&self.container);
        if let Some(account) = &self.account {
            builder = builder.with_account(account);
        }
        if let Some(key) = &self.key {
            builder = builder.with_access_key(key);
        }
        let mut client = patience.client();
        if let Some(endpoint) = &self.endpoint {
            client = client.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(endpoint.clone());
        }
        Ok(Arc::new(builder.with_client_options(client).with_retry(patience.retry()).build()?))
    }
}
