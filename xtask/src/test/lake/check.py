"""Reads a lake of Parquet files with DuckDB and pyarrow, and asserts rows, types and folders.

usage: check.py LAKE ROWS
"""

import hashlib
import json
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

TYPES = {
    "schema": pa.int64(),
    "event_id": pa.string(),
    "occurred_at": pa.timestamp("ms", tz="UTC"),
    "received_at": pa.timestamp("ms", tz="UTC"),
    "conversation_id": pa.string(),
    "keywords": pa.list_(pa.string()),
    "extra": pa.string(),
}
STRUCTS = {
    "sentiment": {"score": pa.float64(), "label": pa.string()},
    "compliance": {"count": pa.int64(), "severity": pa.string()},
    "durations": {"held_ms": pa.int64()},
}
LISTS = {
    "intents": {"name": pa.string(), "confidence": pa.float64()},
    "topics": {"id": pa.string(), "name": pa.string(), "participant": pa.string()},
    "unrecognised": {"path": pa.string(), "value": pa.string()},
}


def same(what, found, wanted):
    assert found == wanted, f"{what}: found {found}, not {wanted}"


def check_pyarrow(lake, rows):
    files = sorted(lake.glob("*/*/*.parquet"))
    entries = [json.loads(entry.read_text()) for entry in lake.glob("_catalogue/*.json")]
    gone = {name for entry in entries for name in entry.get("replaces", [])}
    listed = [file for entry in entries for file in entry["files"] if file["name"] not in gone]
    same("files", sorted(str(file.relative_to(lake)) for file in files), sorted(file["name"] for file in listed))
    same("rows of the catalogue", sum(file["rows"] for file in listed), rows)
    for file in listed:
        data = (lake / file["name"]).read_bytes()
        same("bytes", (len(data), hashlib.sha256(data).hexdigest()), (file["bytes"], file["sha256"]))
    assert gone, "nothing was merged"
    for file in files:
        metadata = pyarrow.parquet.read_metadata(file)
        same("version", metadata.metadata[b"aftercall.schema"], b"1")
        same("compression", metadata.row_group(0).column(0).compression, "ZSTD")
    schema = pyarrow.parquet.read_schema(files[0])
    for name, kind in TYPES.items():
        found = schema.field(name).type
        wanted = kind.value_type if pa.types.is_list(kind) else kind
        same(name, found.value_type if pa.types.is_list(kind) else found, wanted)
    for name, members in STRUCTS.items():
        for member, kind in members.items():
            same(f"{name}.{member}", schema.field(name).type.field(member).type, kind)
    for name, members in LISTS.items():
        for member, kind in members.items():
            same(f"{name}.{member}", schema.field(name).type.value_type.field(member).type, kind)
    table = pyarrow.dataset.dataset(str(lake), format="parquet", partitioning="hive").to_table()
    same("rows", table.num_rows, rows)
    same("distinct ids", len(set(table.column("event_id").to_pylist())), rows)


def check_duckdb(lake, rows):
    source = f"read_parquet('{lake}/*/*/*.parquet', hive_partitioning = true, union_by_name = true)"
    ask = lambda query: duckdb.sql(query.format(lake=source)).fetchall()
    same("rows", ask("SELECT count(*), count(DISTINCT event_id) FROM {lake}"), [(rows, rows)])
    duckdb.sql("SET TimeZone = 'UTC'")
    wrong = "SELECT count(*) FROM {lake} WHERE strftime(occurred_at, '%Y-%m-%d/%H') <> date::DATE::VARCHAR || '/' || lpad(hour::VARCHAR, 2, '0')"
    same("rows in the wrong folder", ask(wrong), [(0,)])
    same("scores", ask("SELECT count(*) FROM {lake} WHERE sentiment.score BETWEEN -1 AND 1"), [(rows,)])
    same("intents", ask("SELECT count(*) FROM (SELECT unnest(intents) AS i FROM {lake}) WHERE i.name LIKE 'i-%'"), [(rows,)])
    same("extra", ask("SELECT count(*) FROM {lake} WHERE extra LIKE '%/webhookEventId%'"), [(rows,)])


def main():
    lake, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    check_pyarrow(lake, rows)
    check_duckdb(lake, rows)
    print(f"{rows} rows, as they should be")


main()
