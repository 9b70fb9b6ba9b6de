"""``python -m bench.sink``: starts servers, fills a topic, runs the contestants one by one and writes the results."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.arguments import event_count
from bench.measure import Contestant, measure
from bench.report import machine, overall_cpu, overall_rate, steady_cpu, steady_rate
from bench.servers import PYTHON, STREAM, delete_objects, install_contestants, server_cpu, servers
from bench.sink.contestants.spec import Spec
from bench.sink.events import events, produce
from bench.sink.lineup import LINEUP, SLUICE, all_committed
from bench.sink.report import report
from sluice.lake.bucket import ROOT_USER
from sluice.settings import ROOT, Settings

PARTITIONS = 4


def main() -> int:
    """Runs the benchmark; returns exit code 0 once every contestant has run."""
    parser = argparse.ArgumentParser(prog="bench.sink", description="Measure the sink against alternatives.")
    parser.add_argument("--events", type=event_count, default=4_800_000, help="number of events")
    parser.add_argument("--dates", type=int, default=24, help="number of event dates")
    parser.add_argument(
        "--ordered", action="store_true", help="send the events in order of date, not all dates at once"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs per contestant")
    parser.add_argument("--only", default="", help="run only these contestants, comma-separated")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results" / "sink", help="path of the results, without a suffix"
    )
    options = parser.parse_args()
    contestants = [
        contestant for contestant in LINEUP if not options.only or contestant.name in options.only.split(",")
    ]
    if any(contestant is not SLUICE for contestant in contestants):
        install_contestants()
    runs = []
    with servers(["kafka", "minio"], PARTITIONS) as (settings, file):
        started = time.monotonic()
        size = produce(settings.kafka, STREAM, PARTITIONS, events(options.events, options.dates, options.ordered))
        seconds = time.monotonic() - started
        print(f"{options.events:,} events, {size / options.events:.0f} bytes each, in {seconds:.0f} s")
        for turn in range(1, options.rounds + 1):
            for contestant in contestants:
                run = run_contestant(contestant, settings, file, options.events, turn)
                runs.append(run)
                print(
                    f"round {turn} {contestant.name}: {overall_rate(run):,.0f} events/s, "
                    f"{overall_cpu(run):.2f} CPU-s/M (after start-up {steady_rate(run):,.0f}, {steady_cpu(run):.2f}), "
                    f"{run['peak'] >> 20} MiB, {run['objects']} objects, load {run['load']:.1f}, "
                    f"others {run['others']:.2f} cores",
                    flush=True,
                )
    result = {
        "events": options.events,
        "bytes": size,
        "dates": options.dates,
        "ordered": options.ordered,
        "partitions": PARTITIONS,
        "rounds": options.rounds,
        "machine": machine(),
        "contestants": [
            {"name": contestant.name, "label": contestant.label, "share": contestant.share}
            for contestant in contestants
        ],
        "runs": runs,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
    if PYTHON.exists():
        plot = [PYTHON, "-m", "bench.plot", options.out.with_suffix(".json"), options.out.with_suffix(".svg")]
        subprocess.run(plot, check=True, cwd=ROOT)
    print(options.out.with_suffix(".md").read_text())
    return 0


def run_contestant(
    contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int
) -> dict[str, Any]:
    """Runs a contestant over its share of the events; returns its figures, with those of the objects it wrote."""
    name = f"{contestant.name}_{turn}"
    is_sink = contestant is SLUICE
    prefix = STREAM if is_sink else name
    spec = Spec(
        kafka=settings.kafka,
        topic=STREAM,
        group=name,
        events=int(count * contestant.share),
        minio=settings.minio,
        bucket=settings.lake_bucket,
        prefix=prefix,
        user=ROOT_USER,
        password=settings.secret("minio_root_password"),
    )
    # The sink does not know where the input ends: this age limit makes it commit the last records soon.
    environment = {"SLUICE_ENV_FILE": str(file), "SLUICE_SINK_AGE_SECONDS": "2"} if is_sink else spec.variables()
    before = server_cpu(settings)
    output = settings.home / f"{name}.log"
    usage = measure(
        contestant.command(spec), environment, output, contestant.marker, all_committed(settings) if is_sink else None
    )
    others = max(0.0, usage.machine_cpu - usage.cpu - (server_cpu(settings) - before)) / usage.seconds
    return {
        "contestant": contestant.name,
        "turn": turn,
        "events": spec.events,
        **asdict(usage),
        **delete_objects(settings, prefix),
        "others": others,
    }


if __name__ == "__main__":
    sys.exit(main())
