//! What a value comes to, as far as a template says it by itself.

use super::{Node, Template, Value};

/// A setting, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting<T> {
    /// Not written; what AWS takes then.
    Default(T),
    /// Written, or the default of the parameter that is written.
    Given(T),
    /// It hangs on something that the template does not say.
    Unknown(String),
}

impl<T> Setting<T> {
    /// What is known.
    pub(crate) const fn known(&self) -> Option<&T> {
        match self {
            Self::Default(value) | Self::Given(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// ` (the default)` behind what nobody wrote.
    pub(crate) const fn origin(&self) -> &'static str {
        match self {
            Self::Default(_) => " (the default)",
            _ => "",
        }
    }
}

/// A text, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    Text(String),
    Unknown(String),
}

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A resource of this template.
    Here(String),
    /// Something else, or something that cannot be known.
    Elsewhere,
}

impl Target {
    /// The resource, if it is in this template.
    pub(crate) fn id(&self) -> Option<&str> {
        if let Self::Here(id) = self { Some(id) } else { None }
    }
}

impl Template {
    /// A number; `default` when it is not written.
    pub(crate) fn number(&self, node: Option<&Node>, default: u64) -> Setting<u64> {
        match self.text(node) {
            Written::Nothing => Setting::Default(default),
            Written::Text(text) => match text.trim().parse() {
                Ok(number) => Setting::Given(number),
                Err(_) => Setting::Unknown(format!("`{text}` is no number")),
            },
            Written::Unknown(why) => Setting::Unknown(why),
        }
    }

    /// Yes or no; no when it is not written.
    pub(crate) fn flag(&self, node: Option<&Node>) -> Setting<bool> {
        match self.text(node) {
            Written::Nothing => Setting::Default(false),
            Written::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Setting::Given(true),
                "false" | "no" | "off" | "0" => Setting::Given(false),
                _ => Setting::Unknown(format!("`{text}` is neither true nor false")),
            },
            Written::Unknown(why) => Setting::Unknown(why),
        }
    }

    /// A text, a parameter's default put in.
    pub(crate) fn text(&self, node: Option<&Node>) -> Written {
        let Some(node) = node else { return Written::Nothing };
        match &node.value {
            Value::Nothing => Written::Nothing,
            Value::Text(text) => Written::Text(text.clone()),
            Value::Call(name, inner) if name == "Ref" => match inner.as_text() {
                Some("AWS::NoValue") => Written::Nothing,
                Some(parameter) => match self.defaults.get(parameter) {
                    Some(default) => Written::Text(default.clone()),
                    None => Written::Unknown(format!("it is that of `{parameter}`")),
                },
                None => Written::Unknown("its `Ref` names nothing".to_owned()),
            },
            Value::Call(name, inner) if name == "Sub" => match inner.as_text() {
                Some(text) if !text.contains("${") => Written::Text(text.to_owned()),
                _ => Written::Unknown("`Sub` puts it together".to_owned()),
            },
            Value::Call(name, _) => Written::Unknown(format!("it hangs on `{name}`")),
            Value::List(_) | Value::Map(_) => Written::Unknown("it is no single value".to_owned()),
        }
    }

    /// Which resource a reference leads to: `Ref`, `GetAtt`, `Sub`, or an ARN or URL with the name of a queue.
    pub(crate) fn target(&self, node: &Node) -> Target {
        let here = |id: &str| self.resource(id).map(|resource| Target::Here(resource.id.clone()));
        let found = match &node.value {
            Value::Call(name, inner) if name == "Ref" => inner.as_text().and_then(here),
            Value::Call(name, inner) if name == "GetAtt" => {
                let first = inner.elements().first().and_then(Node::as_text);
                first.and_then(|text| here(text.split('.').next().unwrap_or(text)))
            }
            Value::Call(name, inner) if name == "Sub" => {
                // ${Queue.Arn} is a resource, ${AWS::Region} is none; else it ends in a name
                let text = inner.elements().first().and_then(Node::as_text).unwrap_or("");
                let inserted = text.split("${").skip(1).filter_map(|rest| rest.split(['}', '.']).next());
                inserted.filter(|id| !id.starts_with("AWS::")).find_map(here).or_else(|| self.by_name(text))
            }
            Value::Text(text) => self.by_name(text),
            _ => None,
        };
        found.unwrap_or(Target::Elsewhere)
    }

    /// The queue or function whose name an ARN or URL ends in.
    fn by_name(&self, text: &str) -> Option<Target> {
        let name = text.rsplit([':', '/']).next().filter(|name| !name.is_empty() && *name != text)?;
        let called = |resource: &super::Resource| {
            ["QueueName", "FunctionName"]
                .iter()
                .any(|key| resource.properties.get(key).and_then(Node::as_text) == Some(name))
        };
        self.all().find(|resource| called(resource)).map(|resource| Target::Here(resource.id.clone()))
    }
}
