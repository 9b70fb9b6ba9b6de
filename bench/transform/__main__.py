"""``python -m bench.transform``: what a transform costs by touched dates and history, and what late events rebuild."""

import argparse
import json
import resource
import time
from calendar import monthrange
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil

from bench.report import machine
from bench.transform.report import report
from bench.transform.warehouse import Filler, postgres
from infra.servers.postgres import data
from producers.events import Event
from producers.fault_injection import LATE, Faults, inject_faults
from producers.flights.timeline import Timeline
from sluice.settings import ROOT, Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect

FIRST = date(2013, 1, 1)
DAY_MS = 86_400_000


def main() -> None:
    """Runs the benchmark and writes its results."""
    parser = argparse.ArgumentParser(prog="bench.transform", description=__doc__)
    parser.add_argument("--months", type=int, nargs="+", default=[1, 3, 12])
    parser.add_argument("--dates", type=int, nargs="+", default=[1, 7, 30, 90, 365])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--late-days", type=int, default=14)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "transform")
    chosen = parser.parse_args()
    late = []
    for at_once in (True, False):
        with postgres() as settings:
            late.append(late_events(Bench(settings), chosen.late_days, at_once=at_once))
    with postgres() as settings:
        runs = list(by_history(Bench(settings), chosen.months, chosen.dates, chosen.rounds))
    result = {"machine": machine(), "rounds": chosen.rounds, "runs": runs, "late": late}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    chosen.out.with_suffix(".md").write_text(report(result))
    print(report(result))


class Bench:
    """A warehouse, and the measuring of transforms in it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.filler = Filler(settings)
        self._server = psutil.Process(int((data(settings) / "postmaster.pid").read_text().split()[0]))

    def events(self, first: date, last: date) -> Iterator[list[Event]]:
        """The undisturbed events of a range of dates."""
        return Timeline(self.filler.contracts, first, last).batches()

    def measured(self) -> dict[str, Any]:
        """Transforms what is pending; seconds, CPU-seconds of dbt and of Postgres, and rows written."""
        lines: list[str] = []
        dbt = Dbt(self.settings, lines.append)
        children, server = _used(resource.getrusage(resource.RUSAGE_CHILDREN)), self._server_cpu()
        written = self._written()
        began = time.monotonic()
        done = transform(self.settings, self.filler.contracts, dbt=dbt, run="bench", say=lines.append)
        seconds = time.monotonic() - began
        results = json.loads(dbt.results.read_text())["results"]
        return {
            "seconds": seconds,
            "dbt_cpu": _used(resource.getrusage(resource.RUSAGE_CHILDREN)) - children,
            "postgres_cpu": self._server_cpu() - server,
            "publish_seconds": next(
                each["execution_time"] for each in results if each["unique_id"].startswith("operation.")
            ),
            "dates": len({day for days in done.touched.values() for day in days}),
            "parsed_anew": any("full parse" in line for line in lines),
            **{name: count - written[name] for name, count in self._written().items()},
        }

    def _server_cpu(self) -> float:
        """CPU-seconds of the server's processes, those included that have ended."""
        used = [self._server.cpu_times()]
        total = used[0].children_user + used[0].children_system
        for process in self._server.children():
            # It may end between being found and being asked; then it is the next measurement's.
            with suppress(psutil.NoSuchProcess):
                used.append(process.cpu_times())
        return float(total + sum(each.user + each.system for each in used))

    def _written(self) -> dict[str, int]:
        with connect(self.settings, "postgres") as connection:
            connection.autocommit = True
            # A session's counts are in the statistics when it has ended.
            while connection.execute("select from pg_stat_activity where usename = 'sluice_transformer'").rowcount:
                time.sleep(0.05)
            return {
                f"{schema}_rows": int(str(rows))
                for schema, rows in connection.execute(
                    "select schemaname, n_tup_ins from pg_stat_all_tables where relname = 'fct_flights'"
                    " union all select name, 0 from (values ('staging'), ('marts')) as none_yet (name)"
                    " where to_regclass(name || '.fct_flights') is null"
                )
            }


def by_history(bench: Bench, months: Sequence[int], dates: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    """Transforms of so many touched dates, with so many months loaded."""
    loaded = 0
    for month in months:
        for batch in bench.events(date(2013, loaded + 1, 1), date(2013, month, monthrange(2013, month)[1])):
            bench.filler.fill(batch)
        loaded = month
        yield {"months": month, "touched": 0, "turn": 0, **bench.measured()}
        with connect(bench.settings, "postgres") as connection:
            # What autovacuum does within a minute.
            connection.autocommit = True
            connection.execute("vacuum analyze")
        for touched in dates:
            # Not the first days, of which the source has a few events less.
            first, last = date(2013, 1, 2), date(2013, month, monthrange(2013, month)[1])
            days = [first + timedelta(days=n) for n in range(touched)]
            if touched > 1 and touched > (last - first).days + 2:
                continue
            for turn in range(1, (rounds if touched <= 30 else 1) + 1):
                bench.filler.touch(days)
                run = {"months": month, "touched": touched, "turn": turn, **bench.measured()}
                print(json.dumps(run), flush=True)
                yield run


def late_events(bench: Bench, days: int, *, at_once: bool) -> dict[str, Any]:
    """What late events rebuild, in one transform or in one for each day on which they come."""
    late: list[Event] = []
    events = bench.events(FIRST, FIRST + timedelta(days=days - 1))
    for batch in inject_faults(events, Faults(late=0.05), bench.filler.contracts):
        bench.filler.fill(event for event in batch if event.disturbance != LATE)
        late += [event for event in batch if event.disturbance == LATE]
    bench.measured()
    runs = []
    for _, some in groupby(late, key=lambda event: None if at_once else event.due // DAY_MS):
        bench.filler.fill(some)
        runs.append(bench.measured())
    return {"events": len(late), "days": days, "runs": runs}


def _used(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
