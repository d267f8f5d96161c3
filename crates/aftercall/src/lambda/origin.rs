//! Where the configuration is: a parameter of Systems Manager, an object of S3, or a file in the package.
//!
//! One with a version is read once. Any other is looked at again after a while; one that cannot be read or used
//! leaves the last one in force, and the log says so.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use outbound::aws::{Access, Service, Signed};

/// Time of a request for it, with its tries: the start of a function may take 10 s in all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// `NAME` or `NAME:VERSION`, as the Parameter Store itself reads it.
    Parameter(String),
    Object {
        bucket: String,
        key: String,
        version: Option<String>,
    },
    Path(PathBuf),
}

impl FromStr for Origin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("ssm:") {
            anyhow::ensure!(!name.is_empty(), "`ssm:` names no parameter; write ssm:NAME or ssm:NAME:VERSION");
            return Ok(Self::Parameter(name.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
            let parts = path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
            let (bucket, key) =
                parts.with_context(|| format!("`{text}` is no object; write s3://BUCKET/KEY?versionId=VERSION"))?;
            let version = match query {
                None => None,
                Some(query) => {
                    Some(query.strip_prefix("versionId=").filter(|version| !version.is_empty()).with_context(|| {
                        format!("`{query}` behind the key of {text} is not understood; write ?versionId=VERSION")
                    })?)
                }
            };
            let version = version.map(str::to_owned);
            return Ok(Self::Object { bucket: bucket.to_owned(), key: key.to_owned(), version });
        }
        Ok(Self::Path(text.into()))
    }
}

impl Origin {
    /// Whether it always gives the same.
    pub(super) fn is_pinned(&self) -> bool {
        match self {
            // A name has no colon but before a version; an ARN has five in front of its name.
            Self::Parameter(name) => {
                let name =
                    name.strip_prefix("arn:").map_or(name.as_str(), |arn| arn.splitn(5, ':').last().unwrap_or(arn));
                name.contains(':')
            }
            Self::Object { version, .. } => version.is_some(),
            Self::Path(_) => true,
        }
    }

    /// Its text.
    pub(super) async fn read(&self) -> anyhow::Result<String> {
        let access = Access::default();
        match self {
            Self::Parameter(name) => {
                let store = Signed::new(Service::Parameters, &access, REQUEST_TIMEOUT).await?;
                let asked = serde_json::json!({ "Name": name, "WithDecryption": true });
                let answer = store.call("GetParameter", &asked).await;
                let answer = answer.with_context(|| format!("reading the configuration from the parameter {name}"))?;
                let text = answer["Parameter"]["Value"].as_str();
                text.map(str::to_owned).with_context(|| format!("the parameter {name} has no text"))
            }
            Self::Object { bucket, key, version } => {
                let store = Signed::new(Service::Objects, &access, REQUEST_TIMEOUT).await?;
                let read = store.object(bucket, key, version.as_deref()).await;
                let read = read.with_context(|| format!("reading the configuration from s3://{bucket}/{key}"))?;
                String::from_utf8(read.to_vec()).with_context(|| format!("s3://{bucket}/{key} is no text"))
            }
            Self::Path(path) => Ok(crate::config::read_text(path)?),
        }
    }

    /// How it is called in errors.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Parameter(name) => format!("ssm:{name}"),
            Self::Object { bucket, key, .. } => format!("s3://{bucket}/{key}"),
            Self::Path(path) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(text: &str) -> bool {
        text.parse::<Origin>().unwrap().is_pinned()
    }

    #[test]
    fn a_place_says_whether_it_has_a_version() {
        assert!(!pinned("ssm:/aftercall/config") && pinned("ssm:/aftercall/config:7"));
        let arn = "ssm:arn:aws:ssm:eu-central-1:123456789012:parameter/aftercall";
        assert!(!pinned(arn) && pinned(&format!("{arn}:3")));
        assert!(!pinned("s3://bucket/a/b.toml") && pinned("s3://bucket/a/b.toml?versionId=x"));
        assert!(pinned("/var/task/aftercall.toml"));
        let object = "s3://bucket/a/b.toml?versionId=x".parse::<Origin>().unwrap();
        let (bucket, key, version) = ("bucket".to_owned(), "a/b.toml".to_owned(), Some("x".to_owned()));
        assert_eq!(object, Origin::Object { bucket, key, version });
        for bad in ["ssm:", "s3://bucket", "s3:///key", "s3://b/k?version=1", "s3://b/k?versionId="] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
