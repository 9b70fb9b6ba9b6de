"""``python -m bench.load``: starts servers, fills a lake, runs the contestants one by one and writes the results."""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql

from bench.arguments import event_count
from bench.guarantees import Attempt, after_kills, after_second_run, guarantees, moments
from bench.load.contestants.spec import Spec
from bench.load.lake import fill_lake, json_lines, parquet_rows, with_invalid
from bench.load.lineup import LINEUP, OWN_TABLES, SLUICE, rows_of
from bench.load.report import report
from bench.load.rows import copies, lost_and_doubled
from bench.measure import Contestant, measure
from bench.report import Run, machine, steady_rate
from bench.servers import PYTHON, STREAM, install_contestants, server_cpu, servers
from bench.sink.events import events
from infra.servers.service import LEAN
from sluice.contracts import load_contracts
from sluice.lake.layout import storage_options, table_uri
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
    runs: list[Run] = []
    found: list[Run] = []
    contestants = [{"name": contestant.name, "label": contestant.label} for contestant in LINEUP]
    with servers(["minio", "postgres"], PARTITIONS) as (settings, file):
        size = fill_lake(settings, STREAM, PARTITIONS, events(options.events, DATES, ordered=True))
        for contestant in LINEUP:
            lines = islice(events(options.events, DATES, ordered=True), int(options.events * contestant.share))
            json_lines(settings.home / contestant.name, lines if contestant.share < 1 else [])
        load(settings, load_contracts(settings.contracts)[STREAM])
        export_rows(settings)
        parquet_rows(settings, STREAM, settings.home / "rows")
        for turn in range(1, options.rounds + 1):
            runs += [run_contestant(contestant, settings, file, options.events, turn) for contestant in LINEUP]
        for contestant in LINEUP:
            found += kill_contestant(contestant, settings, file, runs)
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
            case = replace(SLUICE, name=name)
            runs += [run_contestant(case, settings, file, options.events, turn + 1) for turn in range(options.rounds)]
            found += kill_contestant(case, settings, file, runs)
    result = {
        "events": options.events,
        "bytes": size,
        "dates": DATES,
        "partitions": PARTITIONS,
        "rounds": options.rounds,
        "machine": machine(),
        "contestants": contestants,
        "runs": runs,
        "guarantees": found,
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result, f"{options.out.name}.svg"))
    plot = [PYTHON, "-m", "bench.plot", options.out.with_suffix(".json"), options.out.with_suffix(".svg")]
    subprocess.run(plot, check=True, cwd=ROOT)
    print(options.out.with_suffix(".md").read_text())
    return 0


def run_contestant(contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int) -> Run:
    """Runs a contestant into an empty table and returns its figures."""
    empty_tables(settings, contestant)
    command, environment = invocation(contestant, settings, file)
    output = settings.home / f"{contestant.name}_{turn}.log"
    before = server_cpu(settings)
    usage = measure(command, environment, output, contestant.marker, None)
    run = {
        "contestant": contestant.name,
        "turn": turn,
        "events": int(count * contestant.share),
        **asdict(usage),
        "server_cpu": server_cpu(settings) - before,
    }
    print(f"round {turn} {contestant.name}: {steady_rate(run):,.0f} events/s, {usage.peak >> 20} MiB", flush=True)
    return run


def kill_contestant(contestant: Contestant[Spec], settings: Settings, file: Path, runs: list[Run]) -> list[Run]:
    """Kills a contestant at several moments, each time runs it again, and returns what was lost and doubled."""
    own_runs = [run for run in runs if run["contestant"] == contestant.name]
    rows = rows_of(contestant.name, load_contracts(settings.contracts)[STREAM].table)

    def count() -> tuple[int, int]:
        with connect(settings, "postgres") as server:
            return lost_and_doubled(copies(server, rows), own_runs[0]["events"])

    def begin() -> Attempt:
        empty_tables(settings, contestant)
        command, environment = invocation(contestant, settings, file)
        return Attempt(command, environment, settings.home / f"{contestant.name}_killed.log", count)

    found = guarantees([*moments(own_runs), None], begin)
    print(
        f"{contestant.name} after kill -9, lost / doubled: {after_kills(found)}; run twice: {after_second_run(found)}",
        flush=True,
    )
    return [{"contestant": contestant.name, **guarantee} for guarantee in found]


def invocation(contestant: Contestant[Spec], settings: Settings, file: Path) -> tuple[list[str | Path], dict[str, str]]:
    """Returns a contestant's command line and its environment variables."""
    spec = Spec(
        folder=str(settings.home / contestant.name),
        copy=str(settings.home / "rows.copy"),
        rows=str(settings.home / "rows"),
        lake=table_uri(settings, STREAM),
        storage=json.dumps(storage_options(settings, "reader")),
        state=str(state_folder(contestant, settings)),
        dsn=uri(settings, "postgres").partition("?")[0],
        table=load_contracts(settings.contracts)[STREAM].table,
    )
    return contestant.command(spec), spec.variables() | LEAN | {"SLUICE_ENV_FILE": str(file)}


def state_folder(contestant: Contestant[Spec], settings: Settings) -> Path:
    """Returns the folder of what a contestant keeps between its runs."""
    return settings.home / "state" / contestant.name


def empty_tables(settings: Settings, contestant: Contestant[Spec]) -> None:
    """Empties all tables and a contestant's state, restores the ledger from ``saved`` if it exists, and checkpoints."""
    shutil.rmtree(state_folder(contestant, settings), ignore_errors=True)
    state_folder(contestant, settings).mkdir(parents=True)
    table = load_contracts(settings.contracts)[STREAM].table
    with connect(settings, "postgres") as server:
        server.execute(sql.SQL("truncate raw.quarantine, {}").format(sql.Identifier("raw", table)))
        server.execute("truncate ops.loads, ops.dates, ops.drift, ops.stale_dates")
        for schema, own_table in OWN_TABLES.values():
            own = [sql.Identifier(schema), sql.Identifier(f"{schema}_staging")]
            drop = sql.SQL("drop table if exists {}").format(sql.Identifier(schema, own_table))
            if schema != "public":
                drop = sql.SQL("drop schema if exists {} cascade").format(sql.SQL(", ").join(own))
            server.execute(drop)
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
