//! The regions of Genesys Cloud, by the name that AWS has for them and by their domain.

use std::fmt;

/// A region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// As AWS names it.
    pub name: &'static str,
    /// The domain under which `login.` and `api.` are.
    pub domain: &'static str,
}

/// All regions. Genesys's SDKs (purecloud_region_hosts.py) and its Terraform provider have the same list.
pub const REGIONS: [Region; 18] = [
    region("us-east-1", "mypurecloud.com"),
    region("us-east-2", "use2.us-gov-pure.cloud"),
    region("us-west-2", "usw2.pure.cloud"),
    region("ca-central-1", "cac1.pure.cloud"),
    region("mx-central-1", "mxc1.pure.cloud"),
    region("sa-east-1", "sae1.pure.cloud"),
    region("eu-west-1", "mypurecloud.ie"),
    region("eu-west-2", "euw2.pure.cloud"),
    region("eu-central-1", "mypurecloud.de"),
    region("eu-central-2", "euc2.pure.cloud"),
    region("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    region("me-central-1", "mec1.pure.cloud"),
    region("ap-south-1", "aps1.pure.cloud"),
    region("ap-southeast-1", "apse1.pure.cloud"),
    region("ap-southeast-2", "mypurecloud.com.au"),
    region("ap-northeast-1", "mypurecloud.jp"),
    region("ap-northeast-2", "apne2.pure.cloud"),
    region("ap-northeast-3", "apne3.pure.cloud"),
];

const fn region(name: &'static str, domain: &'static str) -> Region {
    Region { name, domain }
}

/// There is no such region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownRegion(String);

impl Region {
    /// Finds a region by its name or its domain; the address of one of its hosts, as people copy it from a browser,
    /// will do.
    ///
    /// # Errors
    /// If there is none; the error lists those that there are.
    pub fn find(text: &str) -> Result<Self, UnknownRegion> {
        let host = text.trim().trim_start_matches("https://").trim_end_matches('/').to_ascii_lowercase();
        let domain = ["login.", "api.", "apps."].iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(&host);
        let found = REGIONS.iter().find(|region| region.name == host || region.domain == domain);
        found.copied().ok_or_else(|| UnknownRegion(text.chars().take(64).collect()))
    }

    /// Where tokens are issued.
    pub fn login_url(&self) -> String {
        format!("https://login.{}", self.domain)
    }

    /// Where the API is.
    pub fn api_url(&self) -> String {
        format!("https://api.{}", self.domain)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.domain)
    }
}

impl fmt::Display for UnknownRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no region of Genesys Cloud; there are: ", self.0)?;
        for (i, region) in REGIONS.iter().enumerate() {
            write!(f, "{}{region}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_found_by_name_domain_and_address() {
        for region in REGIONS {
            for text in [
                region.name.to_owned(),
                region.domain.to_owned(),
                region.name.to_uppercase(),
                region.login_url(),
                format!("{}/", region.api_url()),
                format!(" apps.{} ", region.domain),
            ] {
                assert_eq!(Region::find(&text), Ok(region), "{text}");
            }
        }
    }

    #[test]
    fn names_and_domains_are_unique() {
        for (i, one) in REGIONS.iter().enumerate() {
            assert!(REGIONS[..i].iter().all(|other| other.name != one.name && other.domain != one.domain), "{one}");
        }
    }

    #[test]
    fn an_unknown_region_is_answered_with_the_known_ones() {
        for text in ["", "eu-central-9", "pure.cloud", "mypurecloud.com.evil.example", "login.login.mypurecloud.com"] {
            let error = Region::find(text).unwrap_err().to_string();
            assert!(error.contains("eu-central-1 (mypurecloud.de)"), "{error}");
        }
    }
}
