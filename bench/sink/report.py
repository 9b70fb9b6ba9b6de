"""The results as a page: a table of medians, every run, and the machine."""

from typing import Any

from bench.report import cost, medians, peak, rate, steady, whole


def report(result: dict[str, Any], plot: str) -> str:
    """The page in Markdown."""
    order = "date after date" if result["ordered"] else "each commit touching all of them"
    lines = [
        "# The sink's cost",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes in {result['partitions']} "
        f"partitions, LZ4, over {result['dates']} event dates, {order}. One Kafka broker and one MinIO on the same "
        f"machine; each contestant alone in a process, in turn; medians of {result['rounds']} rounds. Written by "
        "`make bench-sink`.",
        "",
        "| | events | events/s | events/s, whole run | CPU-s per million | CPU-s per million, whole run | peak RSS, "
        "MiB | data objects | lake, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += medians(
        result,
        [
            (rate, ",.0f"),
            (whole, ",.0f"),
            (steady, ".2f"),
            (cost, ".2f"),
            (peak, ",.0f"),
            (lambda run: run["objects"], ",.0f"),
            (lambda run: run["bytes"] / 1e6, ",.0f"),
        ],
    )
    lines += [
        "",
        f"![the table as a plot]({plot})",
        "",
        "*Whole run* is from the start of the process until every record is where it belongs; the columns before leave "
        "out its start-up: until it says that it has partitions (the sink), reads (quixstreams) or has its first "
        "records (the others). Kafka's own tool has no such sign. CPU is the process's user and system time with its "
        "children's, the end of the process included; the servers' is not in it. The sink is told to commit a record "
        "after two seconds at the latest, and that wait at the end counts as its time; everybody else knows where the "
        "input ends. Rows with fewer events read a part of the input, because all of it would take many minutes; "
        "rates are of that part, nothing is scaled.",
        "",
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
        "",
        "## Every run",
        "",
        "The last column is what else the machine was busy with, besides the contestant and the servers, in cores.",
        "",
        "| round | contestant | events/s | CPU-s per million | CPU-s per million, whole run | peak RSS, MiB | objects "
        "| load average before | other work, cores |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['turn']} | {run['contestant']} | {rate(run):,.0f} | {steady(run):.2f} | {cost(run):.2f} "
        f"| {run['peak'] / 2**20:,.0f} | {run['objects'] + run['log_objects']} | {run['load']:.1f} "
        f"| {run['others']:.2f} |"
        for run in result["runs"]
    ]
    return "\n".join(lines) + "\n"
