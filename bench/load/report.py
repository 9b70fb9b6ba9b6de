"""The report of the load's benchmark: a table of medians, every run, and the machine."""

from typing import Any

from bench.report import Run, medians, overall_cpu, overall_rate, peak_mib, steady_rate


def server_cpu(run: Run) -> float:
    """Returns the CPU-seconds of Postgres and MinIO per million events."""
    return float(run["server_cpu"] / run["events"] * 1e6)


def report(result: dict[str, Any], plot: str) -> str:
    """Returns the report in Markdown."""
    lines = [
        "# Load performance",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes, in "
        f"{result['partitions']} partitions and {result['dates']} event dates, in order of date, into a table of 17 "
        "columns. MinIO and Postgres run on the same machine; the contestants run one at a time, each in a process of "
        f"its own; medians of {result['rounds']} rounds. "
        "Written by `make bench-load`.",
        "",
        "| contestant | events | events/s | events/s, overall | CPU-s per million | server CPU-s per million "
        "| peak RSS, MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += medians(
        result,
        [
            (steady_rate, ",.0f"),
            (overall_rate, ",.0f"),
            (overall_cpu, ".2f"),
            (server_cpu, ".2f"),
            (peak_mib, ",.0f"),
        ],
    )
    lines += [
        "",
        f"![medians and runs as a plot]({plot})",
        "",
        "*Overall* counts from the start of the process to its end, with the interpreter, the imports and the "
        "connections, as an Airflow task runs it; *events/s* counts from the end of the imports. This load reads the "
        "lake's Delta table, validates every event against its contract, and writes rows, quarantine, ledger, dates "
        "and schema drift in transactions. The upper bound is psycopg sending the same rows, prepared in a file, by "
        "binary COPY into the same table: no reading, no parsing, no validation. sling and dlt cannot read this Delta "
        "table, whose rows contain each event as bytes: they read the events from local, uncompressed files of JSON "
        "lines, which is less work, and keep no ledger. dlt is set to write CSV for COPY, which is faster than its "
        "default. Contestants with fewer events process only a part of the input, because all of it would take "
        "minutes; their rates are those of this part and are not scaled.",
        "",
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
