"""``python -m bench.sink``: starts servers, fills a topic, runs the contestants one by one and writes the results."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.arguments import event_count
from bench.guarantees import Attempt, after_kills, guarantees, moments
from bench.measure import Contestant, measure
from bench.report import Run, machine, overall_cpu, overall_rate, steady_cpu, steady_rate
from bench.servers import PYTHON, STREAM, delete_objects, install_contestants, server_cpu, servers
from bench.sink.contestants.spec import Spec
from bench.sink.events import events, produce
from bench.sink.lineup import DISCARDING, ENDLESS, LINEUP, SLUICE, finished
from bench.sink.report import report
from bench.sink.written import event_numbers, lost_and_doubled
from infra.config.ports import free_ports
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
    runs: list[Run] = []
    found: list[Run] = []
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
        for contestant in contestants:
            if contestant.name not in DISCARDING:
                found += kill_contestant(contestant, settings, file, options.events, runs)
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
        "guarantees": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
    if PYTHON.exists():
        plot = [PYTHON, "-m", "bench.plot", options.out.with_suffix(".json"), options.out.with_suffix(".svg")]
        subprocess.run(plot, check=True, cwd=ROOT)
    print(options.out.with_suffix(".md").read_text())
    return 0


def run_contestant(contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int) -> Run:
    """Runs a contestant over its share of the events; returns its figures, with those of the objects it wrote."""
    spec = spec_of(contestant, settings, f"{contestant.name}_{turn}", int(count * contestant.share))
    before = server_cpu(settings)
    output = settings.home / f"{contestant.name}_{turn}.log"
    usage = measure(
        contestant.command(spec),
        variables(contestant, spec, file),
        output,
        contestant.marker,
        finished(contestant, settings, spec),
    )
    others = max(0.0, usage.machine_cpu - usage.cpu - (server_cpu(settings) - before)) / usage.seconds
    return {
        "contestant": contestant.name,
        "turn": turn,
        "events": spec.events,
        **asdict(usage),
        **delete_objects(settings, spec.prefix),
        "others": others,
    }


def kill_contestant(
    contestant: Contestant[Spec], settings: Settings, file: Path, count: int, runs: list[Run]
) -> list[Run]:
    """Kills a contestant at several moments, each time runs it again, and returns what was lost and doubled."""
    own_runs = [run for run in runs if run["contestant"] == contestant.name]
    # One that stops after a number of events needs as many again when it is run again.
    share = 1.0 if contestant.name in ENDLESS else min(contestant.share, 0.4)
    seconds = [moment * share / contestant.share for moment in moments(own_runs)]
    specs: list[Spec] = []

    def begin() -> Attempt:
        if specs:
            delete_objects(settings, specs[-1].prefix)
        name = f"{contestant.name}_killed_{len(specs) + 1}"
        spec = spec_of(contestant, settings, name, int(count * share))
        specs.append(spec)
        return Attempt(
            contestant.command(spec),
            variables(contestant, spec, file),
            settings.home / f"{name}.log",
            lambda: lost_and_doubled(event_numbers(contestant.name, settings, spec), PARTITIONS),
            lambda: finished(contestant, settings, spec, was_killed=True),
        )

    found = guarantees(seconds, begin)
    delete_objects(settings, specs[-1].prefix)
    print(f"{contestant.name} after kill -9, lost / doubled: {after_kills(found)}", flush=True)
    return [{"contestant": contestant.name, **guarantee} for guarantee in found]


def spec_of(contestant: Contestant[Spec], settings: Settings, name: str, count: int) -> Spec:
    """Returns the parameters of a contestant that begins with nothing: its group and its folder are new."""
    state = settings.home / "state" / name
    state.mkdir(parents=True)
    return Spec(
        kafka=settings.kafka,
        topic=STREAM,
        group=name,
        events=count,
        minio=settings.minio,
        bucket=settings.lake_bucket,
        prefix=STREAM if contestant is SLUICE else name,
        user=ROOT_USER,
        password=settings.secret("minio_root_password"),
        state=str(state),
        port=free_ports(1)[0],
    )


def variables(contestant: Contestant[Spec], spec: Spec, file: Path) -> dict[str, str]:
    """Returns a contestant's environment variables."""
    if contestant is SLUICE:
        # The sink does not know where the input ends: this age limit makes it commit the last records soon.
        return {"SLUICE_ENV_FILE": str(file), "SLUICE_SINK_AGE_SECONDS": "2"}
    return spec.variables()


if __name__ == "__main__":
    sys.exit(main())
