//! The column `extra`: members that no column is called after, as one JSON object that has no name twice. Most readers of JSON
//! refuse a name that is there twice, or take any of the two.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What members that a newer outcome has are called in `extra`, before their path. No name in `extra` that comes from an
/// event begins so: those begin with a slash.
const NEWER: &str = "outcome/";

/// The object with members that no column is called after; of a name that is there twice the last one counts. None if that
/// changes nothing, or if it is no object.
pub(super) fn with(object: &str, unknown: &[(String, &RawValue)]) -> Option<String> {
    let mut members = serde_json::Deserializer::from_str(object).deserialize_map(InOrder).ok()?;
    let before = members.len();
    members.extend(unknown.iter().map(|(path, value)| (Cow::Owned(format!("{NEWER}{path}")), *value)));
    let last: HashMap<&str, usize> = members.iter().enumerate().map(|(at, (name, _))| (&**name, at)).collect();
    if unknown.is_empty() && last.len() == before {
        return None;
    }
    let mut text = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        if last.get(&**name) != Some(&at) {
            continue;
        }
        text.push_str(if text.len() > 1 { "," } else { "" });
        text.push_str(&serde_json::Value::from(&**name).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Some(text)
}

/// The members of an object, all of them.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            members.push((Cow::Owned(name), value));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_name_that_is_there_twice_the_last_counts() {
        let raw = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        let unknown = [("new".to_owned(), raw("1")), ("new".to_owned(), raw("[2.50]")), ("a/b".to_owned(), raw("3"))];
        for (object, unknown, expected) in [
            ("{}", &unknown[..0], None),
            (r#"{"/a":1.50,"/b":2}"#, &unknown[..0], None),
            (r#"{"/a":1,"/b":2,"/a":3.10}"#, &unknown[..0], Some(r#"{"/b":2,"/a":3.10}"#)),
            (r#"{"/a":1,"/\u0061":2}"#, &unknown[..0], Some(r#"{"/a":2}"#)),
            ("{}", &unknown[..], Some(r#"{"outcome/new":[2.50],"outcome/a/b":3}"#)),
            (r#"{ "/a" : 1 }"#, &unknown[2..], Some(r#"{"/a":1,"outcome/a/b":3}"#)),
        ] {
            assert_eq!(with(object, unknown).as_deref(), expected, "{object}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_there_once_and_with_its_last_value(names in prop::collection::vec("[a-c\"é]{1,2}", 0..12)) {
            let name = |name: &String| serde_json::to_string(name).unwrap();
            let members: Vec<_> = names.iter().enumerate().map(|(at, text)| format!("{}:{at}", name(text))).collect();
            let object = format!("{{{}}}", members.join(","));
            let text = with(&object, &[]).unwrap_or_else(|| object.clone());
            // Takes the last of each.
            let expected: serde_json::Value = serde_json::from_str(&object).unwrap();
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &expected);
            let count = serde_json::Deserializer::from_str(&text).deserialize_map(InOrder).unwrap().len();
            prop_assert_eq!(count, expected.as_object().unwrap().len());
        }
    }
}
