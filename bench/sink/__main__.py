"""``python -m bench.sink``: starts servers, fills a topic, runs the contestants in turn and writes the results."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.measure import Contestant, measure
from bench.report import machine
from bench.servers import PYTHON, STREAM, empty, install, server_cpu, servers
from bench.sink.contestants.spec import Spec
from bench.sink.events import events, produce
from bench.sink.field import FIELD, SLUICE, landed
from bench.sink.report import report
from sluice.lake.bucket import ROOT_USER
from sluice.settings import ROOT, Settings

PARTITIONS = 4


def main() -> int:
    """Runs the benchmark; exit code 0 when every contestant has run."""
    parser = argparse.ArgumentParser(prog="bench.sink", description=__doc__)
    parser.add_argument("--events", type=int, default=4_800_000)
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--ordered", action="store_true", help="date after date, in place of all dates at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of contestants, comma-separated")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "sink")
    chosen = parser.parse_args()
    wanted = [each for each in FIELD if not chosen.only or each.name in chosen.only.split(",")]
    if any(each is not SLUICE for each in wanted):
        install()
    runs = []
    with servers(["kafka", "minio"], PARTITIONS) as (settings, file):
        began = time.monotonic()
        size = produce(settings.kafka, STREAM, PARTITIONS, events(chosen.events, chosen.dates, chosen.ordered))
        print(f"{chosen.events:,} events, {size / chosen.events:.0f} bytes each, in {time.monotonic() - began:.0f} s")
        for turn in range(1, chosen.rounds + 1):
            for each in wanted:
                run = one(each, settings, file, chosen.events, turn)
                runs.append(run)
                print(
                    f"round {turn} {each.name}: {run['events'] / run['seconds']:,.0f} events/s, "
                    f"{run['cpu'] / run['events'] * 1e6:.2f} CPU-s/M (after start-up "
                    f"{run['events'] / (run['seconds'] - run['start_seconds']):,.0f}, "
                    f"{(run['cpu'] - run['start_cpu']) / run['events'] * 1e6:.2f}), {run['peak'] >> 20} MiB, "
                    f"{run['objects']} objects, load {run['load']:.1f}, others {run['others']:.2f} cores",
                    flush=True,
                )
    result = {
        "events": chosen.events,
        "bytes": size,
        "dates": chosen.dates,
        "ordered": chosen.ordered,
        "partitions": PARTITIONS,
        "rounds": chosen.rounds,
        "machine": machine(),
        "contestants": [{"name": e.name, "label": e.label, "share": e.share} for e in wanted],
        "runs": runs,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    chosen.out.with_suffix(".md").write_text(report(result, f"{chosen.out.name}.svg"))
    if PYTHON.exists():
        plot = [PYTHON, "-m", "bench.plot", chosen.out.with_suffix(".json"), chosen.out.with_suffix(".svg")]
        subprocess.run(plot, check=True, cwd=ROOT)
    print(chosen.out.with_suffix(".md").read_text())
    return 0


def one(contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int) -> dict[str, float]:
    """One contestant's run, from nothing to its share of the events, with what it left in the bucket."""
    name = f"{contestant.name}_{turn}"
    sink = contestant is SLUICE
    prefix = STREAM if sink else name
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
    # The age limit, so that the sink, which does not know that the input ends, commits the last records soon.
    environment = {"SLUICE_ENV_FILE": str(file), "SLUICE_SINK_AGE_SECONDS": "2"} if sink else spec.variables()
    before = server_cpu(settings)
    output = settings.home / f"{name}.log"
    usage = measure(
        contestant.command(spec), environment, output, contestant.marker, landed(settings) if sink else None
    )
    others = max(0.0, usage.machine_cpu - usage.cpu - (server_cpu(settings) - before)) / usage.seconds
    return {
        "contestant": contestant.name,
        "turn": turn,
        "events": spec.events,
        **asdict(usage),
        **empty(settings, prefix),
        "others": others,
    }


if __name__ == "__main__":
    sys.exit(main())
