//! The schema says what the code reads: the same files are good, and the committed one is that of the code.

use super::super::tests::uncommented;
use super::*;

/// Set to have the committed schema written anew.
const WRITE: &str = "UPDATE_SCHEMA";
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/aftercall.schema.json");

fn is_good(text: &str) -> bool {
    let file: Value = serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap();
    let by_schema = jsonschema::is_valid(&schema(), &file);
    assert_eq!(by_schema, super::super::parse("a.toml", text).is_ok(), "schema and code disagree about {text}");
    by_schema
}

#[test]
fn the_default_file_is_good_with_and_without_its_keys() {
    assert!(is_good(DEFAULT_FILE));
    assert!(is_good(&uncommented()));
}

#[test]
fn schema_and_code_refuse_the_same() {
    let destination = "[destinations.crm]\nkind = \"http\"\n";
    for good in [
        "",
        "[intake.limits]\nbody = 1024\n",
        "[sources.a]\nauth = { signature = \"genesys\", secrets = [\"env:A\"] }\n",
        "[sources.a]\nauth = { signature = { header = \"x\" } }\nallow = [\"10.0.0.0/8\"]\n",
        &format!("{destination}order = \"none\"\nheaders = {{ a = \"b\", c = {{ secret = \"env:C\" }} }}\n"),
        "[destinations.w]\nkind = \"postgres\"\nkey = [\"a\", \"b\"]\n",
        "[[routes]]\ndestination = \"a\"\npattern = { source = [\"x\"] }\n",
        "[alarms]\noff = [\"disk-low\"]\n",
        "queue = \"aws\"\n",
        "[queue]\nkind = \"aws\"\ntable = \"calls\"\n",
    ] {
        assert!(is_good(good), "{good}");
    }
    for bad in [
        "[intake]\nlisen = \"127.0.0.1:0\"\n",
        "[intake.limits]\nconnections = \"many\"\n",
        "[destinations.crm]\nkind = \"htp\"\n",
        "[destinations.crm]\n",
        &format!("{destination}order = \"first\"\n"),
        "[[routes]]\nname = \"a\"\n",
        "[alarms]\noff = [\"disc-low\"]\n",
        "[notifiers.a]\nkind = \"slack\"\nseverity = \"bad\"\n",
    ] {
        assert!(!is_good(bad), "{bad}");
    }
}

/// Of all tables that stand in the default file with their keys, so that an editor has words for each.
#[test]
fn every_key_of_a_table_has_words() {
    let schema = schema();
    let said = |table: &str, key: &str| -> String {
        let words = schema["$defs"][table]["properties"][key]["description"].as_str();
        words.unwrap_or_else(|| panic!("no words for {key} of {table}")).to_owned()
    };
    for table in [
        "IntakeTable",
        "LimitsTable",
        "QueueTable",
        "BodiesTable",
        "AuditTable",
        "ArchiveTable",
        "GenesysTable",
        "AlarmsTable",
        "RouteTable",
    ] {
        for (key, _) in schema["$defs"][table]["properties"].as_object().unwrap() {
            if !["limits", "actions", "bodies"].contains(&key.as_str()) {
                said(table, key);
            }
        }
    }
    assert_eq!(
        said("IntakeTable", "listen"),
        "Where events are received. Anything but a loopback address is open to the network."
    );
    assert_eq!(said("LimitsTable", "body_stall"), said("LimitsTable", "header_timeout"));
    let text = schema.to_string();
    assert!(!text.contains("\"null\""), "TOML has no null");
}

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(COMMITTED, &text).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap();
    assert!(committed == text, "write it anew: {WRITE}=1 cargo test the_committed_schema");
}
