//! Statements that make the files known to Athena, Redshift Spectrum and Redshift, made of the schema in the code.

use std::fmt::Write as _;

use super::catalogue;
use super::partition::Grain;
use super::schema::{FIELDS, Field, Kind};

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

/// A table of Redshift's own, and how it is loaded from the catalogue, each file once.
pub fn redshift(table: &str, place: &str) -> String {
    let column = |field: &Field| format!("  \"{}\" {}", field.name, redshift_type(field.kind));
    let columns: Vec<_> = FIELDS.iter().map(column).collect();
    let mut text = String::new();
    let folder = catalogue::FOLDER;
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "-- Redshift: a table of its own. Lists and structs are SUPER.\n\
         CREATE TABLE \"{table}\" (\n{}\n)\nSORTKEY (occurred_at);\n\n\
         -- Each entry of the catalogue becomes a manifest for COPY. Load each entry once, in one transaction with a note\n\
         -- that it was loaded:\n\
         --   aws s3 cp {place}/{folder}/ENTRY.json - \\\n\
         --     | jq '{{entries: [.files[] | {{url: (\"{place}/\" + .name), mandatory: true, meta: {{content_length: .bytes}}}}]}}' \\\n\
         --     | aws s3 cp - s3://BUCKET/manifests/ENTRY.json\n\
         COPY \"{table}\" FROM 's3://BUCKET/manifests/ENTRY.json'\nIAM_ROLE default FORMAT PARQUET SERIALIZETOJSON MANIFEST;\n",
        columns.join(",\n")
    );
    text
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
