"""How a replay is getting on: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol, TextIO

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.1


class Progress(Protocol):
    """Something that shows how many records are confirmed, and how far event time has come."""

    def show(self, confirmed: int, at: int | None = None) -> None:
        """Shows the count and, if given, the event time (milliseconds since 1970); cheap if called too often."""


class Lines:
    """A plain line every few seconds."""

    def __init__(self, total: int, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._out = out
        self._clock = clock
        self._last = clock()
        self._confirmed = 0
        self._at = ""

    def show(self, confirmed: int, at: int | None = None) -> None:
        """Writes a line if the last one is some seconds old; its rate is that of the time between the two."""
        if at is not None:
            self._at = _moment(at)
        passed = self._clock() - self._last
        if passed < _LINE_SECONDS:
            return
        rate = (confirmed - self._confirmed) / passed
        text = f"{self._at}  {confirmed:,} of about {self._total:,} confirmed, {rate:,.0f}/s"
        if rate:
            text += f", {max(0, self._total - confirmed) / rate:,.0f} s left"
        print(text, file=self._out, flush=True)
        self._last += passed
        self._confirmed = confirmed


class _Bar:
    def __init__(self, update: Callable[[int, str], None]) -> None:
        self._update = update
        self._last = 0.0
        self._at = ""

    def show(self, confirmed: int, at: int | None = None) -> None:
        now = time.monotonic()
        if at is not None:
            self._at = _moment(at)
        if now - self._last >= _BAR_SECONDS:
            self._last = now
            self._update(confirmed, self._at)


@contextmanager
def open_progress(total: int, out: TextIO = sys.stderr) -> Iterator[Progress]:
    """Shows progress towards about ``total`` records on ``out``, in the way that suits it."""
    if not out.isatty():
        yield Lines(total, out)
        return
    from rich.console import Console  # only here: it takes longer to import than a file's reader would like
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    ]
    with Rich(*columns, console=Console(file=out)) as rich:
        task = rich.add_task("", total=total, rate="")

        def update(confirmed: int, at: str) -> None:
            rich.update(task, completed=confirmed, description=at, rate=f"{rich.tasks[0].speed or 0:,.0f}/s")

        yield _Bar(update)


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")
