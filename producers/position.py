"""What has been sent so far, kept across restarts: how far replays came, and where the going-on producer stands."""

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
    """The file that holds the positions. Several processes may use it at once."""

    def __init__(self, home: Path) -> None:
        self._path = home / "producer.json"
        self._lock = home / "producer.lock"

    def replayed(self, through: date) -> None:
        """Notes that a replay was confirmed to the end of ``through``; only the latest date is kept."""
        with self._changed() as state:
            state["replayed_through"] = max(state.get("replayed_through", ""), through.isoformat())

    @property
    def replayed_through(self) -> date | None:
        """The latest date to which a replay was confirmed."""
        found = self._read().get("replayed_through")
        return date.fromisoformat(found) if found else None

    def save_live_position(self, first: date, since: int) -> None:
        """Notes the going-on producer's place.

        Args:
            first: the date with which it began.
            since: all its events before this event time (milliseconds since 1970) are confirmed.
        """
        with self._changed() as state:
            state["live"] = {"first": first.isoformat(), "since": since}

    @property
    def live(self) -> tuple[date, int] | None:
        """What ``save_live_position`` noted last."""
        found = self._read().get("live")
        return (date.fromisoformat(found["first"]), int(found["since"])) if found else None

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed; written whole or not at all."""
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
            raise TerminalError(
                f"{self._path} cannot be written: {error.strerror}", "see to the folder and its disk"
            ) from None

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise TerminalError(f"{self._path} cannot be read: {error}", "delete it: sending starts anew") from None
        return state
