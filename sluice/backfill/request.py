"""A backfill's request, and its state on disk until it is verified."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from sluice.backfill.snapshot import Snapshot
from sluice.settings import Settings


@dataclass(frozen=True)
class Request:
    """A request to reprocess event dates (UTC, both ends included) of some streams; ``what`` is raw, marts or all."""

    first: date
    last: date
    streams: tuple[str, ...]
    what: str

    @property
    def days(self) -> list[date]:
        """The dates, ascending."""
        return [self.first + timedelta(days=step) for step in range((self.last - self.first).days + 1)]

    @property
    def conf(self) -> dict[str, object]:
        """The parameters of the DAG runs."""
        return {"streams": list(self.streams), "what": self.what}


@dataclass(frozen=True)
class Unfinished:
    """A backfill that has started and is not verified yet."""

    request: Request
    before: Snapshot
    backfill: int
    """Id of its backfill in Airflow; of the last one if the command was resumed."""
    began: str
    """When its first backfill was created, by Airflow's clock, in ISO 8601."""


def save_unfinished(settings: Settings, unfinished: Unfinished) -> None:
    """Saves an unfinished backfill, replacing any earlier one."""
    file = unfinished_path(settings)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    fields = asdict(unfinished) | {"before": unfinished.before.fields()}
    draft.write_text(json.dumps(fields, default=str))
    draft.rename(file)


def load_unfinished(settings: Settings) -> Unfinished | None:
    """Returns the saved backfill; None if there is none."""
    try:
        fields = json.loads(unfinished_path(settings).read_text())
        saved = Request(
            date.fromisoformat(fields["request"]["first"]),
            date.fromisoformat(fields["request"]["last"]),
            tuple(fields["request"]["streams"]),
            fields["request"]["what"],
        )
        before = Snapshot.of(fields["before"])
        return Unfinished(saved, before, fields["backfill"], fields["began"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Not written yet, or by another release: the backfill then starts from scratch.
        return None


def delete_unfinished(settings: Settings) -> None:
    """Deletes the saved backfill once it is verified or cancelled."""
    unfinished_path(settings).unlink(missing_ok=True)


def unfinished_path(settings: Settings) -> Path:
    """Returns the file of the saved backfill; without it, a command starts from scratch."""
    return settings.home / "backfill.json"
