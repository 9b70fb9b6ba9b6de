"""What a transform is about to build, kept on disk so that a retry can finish the same thing."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

PLAN = "plan.json"
RESULTS = "run_results.json"
"""dbt's own record of what it built; `dbt retry` goes on from there."""


@dataclass(frozen=True)
class Plan:
    """Rows of ``ops.touched_dates`` and what they say."""

    run: str
    """Names the attempt that it belongs to; only retries of the same one may go on with it."""
    seqs: tuple[int, ...]
    touched: dict[str, list[str]]
    """Event dates per stream, as YYYY-MM-DD, sorted."""

    @classmethod
    def of(cls, run: str, rows: Sequence[tuple[int, str, date]]) -> "Plan":
        """The plan that builds what these (seq, stream, event date) say; a date touched twice is built once."""
        dates: dict[str, set[str]] = {}
        for _, stream, day in rows:
            dates.setdefault(stream, set()).add(day.isoformat())
        return cls(run, tuple(seq for seq, _, _ in rows), {stream: sorted(dates[stream]) for stream in sorted(dates)})

    def variables(self) -> str:
        """dbt's ``--vars``."""
        return json.dumps({"touched": self.touched})


def save(folder: Path, plan: Plan, results: Path) -> None:
    """Keeps a plan that dbt began and did not finish, with dbt's record of it; without a record it keeps nothing.

    Args:
        folder: belongs to the plan alone; what it held goes.
        results: dbt's ``run_results.json`` of this plan, if dbt came so far.
    """
    forget(folder)
    if not results.exists():
        return
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    shutil.copy(results, draft / RESULTS)
    (draft / PLAN).write_text(json.dumps(asdict(plan)))
    draft.rename(folder)


def saved(folder: Path, run: str) -> Plan | None:
    """The unfinished plan of this run, or None where there is none that can be gone on with."""
    try:
        fields = json.loads((folder / PLAN).read_text())
        plan = Plan(fields["run"], tuple(fields["seqs"]), fields["touched"])
        json.loads((folder / RESULTS).read_text())
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Never begun, or cut off while it was written: planning anew builds at least as much.
        return None
    return plan if plan.run == run else None


def forget(folder: Path) -> None:
    """Removes a kept plan."""
    if folder.exists():
        shutil.rmtree(folder)
