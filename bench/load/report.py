"""The report of the load's benchmark: a table of medians, every run, and the machine."""

from typing import Any

from bench.guarantees import after_kills, after_second_run
from bench.report import Run, medians, overall_cpu, overall_rate, peak_mib, steady_rate

_EXPLANATION = (
    "*Overall* counts from the start of the process to its end, with the interpreter, the imports and the "
    "connections, as an Airflow task runs it; *events/s* counts from the end of the imports. Contestants with fewer "
    "events process only a part of the input, because all of it would take minutes; their rates are those of this "
    "part and are not scaled.",
    "",
    "*After kill -9*: each contestant is killed after a quarter, half and three quarters of its median time, each "
    "time from empty tables, and run again as it was; the column has the most events without a row, and the most "
    "rows beyond an event's first, of the three. *Run twice* has the rows beyond the first when one that has "
    "finished is run again, as a scheduler does that did not hear of its end. Those that load everything in one "
    "transaction lose and double nothing until they commit; killed between that and their exit, they double "
    "everything. sling, and dlt from JSON lines, replace their table: they double nothing because they start over "
    "every time, so that their cost grows with the history.",
    "",
    "What each reads, does and does not do, and its settings:",
    "",
    "- This load reads the lake's Delta table, validates every event against its contract, and writes rows, "
    "quarantine, ledger, dates and schema drift in transactions.",
    "- The upper bound is psycopg sending the same rows, prepared in a file, by binary COPY into the same table: no "
    "reading, no parsing, no validation.",
    "- DuckDB reads the same Delta table (`delta_scan`), parses the JSON values (`from_json` with the columns' "
    "types) and inserts into the same table in one transaction, which its postgres extension does by binary COPY. "
    "Settings: `preserve_insertion_order` is off, as its guide to performance advises; threads as many as cores, "
    "its default. A wrong value becomes null, an unknown field is ignored, and invalid JSON ends the load.",
    "- pyarrow and ADBC, same lake: deltalake reads the table, pyarrow's JSON reader parses each batch with an "
    "explicit schema, and one `adbc_ingest` of the stream of batches sends them by binary COPY into the same table, "
    "in one transaction. Invalid JSON or a wrong type ends the load.",
    "- ADBC, prepared rows: the rows with their types in local Parquet files, streamed into one `adbc_ingest`. "
    "ADBC's COPY is its default, and it has no further setting for ingestion.",
    "- dlt, prepared rows: its filesystem source, incremental by file, `read_parquet` with `use_pyarrow` and chunks "
    'of 65,536 rows, and `loader_file_format="parquet"`, which its Postgres destination loads by ADBC. It creates '
    "its own table, without an index.",
    "- sling, prepared rows: `full-refresh` from a folder of local Parquet files, which it reads by DuckDB's program, "
    "with its default bulk loading. It creates its own table, without an index. Its package with the program is older "
    "than its newest release, which is downloaded when it is first run.",
    "- sling and dlt from JSON lines: local, uncompressed files, which is less work than reading the lake. dlt is "
    "set to write CSV for COPY, which is faster than its default.",
    "- pandas: `read_json` and `to_sql` with their defaults, as in tutorials.",
)


def server_cpu(run: Run) -> float:
    """Returns the CPU-seconds of Postgres and MinIO per million events."""
    return float(run["server_cpu"] / run["events"] * 1e6)


def report(result: dict[str, Any], plot: str) -> str:
    """Returns the report in Markdown."""
    lines = [
        "# Load performance",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes, in "
        f"{result['partitions']} partitions and {result['dates']} event dates, in order of date, into a table of 18 "
        "columns. MinIO and Postgres run on the same machine; the contestants run one at a time, each in a process of "
        f"its own; medians of {result['rounds']} rounds. "
        "Written by `make bench-load`.",
        "",
        "| contestant | events | events/s | events/s, overall | CPU-s per million | server CPU-s per million "
        "| peak RSS, MiB | after kill -9: lost / doubled | run twice: doubled |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = medians(
        result,
        [
            (steady_rate, ",.0f"),
            (overall_rate, ",.0f"),
            (overall_cpu, ".2f"),
            (server_cpu, ".2f"),
            (peak_mib, ",.0f"),
        ],
    )
    for contestant, row in zip(result["contestants"], rows, strict=True):
        found = [each for each in result["guarantees"] if each["contestant"] == contestant["name"]]
        lines.append(f"{row} {after_kills(found)} | {after_second_run(found)} |")
    lines += [
        "",
        f"![medians and runs as a plot]({plot})",
        "",
        *_EXPLANATION,
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
        "",
        "## All runs",
        "",
        "| round | contestant | events/s | events/s, overall | CPU-s per million | peak RSS, MiB |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['turn']} | {run['contestant']} | {steady_rate(run):,.0f} | {overall_rate(run):,.0f} "
        f"| {overall_cpu(run):.2f} | {peak_mib(run):,.0f} |"
        for run in result["runs"]
    ]
    return "\n".join(lines) + "\n"
