"""The data of the first launch: months of flights, replayed, ingested into the lake, loaded and built into marts.

The year and its months are facts of the flights data set.
"""

import calendar
import json
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

from infra.processes.commands import InterruptedRunError, LoggedError, last_lines, run_logged
from infra.servers.airflow import API_SERVER
from infra.servers.service import environment
from infra.servers.services import PRODUCER
from sluice.contracts import Contract, topic_names
from sluice.errors import SluiceError, TransientError
from sluice.orchestration.batch import run_loads, run_transform
from sluice.orchestration.follow import retry_until
from sluice.settings import ROOT, Settings
from sluice.sink.arrival import wait_for_lake

YEAR = 2013
"""The year that the flights data set covers."""
DEFAULT_MONTHS = 1
"""How many of its months the first launch replays."""
AIRFLOW_TIMEOUT = timedelta(seconds=API_SERVER.start_seconds)
"""How long Airflow may fail to answer, which it can on a busy machine although it was healthy."""
INGEST_TIMEOUT_SECONDS = 600
"""How long the sink may take to write the replayed events to the lake."""


def check_months(months: int) -> None:
    """Raises a SluiceError if the flights data set does not have so many months."""
    if not 0 <= months <= 12:
        raise SluiceError(
            f"MONTHS={months} is out of range: the data covers the 12 months of {YEAR}",
            "set MONTHS to a number from 0 (no replay) to 12",
        )


def last_day(months: int) -> date:
    """Returns the last date of the first ``months`` months, 1 to 12."""
    return date(YEAR, months, calendar.monthrange(YEAR, months)[1])


def is_launched(settings: Settings) -> bool:
    """Returns whether the first launch is complete."""
    return _record(settings).exists()


def ignored_months(settings: Settings, months: int | None) -> list[str]:
    """Returns a line that says what to do instead if ``months`` were given after the first launch, else none.

    Args:
        settings: of the platform.
        months: as given; None if not.
    """
    if months is None or not is_launched(settings):
        return []
    launched = int(json.loads(_record(settings).read_text())["months"])
    if months == launched:
        return []
    done = f"the first launch has replayed {launched} {'month' if launched == 1 else 'months'} of {YEAR}"
    if months < launched:
        hint = "`make clean`, which deletes all data, and then `make up` start with fewer"
    else:
        hint = f"`make replay FROM={date(YEAR, launched + 1, 1)} TO={last_day(months)}` sends the others"
    return [f"warning: MONTHS={months} has no effect: {done}. Hint: {hint}."]


def months_to_replay(settings: Settings, months: int | None) -> int:
    """Returns how many months the first launch replays.

    Args:
        settings: of the platform.
        months: as given; None for the default. If a launch with more was interrupted, Kafka may have a part of each of
            its months, so all of them are replayed.
    """
    given = DEFAULT_MONTHS if months is None else months
    begun = _begun(settings)
    return max(given, int(begun.read_text())) if begun.exists() else given


def record_launch(settings: Settings, months: int) -> None:
    """Records that the first launch, with so many months, is complete."""
    through = str(last_day(months)) if months else None
    draft = _record(settings).with_suffix(".new")
    draft.write_text(json.dumps({"months": months, "through": through}))
    draft.replace(_record(settings))
    _begun(settings).unlink(missing_ok=True)


def replay(settings: Settings, months: int, cancelled: threading.Event, report: Callable[[str], None]) -> str:
    """Sends the first ``months`` months, 1 to 12, to Kafka and returns the producer's last line of output.

    What an earlier launch has sent before it was interrupted is not sent again.

    Args:
        settings: of the platform.
        months: how many.
        cancelled: set to end the producer.
        report: receives the producer's warnings.

    Raises:
        LoggedError: the producer failed.
    """
    draft = _begun(settings).with_suffix(".new")
    draft.write_text(str(months))
    draft.replace(_begun(settings))
    log = settings.home / "logs" / "replay.log"
    command = [
        sys.executable,
        "-m",
        "producers",
        "replay",
        f"--from={YEAR}-01-01",
        f"--to={last_day(months)}",
        "--resume",
    ]
    earlier = log.stat().st_size if log.exists() else 0
    run_logged(command, log, environment=environment(PRODUCER, settings), folder=ROOT, cancelled=cancelled)
    for line in log.read_bytes()[earlier:].decode(errors="replace").splitlines():
        if line.startswith("warning: "):
            report(line)
    return last_lines(log, 1).strip()


def wait_for_ingest(settings: Settings, contracts: Mapping[str, Contract], cancelled: threading.Event) -> str:
    """Waits until the sink has written all records now in Kafka to the lake; returns their number, as text.

    Raises:
        LoggedError: the sink did not finish in time.
    """

    def pause() -> None:
        if cancelled.wait(0.5):
            raise InterruptedRunError("interrupted while the sink was writing", "run `make up` again")

    try:
        return f"{wait_for_lake(settings, topic_names(contracts), INGEST_TIMEOUT_SECONDS, pause):,} records"
    except TransientError as error:
        raise LoggedError(error.message, settings.home / "logs" / "sink.log") from error


def build_marts(settings: Settings, cancelled: threading.Event, ingested: datetime | None = None) -> str:
    """Runs the loads and the transform in Airflow; returns the result for the launch's progress.

    Args:
        settings: of the platform.
        cancelled: set to end the wait.
        ingested: when all was in the lake, so that loads which the scheduler has queued since are followed; None if
            that is not known.

    Raises:
        InterruptedRunError: ``cancelled`` was set meanwhile. The runs continue in Airflow.
        SluiceError: a run failed, or Airflow has not answered for minutes.
    """
    built: Future[None] = Future()

    def quiet(_: str) -> None:
        """Prints nothing: the progress is in Airflow's logs, and a launch prints one line per step."""

    def build() -> None:
        try:
            for run in (partial(run_loads, since=ingested), run_transform):
                # A run that was triggered before is harmless: the next one finds nothing to do.
                retry_until(partial(run, settings, show=quiet), AIRFLOW_TIMEOUT)
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for.
            built.set_exception(error)
        else:
            built.set_result(None)

    # A daemon: an interrupted launch ends at once, and does not wait for runs that it does not stop.
    threading.Thread(target=build, daemon=True).start()
    while not wait([built], timeout=0.5).done:
        if cancelled.is_set():
            raise InterruptedRunError("interrupted while Airflow was building the marts", "run `make up` again")
    built.result()
    return "built"


def _record(settings: Settings) -> Path:
    return settings.home / "launched.json"


def _begun(settings: Settings) -> Path:
    """Returns the file that has the months of a first launch until it is complete."""
    return settings.home / "replayed-months"
