"""``python -m bench.load``: starts servers, fills a lake, runs the contestants in turn and writes the results."""

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

from bench.load.contestants.spec import Spec
from bench.load.field import FIELD, SLUICE
from bench.load.lake import fill, json_lines, spoilt
from bench.load.report import report
from bench.measure import Contestant, measure
from bench.report import machine, rate
from bench.servers import PYTHON, STREAM, install, server_cpu, servers
from bench.sink.events import events
from infra.servers.service import LEAN
from sluice.contracts import load_contracts
from sluice.lake.maintenance import maintain
from sluice.load import load
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect, uri

PARTITIONS = 4
DATES = 24
BAD = 0.01


def main() -> int:
    """Runs the benchmark; exit code 0 when every contestant has run."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=10_000, help="commits before the events; 0 leaves the case out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "load")
    chosen = parser.parse_args()
    install()
    runs: list[dict[str, Any]] = []
    contestants = [{"name": each.name, "label": each.label} for each in FIELD]
    with servers(["minio", "postgres"], PARTITIONS) as (settings, file):
        size = fill(settings, STREAM, PARTITIONS, events(chosen.events, DATES, ordered=True))
        for each in FIELD:
            lines = islice(events(chosen.events, DATES, ordered=True), int(chosen.events * each.share))
            json_lines(settings.home / each.name, lines if each.share < 1 else [])
        load(settings, load_contracts(settings.contracts)[STREAM])
        copy_out(settings)
        for turn in range(1, chosen.rounds + 1):
            runs += [one(each, settings, file, chosen.events, turn) for each in FIELD]
    bad = f"{SLUICE.label}, {BAD:.0%} of the events bad"
    cases = {"sluice_bad": (bad, spoilt(events(chosen.events, DATES, ordered=True), BAD), 0)}
    if chosen.versions:
        behind = f"{SLUICE.label}, {chosen.versions:,} versions behind it"
        cases["sluice_versions"] = (behind, events(chosen.events, DATES, ordered=True), chosen.versions)
    for name, (label, records, versions) in cases.items():
        contestants.append({"name": name, "label": label})
        with servers(["minio", "postgres"], PARTITIONS) as (settings, file):
            contract = load_contracts(settings.contracts)[STREAM]
            heads = dict.fromkeys(range(PARTITIONS), 0)
            if versions:
                fill(settings, STREAM, PARTITIONS, events(versions * 24, 1, ordered=True), 24, heads)
                load(settings, contract)
                maintain(settings, contract, {})
            fill(settings, STREAM, PARTITIONS, records, heads=heads)
            with connect(settings, "postgres") as server:
                server.execute("create schema kept")
                for table in map(sql.Identifier, ("loads", "dates")):
                    server.execute(sql.SQL("create table kept.{} as select * from ops.{}").format(table, table))
            for turn in range(1, chosen.rounds + 1):
                runs.append(one(SLUICE, settings, file, chosen.events, turn) | {"contestant": name})
    result = {
        "events": chosen.events,
        "bytes": size,
        "dates": DATES,
        "partitions": PARTITIONS,
        "rounds": chosen.rounds,
        "machine": machine(),
        "contestants": contestants,
        "runs": runs,
    }
    chosen.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    chosen.out.with_suffix(".md").write_text(report(result, f"{chosen.out.name}.svg"))
    plot = [PYTHON, "-m", "bench.plot", chosen.out.with_suffix(".json"), chosen.out.with_suffix(".svg")]
    subprocess.run(plot, check=True, cwd=ROOT)
    print(chosen.out.with_suffix(".md").read_text())
    return 0


def one(contestant: Contestant[Spec], settings: Settings, file: Path, count: int, turn: int) -> dict[str, Any]:
    """One contestant's run, into an empty table."""
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
    print(f"round {turn} {contestant.name}: {rate(run):,.0f} events/s, {usage.peak >> 20} MiB", flush=True)
    return run


def empty_tables(settings: Settings) -> None:
    """Empties what loads fill, as it was when ``kept`` was made, if it was; the server's buffers are written out."""
    table = load_contracts(settings.contracts)[STREAM].table
    with connect(settings, "postgres") as server:
        server.execute(sql.SQL("truncate raw.quarantine, {}").format(sql.Identifier("raw", table)))
        server.execute("truncate ops.loads, ops.dates, ops.drift, ops.touched_dates")
        server.execute("drop schema if exists bench_dlt, bench_dlt_staging cascade")
        server.execute("drop table if exists bench_pandas, bench_sling")
        if server.execute("select from pg_namespace where nspname = 'kept'").rowcount:
            for kept in ("loads", "dates"):
                name = sql.Identifier(kept)
                server.execute(sql.SQL("insert into ops.{} select * from kept.{}").format(name, name))
        server.commit()
        server.autocommit = True
        server.execute("checkpoint")


def copy_out(settings: Settings) -> None:
    """Writes the loaded rows to a file, as binary COPY reads them."""
    table = load_contracts(settings.contracts)[STREAM].table
    statement = sql.SQL("copy {} to stdout (format binary)").format(sql.Identifier("raw", table))
    with (
        psycopg.connect(uri(settings, "postgres")) as server,
        server.cursor().copy(statement) as copy,
        (settings.home / "rows.copy").open("wb") as out,
    ):
        for part in copy:
            out.write(part)


if __name__ == "__main__":
    sys.exit(main())
