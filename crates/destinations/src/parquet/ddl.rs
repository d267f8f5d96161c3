//! Statements that make the files known to Athena, Redshift Spectrum and Redshift, made of the schema in the code.

use std::fmt::Write as _;

use super::catalogue;
use super::partition::Grain;
use super::schema::{EVENT_ID, FIELDS, Field, Kind};

/// First day that Athena looks for; there is no data of before.
const FIRST_DAY: &str = "2020-01-01";

/// `CREATE EXTERNAL TABLE` for Athena, which finds new folders by itself; with what Redshift Spectrum needs instead. `place`
/// is like `s3://BUCKET/PREFIX`.
pub fn athena(table: &str, place: &str, grain: Grain) -> String {
    let mut text = String::new();
    let columns: Vec<_> = FIELDS.iter().map(|field| format!("  `{}` {}", field.name, hive(field.kind))).collect();
    let (folders, template) = match grain {
        Grain::Day => ("`date` string", "date=${date}/"),
        Grain::Hour => ("`date` string, `hour` string", "date=${date}/hour=${hour}/"),
    };
    let hour = match grain {
        Grain::Day => "",
        Grain::Hour => {
            "  'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' = '2',\n"
        }
    };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "-- Athena. It works out the folders by itself; nothing has to be added when a day begins.\n\
         CREATE EXTERNAL TABLE `{table}` (\n{}\n)\nPARTITIONED BY ({folders})\nSTORED AS PARQUET\n\
         LOCATION '{place}/'\nTBLPROPERTIES (\n  'projection.enabled' = 'true',\n\
         \x20 'projection.date.type' = 'date', 'projection.date.format' = 'yyyy-MM-dd',\n\
         \x20 'projection.date.range' = '{FIRST_DAY},NOW+1DAYS',\n{hour}\
         \x20 'storage.location.template' = '{place}/{template}'\n);\n\n\
         -- Redshift Spectrum: the same table in the Glue catalogue is there too:\n\
         -- CREATE EXTERNAL SCHEMA lake FROM DATA CATALOG DATABASE 'default' IAM_ROLE default;\n\
         -- SELECT count(*) FROM lake.{table} WHERE \"date\" = '2026-11-27';\n",
        columns.join(",\n")
    );
    text
}

/// A table of Redshift's own, and how it is loaded from the catalogue, each row once, also when files are merged meanwhile.
pub fn redshift(table: &str, place: &str) -> String {
    let column = |field: &Field| format!("  \"{}\" {}", field.name, redshift_type(field.kind));
    let columns: Vec<_> = FIELDS.iter().map(column).collect();
    let (folder, id) = (catalogue::FOLDER, FIELDS[EVENT_ID].name);
    format!(
        "-- Redshift: a table of its own. Lists and structs are SUPER.\n\
         CREATE TABLE \"{table}\" (\n{}\n)\nSORTKEY (occurred_at);\n\n\
         -- The files that count are those of all entries of the catalogue but those that an entry replaces. Make a manifest\n\
         -- of those that are not in loaded.json, a list of names that begins as []:\n\
         --   aws s3 sync {place}/{folder}/ catalogue/\n\
         --   jq -s --slurpfile loaded loaded.json '(map(.replaces // []) | add // []) as $gone\n\
         --     | [.[].files[] | select(.name | IN($gone[], $loaded[0][]) | not)]' catalogue/*.json > new.json\n\
         --   jq '{{entries: map({{url: (\"{place}/\" + .name), mandatory: true, meta: {{content_length: .bytes}}}})}}' new.json \\\n\
         --     | aws s3 cp - s3://BUCKET/manifests/new.json\n\
         -- A merged file may have rows that were loaded before it was merged; those are known by their {id}.\n\
         CREATE TEMP TABLE staged (LIKE \"{table}\");\n\
         COPY staged FROM 's3://BUCKET/manifests/new.json'\nIAM_ROLE default FORMAT PARQUET SERIALIZETOJSON MANIFEST;\n\
         INSERT INTO \"{table}\" SELECT staged.* FROM staged\n\
         LEFT JOIN \"{table}\" AS known ON known.\"{id}\" = staged.\"{id}\" WHERE known.\"{id}\" IS NULL;\n\
         -- When that is done, note what was loaded. Doing it twice, or not noting it, loads nothing twice. A COPY that finds\n\
         -- a file gone, because it was merged just then, is begun again from the catalogue:\n\
         --   jq -s '.[0] + (.[1] | map(.name))' loaded.json new.json > loaded.next && mv loaded.next loaded.json\n",
        columns.join(",\n")
    )
}

fn hive(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Json => "string".to_owned(),
        Kind::Integer => "bigint".to_owned(),
        Kind::Number => "double".to_owned(),
        Kind::Time => "timestamp".to_owned(),
        Kind::List(kind) => format!("array<{}>", hive(*kind)),
        Kind::Struct(members) => {
            let members: Vec<_> =
                members.iter().map(|member| format!("{}:{}", member.name, hive(member.kind))).collect();
            format!("struct<{}>", members.join(","))
        }
    }
}

/// Texts are as long as Redshift allows: COPY refuses a whole file for one that is longer.
fn redshift_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Json => "varchar(65535)",
        Kind::Integer => "bigint",
        Kind::Number => "double precision",
        Kind::Time => "timestamp",
        Kind::List(_) | Kind::Struct(_) => "super",
    }
}
