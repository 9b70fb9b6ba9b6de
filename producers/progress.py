"""Progress of a replay: a progress bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol, TextIO

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.1


class Progress(Protocol):
    """A display of the number of confirmed records and of the event time reached."""

    def show(self, confirmed: int, at: int | None = None) -> None:
        """Shows the count and, if given, the event time (milliseconds since 1970). Cheap to call often."""


class LineProgress:
    """Prints a plain line every few seconds."""

    def __init__(self, total: int, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._out = out
        self._clock = clock
        self._last = clock()
        self._confirmed = 0
        self._at = ""

    def show(self, confirmed: int, at: int | None = None) -> None:
        """Prints a line unless the previous one is too recent; the rate is the average since the previous line."""
        if at is not None:
            self._at = _event_time(at)
        elapsed = self._clock() - self._last
        if elapsed < _LINE_SECONDS:
            return
        rate = (confirmed - self._confirmed) / elapsed
        text = f"{self._at}  {confirmed:,} of about {self._total:,} confirmed, {rate:,.0f}/s"
        if rate:
            text += f", {max(0, self._total - confirmed) / rate:,.0f} s left"
        print(text, file=self._out, flush=True)
        self._last += elapsed
        self._confirmed = confirmed


class _BarProgress:
    def __init__(self, update: Callable[[int, str], None]) -> None:
        self._update = update
        self._last = 0.0
        self._at = ""

    def show(self, confirmed: int, at: int | None = None) -> None:
        now = time.monotonic()
        if at is not None:
            self._at = _event_time(at)
        if now - self._last >= _BAR_SECONDS:
            self._last = now
            self._update(confirmed, self._at)


@contextmanager
def open_progress(total: int, out: TextIO = sys.stderr) -> Iterator[Progress]:
    """Yields a display on ``out`` of the progress towards about ``total`` records."""
    if not out.isatty():
        yield LineProgress(total, out)
        return
    # Imported here, because the import is slow and only a terminal needs it.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    ]
    with RichProgress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task("", total=total, rate="")

        def update(confirmed: int, at: str) -> None:
            bar.update(task, completed=confirmed, description=at, rate=f"{bar.tasks[0].speed or 0:,.0f}/s")

        yield _BarProgress(update)


def _event_time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")
