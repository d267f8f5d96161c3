//! The HTTP client of one destination: pooled connections to one host, as many as there are attempts under way.

use outbound::{ClientOptions, HttpClient};

use super::Options;
use crate::OpenError;

pub(super) fn client(options: &Options) -> Result<HttpClient, OpenError> {
    let (tls, ca_pem) = (options.url.is_https(), options.ca_pem.as_deref());
    Ok(outbound::client(ClientOptions { tls, ca_pem, connections: options.connections })?)
}
