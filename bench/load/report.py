"""The results as a page: a table of medians, every run, and the machine."""

from typing import Any

from bench.report import Run, cost, medians, peak, rate, whole


def server_cost(run: Run) -> float:
    """CPU-seconds of Postgres and MinIO per million events."""
    return float(run["server_cpu"] / run["events"] * 1e6)


def report(result: dict[str, Any], plot: str) -> str:
    """The page in Markdown."""
    lines = [
        "# The load's cost",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes, of "
        f"{result['partitions']} partitions and {result['dates']} event dates, date after date, into a table of 17 "
        "columns. MinIO and Postgres "
        f"on the same machine; each contestant alone in a process, in turn; medians of {result['rounds']} rounds. "
        "Written by `make bench-load`.",
        "",
        "| | events | events/s | events/s, whole process | CPU-s per million | servers' CPU-s per million "
        "| peak RSS, MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += medians(result, [(rate, ",.0f"), (whole, ",.0f"), (cost, ".2f"), (server_cost, ".2f"), (peak, ",.0f")])
    lines += [
        "",
        f"![the table as a plot]({plot})",
        "",
        "*Whole process* is from its start to its end, with the interpreter, the imports and the connections, as a "
        "task of Airflow runs it; the column before begins after the imports. This load reads the lake's Delta table, "
        "checks "
        "each event against its contract, and writes rows, quarantine, ledger, dates and drift in transactions. The "
        "limit is psycopg sending the same rows, ready in a file, by binary COPY into the same table: no reading, no "
        "parsing, no checks. sling and dlt cannot be given this Delta table, whose rows hold each event as bytes: they "
        "read the events from local files of JSON lines, uncompressed, which is less work, and keep no ledger. dlt "
        "writes CSV for COPY, which is faster than its default. Rows with fewer events load a part, because all would "
        "take minutes; rates are of that part, nothing is scaled.",
        "",
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
        "",
        "## Every run",
        "",
        "| round | contestant | events/s | events/s, whole process | CPU-s per million | peak RSS, MiB |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['turn']} | {run['contestant']} | {rate(run):,.0f} | {run['events'] / run['seconds']:,.0f} "
        f"| {cost(run):.2f} | {run['peak'] / 2**20:,.0f} |"
        for run in result["runs"]
    ]
    return "\n".join(lines) + "\n"
