//! The comments of the default file as the descriptions of the keys that they stand above.

use serde_json::Value;

/// Puts the words of a default file into the schema of it.
pub(super) fn put_in(schema: &mut Value, default_file: &str) {
    let mut table: Vec<String> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    // Several keys may share the comment above them; the next comment begins anew.
    let mut is_told = false;
    for line in default_file.lines() {
        let set = line.strip_prefix('#').unwrap_or(line);
        if let Some(path) = set.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = path.trim_matches(['[', ']']).split('.').map(str::to_owned).collect();
            words.clear();
        } else if let Some(comment) = line.strip_prefix("# ") {
            if is_told {
                words.clear();
            }
            is_told = false;
            words.push(comment.trim());
        } else if let Some((key, _)) = set.split_once(" = ").filter(|(key, _)| is_key(key)) {
            describe(schema, &table, key, &words.join(" "));
            is_told = true;
        } else {
            words.clear();
        }
    }
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Describes a key that is not described yet: of several examples of a table the first says most.
fn describe(schema: &mut Value, table: &[String], key: &str, words: &str) {
    let Some(pointer) = find(schema, table) else { return };
    let property = schema.pointer_mut(&pointer).and_then(|table| table.get_mut("properties")?.get_mut(key));
    if let Some(Value::Object(property)) = property
        && !words.is_empty()
        && !property.contains_key("description")
    {
        property.insert("description".to_owned(), words.into());
    }
}

/// Where the schema of a table is.
fn find(schema: &Value, table: &[String]) -> Option<String> {
    let mut at = String::new();
    for name in table {
        at = entered(schema, &at, name)?;
    }
    Some(at)
}

/// Where a member of the schema at a place is: by its name, or that of every name.
fn entered(schema: &Value, at: &str, name: &str) -> Option<String> {
    let here = schema.pointer(at)?;
    let step = if here.get("properties").is_some_and(|properties| properties.get(name).is_some()) {
        format!("{at}/properties/{name}")
    } else if here.get("additionalProperties").is_some_and(Value::is_object) {
        format!("{at}/additionalProperties")
    } else {
        return None;
    };
    resolved(schema, step)
}

/// The first of some choices that is a table.
fn table_of(schema: &Value, choices: &[Value]) -> Option<String> {
    let referred = choices.iter().filter_map(|choice| choice.get("$ref")?.as_str()?.strip_prefix('#'));
    let mut tables = referred.filter(|at| schema.pointer(at).is_some_and(|choice| choice.get("properties").is_some()));
    tables.next().map(str::to_owned)
}

/// Follows references, and goes from a list to what is in it.
fn resolved(schema: &Value, mut at: String) -> Option<String> {
    loop {
        let here = schema.pointer(&at)?;
        if let Some(reference) = here.get("$ref").and_then(Value::as_str) {
            at = reference.strip_prefix('#')?.to_owned();
        } else if let Some(at_table) = here.get("anyOf").and_then(Value::as_array).and_then(|all| table_of(schema, all))
        {
            // A table, or something shorter for it.
            at = at_table;
        } else if here.get("items").is_some() {
            at.push_str("/items");
        } else {
            return Some(at);
        }
    }
}
