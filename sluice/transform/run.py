"""A transform: what is pending, built, tested and published by one dbt invocation."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from sluice.contracts import Contract
from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.transform import unfinished
from sluice.transform.dbt import Dbt
from sluice.transform.seeds import note_seeds, seeds_differ
from sluice.transform.sources import write_sources
from sluice.transform.stale import lock, plan, planned
from sluice.warehouse import connect

PATIENCE = timedelta(minutes=30)
"""How long a transform waits for another one."""


@dataclass(frozen=True)
class TransformReport:
    """What a transform has built."""

    touched: dict[str, list[date]] = field(default_factory=dict)
    """Event dates per stream that were rebuilt; empty if nothing was pending."""
    resumed: bool = False
    """Whether it went on where an earlier attempt had stopped."""
    nodes: int = 0
    """Models and tests that dbt finished, in this attempt."""
    seconds: float = 0.0

    def text(self) -> str:
        """One line for a person."""
        if not self.nodes:
            return "nothing to build: no date was touched since the last transform"
        dates = ", ".join(f"{stream} {len(days)}" for stream, days in self.touched.items())
        how = "went on and built" if self.resumed else "built"
        why = f"the touched dates of {dates}" if dates else "the reference tables"
        return f"{how} {self.nodes} dbt nodes in {self.seconds:.1f} s for {why}"


def transform(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    dbt: Dbt,
    run: str,
    say: Callable[[str], None],
    resume: bool = False,
) -> TransformReport:
    """Rebuilds with one dbt invocation what the touched dates change.

    dbt builds and tests beside the marts, and publishes what it built to them and marks the dates as built in one
    transaction at its end (``dbt/macros/publish.sql``). A transform that fails anywhere leaves the marts as they were.

    The first one of a warehouse, and the first after a reference table's file changed, builds those tables before; it
    runs even if nothing was touched, so that every mart is there.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are made from them.
        dbt: what to run.
        run: names this attempt; a retry gives the same name.
        say: takes progress, line by line.
        resume: go on with what an earlier attempt of the same name left, where it left something.

    Raises:
        TransientError: the warehouse went away, or another transform takes too long.
        TerminalError: dbt found something wrong.
    """
    began = time.monotonic()
    folder = dbt.home / "unfinished"
    with exclusive_dbt_dir(dbt.home) as held, connect(settings, "transformer") as connection:
        connection.autocommit = True
        if lock(connection, PATIENCE):
            say("waited for another transform to end")
        touched = planned(connection) if resume and unfinished.load(folder, run) else None
        resumed = touched is not None
        if touched is None:
            unfinished.forget(folder)
            touched = plan(connection)
        seeds = not resumed and seeds_differ(connection, dbt)
        if not touched and not seeds and not resumed:
            return TransformReport()
        write_sources(contracts, dbt.generated)
        if seeds:
            say("the reference tables first")
            dbt.run("build", "--selector", "setup", inherit_fds=[held])
        try:
            command = ("retry", "--state", str(folder)) if resumed else ("build", "--selector", "transform")
            dbt.run(*command, inherit_fds=[held])
        except SluiceError:
            if dbt.can_be_retried():
                unfinished.keep(folder, run, dbt.results)
            else:
                unfinished.forget(folder)
            raise
        unfinished.forget(folder)
        if seeds:
            note_seeds(dbt)
        return TransformReport(touched, resumed, dbt.built(), time.monotonic() - began)


def audit(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> int:
    """Runs the dbt tests that read whole tables, which a transform leaves out. No transform builds meanwhile.

    Returns:
        How many tests passed; none if nothing was built yet.

    Raises:
        TransientError: the warehouse went away, or a transform takes too long.
        TerminalError: a test failed.
    """
    with exclusive_dbt_dir(dbt.home) as held, connect(settings, "transformer") as connection:
        connection.autocommit = True
        lock(connection, PATIENCE)
        if seeds_differ(connection, dbt):
            return 0
        write_sources(contracts, dbt.generated)
        # In full: tests without it look at what the last run was of.
        dbt.run("build", "--selector", "audit", "--full-refresh", inherit_fds=[held])
        return dbt.built()


@contextmanager
def exclusive_dbt_dir(folder: Path) -> Iterator[int]:
    """Holds dbt's folder for one dbt at a time, and yields the lock's file descriptor.

    The lock in the warehouse goes with this process; this one is inherited by dbt, and so lasts until a dbt that
    outlived its killed parent has ended: it still writes to the same tables and the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
