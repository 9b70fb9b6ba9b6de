"""What a backfill is asked to do, and what is kept of one until its proof is made."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from sluice.backfill.snapshot import Snapshot
from sluice.settings import Settings


@dataclass(frozen=True)
class Request:
    """Event dates (UTC, both ends included) of some streams; ``what`` of them is made again: raw, marts or all."""

    first: date
    last: date
    streams: tuple[str, ...]
    what: str

    @property
    def days(self) -> list[date]:
        """Its dates, ascending."""
        return [self.first + timedelta(days=step) for step in range((self.last - self.first).days + 1)]

    @property
    def conf(self) -> dict[str, object]:
        """The parameters of the runs."""
        return {"streams": list(self.streams), "what": self.what}


@dataclass(frozen=True)
class Unfinished:
    """A backfill that began and has no proof yet."""

    request: Request
    before: Snapshot
    backfill: int
    """Airflow's number of it, or of the last one that went on with it."""
    began: str
    """When its first backfill was made, by Airflow's clock, in ISO 8601."""


def keep(settings: Settings, unfinished: Unfinished) -> None:
    """Writes it down, in place of what was there."""
    file = path(settings)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    fields = asdict(unfinished) | {"before": unfinished.before.fields()}
    draft.write_text(json.dumps(fields, default=str))
    draft.rename(file)


def kept(settings: Settings, request: Request) -> Unfinished | None:
    """What is written down of this same request; None where there is nothing, or another request."""
    try:
        fields = json.loads(path(settings).read_text())
        asked = fields["request"]
        found = Request(
            date.fromisoformat(asked["first"]),
            date.fromisoformat(asked["last"]),
            tuple(asked["streams"]),
            asked["what"],
        )
        before = Snapshot.of(fields["before"])
        return Unfinished(found, before, fields["backfill"], fields["began"]) if found == request else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Never written, or by another release: the figures are then taken anew.
        return None


def forget(settings: Settings) -> None:
    """Removes what is written down: its proof is made."""
    path(settings).unlink(missing_ok=True)


def path(settings: Settings) -> Path:
    """Where it is written down; without the file a command begins anew."""
    return settings.home / "backfill.json"
