"""Reads files of several versions of the schema together, with DuckDB and pyarrow.

usage: evolution.py LAKE OLDER...

The older files are those that are kept of each version. A newer one is made here, with a column more and a member more in
a struct, as a later version would write it.
"""

import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet


def same(what, found, wanted):
    assert found == wanted, f"{what}: found {found}, not {wanted}"


def newer(table):
    sentiment = table.column("sentiment").combine_chunks()
    fields = [*sentiment.type, pa.field("certainty", pa.float64())]
    members = [*sentiment.flatten(), pa.array([0.5] * len(table))]
    table = table.set_column(
        table.schema.get_field_index("sentiment"), "sentiment", pa.StructArray.from_arrays(members, fields=fields)
    )
    table = table.append_column("quality", pa.array(range(len(table)), pa.int64()))
    return table.replace_schema_metadata({"aftercall.schema": "2"})


def main():
    lake, older = pathlib.Path(sys.argv[1]), [pathlib.Path(path) for path in sys.argv[2:]]
    present = next(iter(sorted(lake.glob("*/*/*.parquet"))))
    later = lake.parent / "newer.parquet"
    made = newer(pyarrow.parquet.read_table(present, partitioning=None))
    pyarrow.parquet.write_table(made, later, compression="zstd")
    rows = lambda path: pyarrow.parquet.read_metadata(path).num_rows
    before = sum(map(rows, older)) + rows(present)
    files = ", ".join(f"'{path}'" for path in [*older, present, later])
    source = f"read_parquet([{files}], union_by_name = true)"
    ask = lambda query: duckdb.sql(query.format(lake=source)).fetchall()
    same("rows", ask("SELECT count(*), count(quality) FROM {lake}"), [(before + len(made), len(made))])
    same("older rows", ask("SELECT count(*) FROM {lake} WHERE quality IS NULL AND sentiment.certainty IS NULL"), [(before,)])
    same("members of newer rows", ask("SELECT count(sentiment.certainty) FROM {lake}"), [(len(made),)])
    same("a member of before", ask("SELECT count(*) FROM {lake} WHERE sentiment.score = -0.4")[0][0] > 0, True)
    tops = [pyarrow.parquet.read_schema(path) for path in [*older, present]]
    schema = pa.unify_schemas([top.remove_metadata() for top in tops])
    table = pyarrow.dataset.dataset([str(path) for path in [*older, present]], schema=schema, format="parquet").to_table()
    same("rows with pyarrow", table.num_rows, before)
    same("ids with pyarrow", pc.count_distinct(table.column("event_id")).as_py(), before)
    print(f"{len(older)} older versions and a newer one are read together")


main()
