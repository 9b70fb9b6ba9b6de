"""The data of the first launch: some months replayed, carried into the lake, loaded, and shown in the marts."""

import calendar
import json
import sys
import threading
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from infra.processes.commands import InterruptedRunError, LoggedError, last_lines, run_logged
from infra.servers.service import environment
from infra.servers.services import PRODUCER
from sluice.contracts import Contract
from sluice.errors import SluiceError, TransientError
from sluice.orchestration.batch import run_loads, run_transform
from sluice.settings import ROOT, Settings
from sluice.sink.arrival import wait_for_lake

YEAR = 2013
"""The year that the real input covers."""
LAKE_SECONDS = 600
"""How long the sink may take to bring what was replayed into the lake."""


def check_months(months: int) -> None:
    """Raises a SluiceError for a number of months that the data does not have."""
    if not 0 <= months <= 12:
        raise SluiceError(
            f"MONTHS={months} is not possible", f"the data has the 12 months of {YEAR}; 0 replays nothing"
        )


def last_day(months: int) -> date:
    """The last date of the first ``months`` months, 1 to 12."""
    return date(YEAR, months, calendar.monthrange(YEAR, months)[1])


def launched(settings: Settings) -> bool:
    """Whether a first launch was brought to its end."""
    return _record(settings).exists()


def record_launch(settings: Settings, months: int) -> None:
    """Notes that the first launch, with so many months, is at its end."""
    through = str(last_day(months)) if months else None
    draft = _record(settings).with_suffix(".new")
    draft.write_text(json.dumps({"months": months, "through": through}))
    draft.replace(_record(settings))


def replay(settings: Settings, months: int, cancelled: threading.Event) -> str:
    """Sends the first ``months`` months, 1 to 12, and returns the producer's last line.

    Raises:
        LoggedError: it failed.
    """
    log = settings.home / "logs" / "replay.log"
    command = [sys.executable, "-m", "producers", "replay", f"--from={YEAR}-01-01", f"--to={last_day(months)}"]
    run_logged(command, log, environment=environment(PRODUCER, settings), folder=ROOT, cancelled=cancelled)
    return last_lines(log, 1).strip()


def fill_lake(settings: Settings, contracts: Mapping[str, Contract], cancelled: threading.Event) -> str:
    """Waits until everything that Kafka holds now is in the lake; returns how much that is.

    Raises:
        LoggedError: the sink has not brought it in time.
    """

    def pause() -> None:
        if cancelled.wait(0.5):
            raise InterruptedRunError("the sink was still at work", "start it again")

    try:
        return f"{wait_for_lake(settings, contracts, LAKE_SECONDS, pause):,} records"
    except TransientError as error:
        raise LoggedError(error.message, settings.home / "logs" / "sink.log") from error


def build_marts(settings: Settings) -> str:
    """Has Airflow load what is in the lake and build the marts."""

    def quiet(_: str) -> None:
        """Their own progress is in Airflow's logs; a launch says a line per step."""

    run_loads(settings, show=quiet)
    run_transform(settings, show=quiet)
    return "built"


def _record(settings: Settings) -> Path:
    return settings.home / "launched.json"
