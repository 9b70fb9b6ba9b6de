"""The report of the sink's benchmark: a table of medians, every run, and the machine."""

from typing import Any

from bench.guarantees import after_kills
from bench.report import medians, overall_cpu, overall_rate, peak_mib, steady_cpu, steady_rate


def report(result: dict[str, Any], plot: str) -> str:
    """Returns the report in Markdown."""
    order = "in order of date" if result["ordered"] else "all of them in every commit"
    lines = [
        "# Sink performance",
        "",
        f"{result['events']:,} JSON events of {result['bytes'] / result['events']:.0f} bytes in {result['partitions']} "
        f"partitions, LZ4, over {result['dates']} event dates, {order}. One Kafka broker and one MinIO run on the same "
        "machine; the contestants run one at a time, each in a process of its own; medians of "
        f"{result['rounds']} rounds. Written by `make bench-sink`.",
        "",
        "| contestant | events | events/s | events/s, overall | CPU-s per million | CPU-s per million, overall "
        "| peak RSS, MiB | data objects | lake, MB | after kill -9: lost / doubled |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = medians(
        result,
        [
            (steady_rate, ",.0f"),
            (overall_rate, ",.0f"),
            (steady_cpu, ".2f"),
            (overall_cpu, ".2f"),
            (peak_mib, ",.0f"),
            (lambda run: run["objects"], ",.0f"),
            (lambda run: run["bytes"] / 1e6, ",.0f"),
        ],
    )
    for contestant, row in zip(result["contestants"], rows, strict=True):
        found = [each for each in result["guarantees"] if each["contestant"] == contestant["name"]]
        lines.append(f"{row} {after_kills(found) if found else 'writes nothing'} |")
    lines += [
        "",
        f"![medians and runs as a plot]({plot})",
        "",
        "*Overall* counts from the start of the process until every record is written; the other columns exclude the "
        "start-up, which ends when the sink logs that it has partitions, when quixstreams starts to read, or when the "
        "others have their first records. Kafka's own tool has no such marker. CPU is the user and system time of the "
        "process and its children, until the process exits; that of the servers is not included. The sink is "
        "configured to commit a record after two seconds at most, and that wait at the end counts as its time; all "
        "others know where the input ends. Contestants with fewer events read only a part of the input, because all "
        "of it would take many minutes; their rates are those of this part and are not scaled.",
        "",
        "*After kill -9*: each contestant that writes is killed after a quarter, half and three quarters of its median "
        "time, each time with a new group and nothing written, and run again as it was; the column has the most events "
        "that are missing before a later one of their partition, and the most rows beyond an event's first, of the "
        "three. What Iceberg had written and not committed is no part of its table, and counts as not written. Until "
        "its coordinator has committed once, a new one reads the control topic from its end (`auto.offset.reset` is "
        "`latest` by default; apache/iceberg#18006): files that were announced before the kill stay outside the table, "
        "while the tasks go on after them.",
        "",
        "Kafka Connect runs Iceberg's sink with a task per partition, polls of 20,000 records and fetches of at least "
        "a mebibyte. It stores each value as text, beside partition, offset and timestamp, in a table without "
        "partitions; its catalog is a local SQLite file. Its commits are ten seconds apart (its default is five "
        "minutes), and the wait for the last one counts as its time, though hardly as its CPU.",
        "",
        *(f"- {name}: {value}" for name, value in result["machine"].items()),
        "",
        "## All runs",
        "",
        "The last column is the CPU use of everything except the contestant and the servers, in cores.",
        "",
        "| round | contestant | events/s | CPU-s per million | CPU-s per million, overall | peak RSS, MiB | objects "
        "| load average before | other work, cores |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run['turn']} | {run['contestant']} | {steady_rate(run):,.0f} | {steady_cpu(run):.2f} "
        f"| {overall_cpu(run):.2f} | {peak_mib(run):,.0f} | {run['objects'] + run['log_objects']} | {run['load']:.1f} "
        f"| {run['others']:.2f} |"
        for run in result["runs"]
    ]
    return "\n".join(lines) + "\n"
