"""``python -m bench.load``: starts servers, fills a lake, runs the contestants one by one and writes the results."""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.arguments import event_count
from bench.load.contestants.spec import Spec
from bench.load.lake import fill_lake, json_lines, with_invalid
from bench.load.lineup import LINEUP, SLUICE
from bench.load.report import report
from bench.measure import Contestant, measure
from bench.report import machine, steady_rate
from bench.servers import PYTHON, STREAM, install_contestants, server_cpu, servers
from bench.sink.events import events
from infra.servers.service import LEAN
from sluice.contracts import load_contracts
from sluice.lake.maintenance import maintain
from sluice.load import load
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect, uri

PARTITIONS = 4
DATES = 24
INVALID_SHARE = 0.01


def main() -> int:
    """Runs the benchmark; returns exit code 0 once every contestant has run."""
    parser = argparse.ArgumentParser(prog="bench.load", description="Measure the load against alternatives.")
    parser.add_argument("--events", type=event_count, default=1_000_000, help="number of events")
    parser.add_argument(
        "--versions", type=int, default=10_000, help="table versions before the events; 0 skips this case"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs per contestant")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results" / "load", help="path of the results, without a suffix"
    )
    options = parser.parse_args()
    install_contestants()
    runs: list[dict[str, Any]] = []
    contestants = [{"name": contestant.name, "label": contestant.label} for contestant in LINEUP]
    with servers(["minio", "postgres"], PARTITIONS) as (settings, file):
        size = fill_lake(settings, STREAM, PARTITIONS, events(options.events, DATES, ordered=True))
        for contestant in LINEUP:
            lines = islice(events(options.events, DATES, ordered=True), int(options.events * contestant.share))
            json_lines(settings.home / contestant.name, lines if contestant.share < 1 else [])
        load(settings, load_contracts(settings.contracts)[STREAM])
        export_rows(settings)
        for turn in range(1, options.rounds + 1):
            runs += [run_contestant(contestant, settings, file, options.events, turn) for contestant in LINEUP]
    label = f"{SLUICE.label}, {INVALID_SHARE:.0%} of the events invalid"
    cases = {"sluice_bad": (label, with_invalid(events(options.events, DATES, ordered=True), INVALID_SHARE), 0)}
    if options.versions:
        label = f"{SLUICE.label}, after {options.versions:,} table versions"
        cases["sluice_versions"] = (label, events(options.events, DATES, ordered=True), options.versions)
    for name, (label, records, versions) in cases.items():
        contestants.append({"name": name, "label": label})
        with servers(["minio", "postgres"], PARTITIONS) as (settings, file):
            contract = load_contracts(settings.contracts)[STREAM]
            next_offsets = dict.fromkeys(range(PARTITIONS), 0)
            if versions:
                fill_lake(settings, STREAM, PARTITIONS, events(versions * 24, 1, ordered=True), 24, next_offsets)
                load(settings, contract)
                maintain(settings, contract, {})
            fill_lake(settings, STREAM, PARTITIONS, records, next_offsets=next_offsets)
            with connect(settings, "postgres") as server:
                server.execute("create schema saved")
                for table in map(sql.Identifier, ("loads", "dates")):
                    server.execute(sql.SQL("create table saved.{} as select * from ops.{}").format(table, table))
            for turn in range(1, options.rounds + 1):
                runs.append(run_contestant(SLUICE, settings, file, options.events, turn) | {"contestant": name})
    result = {
        "events": options.events,
        "bytes": size,
        "dates": DATES,
        "partitions": PARTITIONS,
        "rounds": options.rounds,
        "machine": machine(),
        "contestants": contestants,
        "runs": runs,
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
    plot = [PYTHON, "-m", "bench.plot", options.out.with_suffix(".json"), options.out.with_suffix(".svg")]
    subprocess.run(plot, check=True, cwd=ROOT)
    print(options.out.with_suffix(".md").read_text())
    return 0


def run_contestant(
    contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int
) -> dict[str, Any]:
    """Runs a contestant into an empty table and returns its figures."""
    empty_tables(settings)
    contract = load_contracts(settings.contracts)[STREAM]
    spec = Spec(
        folder=str(settings.home / contestant.name),
        copy=str(settings.home / "rows.copy"),
        dsn=uri(settings, "postgres").partition("?")[0],
        table=contract.table,
    )
    environment = spec.variables() | LEAN | {"SLUICE_ENV_FILE": str(file)}
    output = settings.home / f"{contestant.name}_{turn}.log"
    before = server_cpu(settings)
    usage = measure(contestant.command(spec), environment, output, contestant.marker, None)
    run = {
        "contestant": contestant.name,
        "turn": turn,
        "events": int(count * contestant.share),
        **asdict(usage),
        "server_cpu": server_cpu(settings) - before,
    }
    print(f"round {turn} {contestant.name}: {steady_rate(run):,.0f} events/s, {usage.peak >> 20} MiB", flush=True)
    return run


def empty_tables(settings: Settings) -> None:
    """Empties the tables that loads fill, restores the ledger from schema ``saved`` if it exists, and checkpoints."""
    table = load_contracts(settings.contracts)[STREAM].table
    with connect(settings, "postgres") as server:
        server.execute(sql.SQL("truncate raw.quarantine, {}").format(sql.Identifier("raw", table)))
        server.execute("truncate ops.loads, ops.dates, ops.drift, ops.stale_dates")
        server.execute("drop schema if exists bench_dlt, bench_dlt_staging cascade")
        server.execute("drop table if exists bench_pandas, bench_sling")
        if server.execute("select from pg_namespace where nspname = 'saved'").rowcount:
            for table_name in ("loads", "dates"):
                name = sql.Identifier(table_name)
                server.execute(sql.SQL("insert into ops.{} select * from saved.{}").format(name, name))
        server.commit()
        server.autocommit = True
        server.execute("checkpoint")


def export_rows(settings: Settings) -> None:
    """Writes the loaded rows to a file in the format of binary COPY."""
    table = load_contracts(settings.contracts)[STREAM].table
    statement = sql.SQL("copy {} to stdout (format binary)").format(sql.Identifier("raw", table))
    with (
        psycopg.connect(uri(settings, "postgres")) as server,
        server.cursor().copy(statement) as copy,
        (settings.home / "rows.copy").open("wb") as out,
    ):
        for block in copy:
            out.write(block)


if __name__ == "__main__":
    sys.exit(main())
