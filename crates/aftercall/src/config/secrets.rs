//! Secrets: named in the configuration, read when needed, again when their file changes or the service that keeps them has
//! another one.

use std::path::PathBuf;

use outbound::{Secret, SecretError, SecretFile};

use super::ConfigError;

/// How a secret is named.
pub(crate) const NAME_IT: &str = "secrets do not stand in the configuration; write \"env:NAME\", \"file:PATH\" or, on AWS, \
                                  \"secretsmanager:NAME\"";
/// What a secret of AWS Secrets Manager begins with.
const MANAGED: &str = "secretsmanager";

/// Finds secrets by their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets;

impl Secrets {
    /// The secret that `name` names; `key` is where the configuration names it.
    pub(crate) fn find(key: &str, name: &str) -> Result<Secret, ConfigError> {
        let cannot = |problem: SecretError| ConfigError::value(key, problem);
        match name.split_once(':') {
            Some(("env", variable)) => {
                let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
                let value = value
                    .ok_or_else(|| cannot(SecretError(format!("the environment variable {variable} is not set"))))?;
                Ok(Secret::fixed(value))
            }
            Some(("file", path)) => {
                let file = SecretFile::new(PathBuf::from(path));
                file.get().map_err(cannot)?;
                Ok(Secret::file(file))
            }
            Some((MANAGED, name)) => managed::find(key, name).map(managed::secret),
            _ => Err(ConfigError::value_with_help(key, "is no name of a secret", NAME_IT)),
        }
    }

    /// Where a secret comes from that requests are verified by.
    pub(crate) fn verifying(key: &str, name: &str) -> Result<intake::SecretSource, ConfigError> {
        match name.split_once(':') {
            Some(("env", variable)) => Ok(intake::SecretSource::Env(variable.to_owned())),
            Some(("file", path)) => Ok(intake::SecretSource::File(path.into())),
            Some((MANAGED, name)) => managed::find(key, name).map(managed::source),
            _ => Err(ConfigError::value_with_help(key, "has an entry that is no name of a secret", NAME_IT)),
        }
    }

    /// The text of a secret of Secrets Manager as it is now; `None` if `name` names none.
    pub(crate) fn managed(key: &str, name: &str) -> Option<Result<String, ConfigError>> {
        let name = name.strip_prefix(MANAGED)?.strip_prefix(':')?;
        let get = |found| managed::secret(found).get().map_err(|problem| ConfigError::value(key, problem));
        Some(managed::find(key, name).and_then(get).map(|text| text.to_string()))
    }

    /// Whether a text names a secret.
    pub(crate) fn is_name(text: &str) -> bool {
        text.split_once(':').is_some_and(|(kind, _)| matches!(kind, "env" | "file" | MANAGED))
    }
}

#[cfg(feature = "aws")]
mod managed {
    use std::sync::Arc;

    use outbound::aws::secrets::Managed;

    use super::*;

    /// Asks for it; blocks meanwhile.
    pub(super) fn find(key: &str, name: &str) -> Result<Managed, ConfigError> {
        Managed::find(name).map_err(|problem| ConfigError::value(key, problem))
    }

    pub(super) fn secret(managed: Managed) -> Secret {
        managed.secret()
    }

    pub(super) fn source(managed: Managed) -> intake::SecretSource {
        intake::SecretSource::Kept(Arc::new(Verifying { name: managed.to_string(), managed }))
    }

    struct Verifying {
        name: String,
        managed: Managed,
    }

    impl intake::KeptSecret for Verifying {
        fn name(&self) -> &str {
            &self.name
        }

        fn texts(&self, again: bool) -> Result<Vec<intake::SecretText>, String> {
            if again {
                self.managed.ask_again();
            }
            let texts = self.managed.valid().map_err(|problem| problem.0)?;
            Ok(texts.iter().map(|text| intake::SecretText::new(text.to_string())).collect())
        }

        fn failing(&self) -> Option<String> {
            self.managed.failing()
        }
    }
}

#[cfg(not(feature = "aws"))]
mod managed {
    use super::*;

    pub(super) enum Never {}

    pub(super) fn find(key: &str, _: &str) -> Result<Never, ConfigError> {
        Err(ConfigError::value_with_help(
            key,
            "names a secret of AWS Secrets Manager, which this build of aftercall cannot ask for",
            "use a build with the cargo feature `aws`: cargo build --release --features aws",
        ))
    }

    pub(super) fn secret(never: Never) -> Secret {
        match never {}
    }

    pub(super) fn source(never: Never) -> intake::SecretSource {
        match never {}
    }
}
