"""The producer's positions, kept across restarts: the last date replayed, and where the live producer is."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from sluice.errors import TerminalError


class Positions:
    """The file that stores the positions. Several processes may use it at the same time."""

    def __init__(self, home: Path) -> None:
        self._path = home / "producer.json"
        self._lock = home / "producer.lock"

    def save_replayed_through(self, last: date) -> None:
        """Records that a replay through ``last`` was confirmed; an earlier date than the recorded one is ignored."""
        with self._locked_state() as state:
            state["replayed_through"] = max(state.get("replayed_through", ""), last.isoformat())

    @property
    def replayed_through(self) -> date | None:
        """The latest date through which a replay was confirmed; None before the first replay."""
        text = self._read().get("replayed_through")
        return date.fromisoformat(text) if text else None

    def save_live_position(self, first: date, since: int) -> None:
        """Records the position of the live producer.

        Args:
            first: the date with which it began.
            since: the event time (milliseconds since 1970) before which all its events are confirmed.
        """
        with self._locked_state() as state:
            state["live"] = {"first": first.isoformat(), "since": since}

    @property
    def live_position(self) -> tuple[date, int] | None:
        """The arguments of the last ``save_live_position``; None before the first."""
        position = self._read().get("live")
        return (date.fromisoformat(position["first"]), int(position["since"])) if position else None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Waits until no other process is in this context."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._lock.with_suffix(".replay").open("w")
        except OSError as error:
            raise _unwritable(self._lock, error) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _locked_state(self) -> Iterator[dict[str, Any]]:
        """Yields the state to be modified under a lock, then replaces the file atomically."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                state = self._read()
                yield state
                draft = self._path.with_suffix(".tmp")
                with draft.open("w", encoding="utf-8") as file:
                    json.dump(state, file)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise TerminalError(
                f"{self._path} cannot be read: {error}", "delete it; the live producer then starts from the first date"
            ) from None
        return state


def _unwritable(path: Path, error: OSError) -> TerminalError:
    return TerminalError(
        f"{path} cannot be written: {error.strerror}", "check the folder's permissions and free disk space"
    )
