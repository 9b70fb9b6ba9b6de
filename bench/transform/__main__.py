"""``python -m bench.transform``: measures transforms by stale dates and history, and the rebuilds by late events."""

import argparse
import json
import re
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
from bench.transform.warehouse import RawTables, postgres
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
    parser = argparse.ArgumentParser(
        prog="bench.transform", description="Measure transforms by stale dates and history."
    )
    parser.add_argument("--months", type=int, nargs="+", default=[1, 3, 12], help="numbers of months loaded")
    parser.add_argument("--dates", type=int, nargs="+", default=[1, 7, 30, 90, 365], help="numbers of stale dates")
    parser.add_argument("--rounds", type=int, default=3, help="runs per case of up to 30 dates")
    parser.add_argument("--late-days", type=int, default=14, help="days of events for the late events")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "bench" / "results" / "transform",
        help="path of the results, without a suffix",
    )
    options = parser.parse_args()
    late = []
    for at_once in (True, False):
        with postgres() as settings:
            late.append(late_events(Bench(settings), options.late_days, at_once=at_once))
    with postgres() as settings:
        runs = list(by_history(Bench(settings), options.months, options.dates, options.rounds))
    result = {"machine": machine(), "rounds": options.rounds, "runs": runs, "late": late}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(report(result))
    print(report(result))


class Bench:
    """A warehouse in which transforms are measured."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.raw = RawTables(settings)
        self._server = psutil.Process(int((data(settings) / "postmaster.pid").read_text().split()[0]))

    def events(self, first: date, last: date) -> Iterator[list[Event]]:
        """Yields the events of a range of dates, without faults, in batches."""
        return Timeline(self.raw.contracts, first, last).batches()

    def transform(self) -> dict[str, Any]:
        """Runs a transform; returns its seconds, the CPU-seconds of dbt and of Postgres, and the rows written."""
        lines: list[str] = []
        dbt = Dbt(self.settings, lines.append)
        children, server = _cpu(resource.getrusage(resource.RUSAGE_CHILDREN)), self._server_cpu()
        written = self._rows_written()
        started = time.monotonic()
        completed = transform(self.settings, self.raw.contracts, dbt=dbt, run="bench", log_line=lines.append)
        seconds = time.monotonic() - started
        return {
            "seconds": seconds,
            "dbt_cpu": _cpu(resource.getrusage(resource.RUSAGE_CHILDREN)) - children,
            "postgres_cpu": self._server_cpu() - server,
            "publish_seconds": next(
                float(match[1]) for line in lines if (match := re.match(r"published \d+ marts in (\S+) s", line))
            ),
            "dates": len({day for days in completed.dates.values() for day in days}),
            "parsed_anew": any("full parse" in line for line in lines),
            **{name: count - written[name] for name, count in self._rows_written().items()},
        }

    def _server_cpu(self) -> float:
        """Returns the CPU-seconds of the server's processes, exited ones included."""
        times = [self._server.cpu_times()]
        exited = times[0].children_user + times[0].children_system
        for process in self._server.children():
            # It may have exited in the meantime; its CPU time then counts for the next measurement.
            with suppress(psutil.NoSuchProcess):
                times.append(process.cpu_times())
        return float(exited + sum(process_times.user + process_times.system for process_times in times))

    def _rows_written(self) -> dict[str, int]:
        with connect(self.settings, "postgres") as connection:
            connection.autocommit = True
            # A session's counts appear in the statistics once the session has ended.
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
    """Runs transforms for each number of stale dates, with each number of months loaded; yields their figures."""
    loaded = 0
    for month in months:
        for batch in bench.events(date(2013, loaded + 1, 1), date(2013, month, monthrange(2013, month)[1])):
            bench.raw.write(batch)
        loaded = month
        yield {"months": month, "touched": 0, "turn": 0, **bench.transform()}
        with connect(bench.settings, "postgres") as connection:
            # As autovacuum would do within a minute.
            connection.autocommit = True
            connection.execute("vacuum analyze")
        for stale in dates:
            # Not the first day, for which the source has fewer events.
            first, last = date(2013, 1, 2), date(2013, month, monthrange(2013, month)[1])
            days = [first + timedelta(days=n) for n in range(stale)]
            if stale > 1 and stale > (last - first).days + 2:
                continue
            for turn in range(1, (rounds if stale <= 30 else 1) + 1):
                bench.raw.mark_stale(days)
                run = {"months": month, "touched": stale, "turn": turn, **bench.transform()}
                print(json.dumps(run), flush=True)
                yield run


def late_events(bench: Bench, days: int, *, at_once: bool) -> dict[str, Any]:
    """Measures the rebuilds by late events: in one transform, or in one for each day on which they arrive."""
    late: list[Event] = []
    events = bench.events(FIRST, FIRST + timedelta(days=days - 1))
    for batch in inject_faults(events, Faults(late=0.05), bench.raw.contracts):
        bench.raw.write(event for event in batch if event.fault != LATE)
        late += [event for event in batch if event.fault == LATE]
    bench.transform()
    runs = []
    for _, group in groupby(late, key=lambda event: None if at_once else event.due // DAY_MS):
        bench.raw.write(group)
        runs.append(bench.transform())
    return {"events": len(late), "days": days, "runs": runs}


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
