"""The command backfill: shows its plan, has Airflow do it, and proves what came of it."""

import time
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError, TransientError
from sluice.orchestration.batch import TRANSFORM, Show, airflow_client, choose_contracts, run_dags
from sluice.orchestration.follow import POLL, follow_backfill, wait_for_dags
from sluice.orchestration.history import ALL, REPROCESS, event_range, what_to_make
from sluice.orchestration.rest import Airflow, Json
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.backfill import Request
    from sluice.backfill.request import Unfinished

AT_ONCE = 3
"""Dates that a backfill makes again at once. Airflow runs four tasks at once: one is left to loads and transforms."""
CLOSING_SECONDS = 60
"""How long Airflow may take to see that a backfill has ended; it looks every half minute."""


def run_backfill(
    settings: Settings,
    first: str,
    last: str,
    streams: list[str] | None = None,
    what: str = ALL,
    dry_run: bool = False,
    show: Show = print,
) -> None:
    """Makes a range of event dates (UTC, both ends included) again, and proves it.

    A command that was stopped, and is given again, goes on with what is left; the figures that its proof compares are
    those of before it began for the first time.

    Args:
        settings: of the running platform.
        first, last: the dates, as 2013-01-31.
        streams: which ones; all of them by default.
        what: ``raw``, ``marts`` or ``all``.
        dry_run: show the plan, and change nothing.
        show: takes progress and proof, line by line.

    Raises:
        TerminalError: the range, a stream or ``what`` is wrong, some dates failed, or the proof does not hold.
        TransientError: Airflow is not there, or is at another backfill.
    """
    # Imported here, as they bring Arrow and Delta: every other command starts without them.
    from sluice.backfill import Request, take
    from sluice.backfill.plan import plan
    from sluice.backfill.request import Unfinished, forget, keep, kept, path

    start, end = event_range(first, last)
    contracts = choose_contracts(load_contracts(settings.contracts), streams)
    request = Request(start, end, tuple(contract.stream for contract in contracts), what_to_make(what))
    with airflow_client(settings) as airflow:
        before = kept(settings, request)
        going = None if dry_run else _going_on(airflow, before)
        figures = before.before if before else take(settings, contracts, start, end)
        show(plan(request, figures, AT_ONCE))
        left = _left(airflow, request, before.began) if before else request.days
        if before:
            done = len(request.days) - len(left)
            show(f"{done} of these dates are done already, since {before.began}: the command goes on with the rest")
            show(f"(to begin anew, remove {path(settings)})")
        if dry_run:
            return
        if left and not going:
            wait_for_dags(airflow, [REPROCESS, TRANSFORM])
            airflow.refuse_paused(TRANSFORM)
            again = "failed" if before else "completed"
            going = airflow.backfill(REPROCESS, left[0], left[-1], request.conf, AT_ONCE, again)
            before = Unfinished(request, figures, going["id"], before.began if before else going["created_at"])
            keep(settings, before)
        assert before is not None
        fault = _follow(airflow, before, going, show)
        _prove(settings, contracts, airflow, before, fault, show)
    forget(settings)


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command()
    def backfill(
        first: Annotated[str, typer.Option("--from", help="First event date (UTC), as 2013-01-01.")],
        last: Annotated[str, typer.Option("--to", help="Last event date (UTC), included.")],
        stream: Annotated[str | None, typer.Option(help="Only these streams, separated by commas.")] = None,
        what: Annotated[str, typer.Option(help="raw: from the lake; marts: from the raw tables; all: both.")] = ALL,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    ) -> None:
        """Makes a range of dates again from the lake, with their marts, and proves what came of it."""
        streams = [name.strip() for name in stream.split(",")] if stream else None
        run_backfill(load_settings(), first, last, streams, what, dry_run)


def _going_on(airflow: Airflow, unfinished: "Unfinished | None") -> Json | None:
    """The backfill that Airflow is at for this same command, if it is at one; let go on, if it was paused.

    Airflow takes no other for half a minute after the last run of one; that is waited for. (To cancel it instead would
    leave it paused for ever, and with it any date that somebody clears.)

    Raises:
        TransientError: it is at another one.
    """
    until = time.monotonic() + CLOSING_SECONDS
    while found := airflow.open_backfill(REPROCESS):
        first, last = (date.fromisoformat(found[end][:10]) for end in ("from_date", "to_date"))
        waiting = airflow.count_backfill_runs(REPROCESS, first, last, ("queued", "running"))
        if waiting and unfinished and found["id"] == unfinished.backfill:
            airflow.pause_backfill(found["id"], paused=False)
            return found
        if waiting or time.monotonic() > until:
            raise TransientError(
                f"Airflow is at backfill {found['id']} of {REPROCESS}, {first} to {last}, which was started elsewhere",
                "let it end, or cancel it on the DAG's page",
            )
        time.sleep(POLL.total_seconds())
    return None


def _left(airflow: Airflow, request: "Request", began: str) -> list[date]:
    """The dates without a successful run since the command began."""
    since = datetime.fromisoformat(began)
    done = {
        run["logical_date"][:10]
        for run in airflow.backfill_runs(REPROCESS, request.first, request.last)
        if run["state"] == "success" and datetime.fromisoformat(run["end_date"]) >= since
    }
    return [day for day in request.days if day.isoformat() not in done]


def _follow(airflow: Airflow, unfinished: "Unfinished", going: Json | None, show: Show) -> TerminalError | None:
    """Follows the backfill, and the transform after it; returns why some dates were not made, if so.

    Stopping it (Ctrl-C) pauses the backfill: runs that have begun end, the others wait for the same command.
    """
    request = unfinished.request
    fault = None
    if going:
        first, last = (date.fromisoformat(going[end][:10]) for end in ("from_date", "to_date"))
        show(f"{REPROCESS}: backfill {going['id']} of {first} to {last}; Ctrl-C pauses it, the same command goes on")
        try:
            follow_backfill(airflow, REPROCESS, first, last, show)
        except TerminalError as error:
            fault = error
        except KeyboardInterrupt:
            airflow.pause_backfill(going["id"])
            left = len(_left(airflow, request, unfinished.began))
            show(f"{REPROCESS}: paused; {left} of {len(request.days)} dates are left to the same command")
            raise
    # Dates that were made are to be seen in the marts, whether or not others failed.
    run_dags(airflow, [TRANSFORM], show)
    return fault


def _prove(
    settings: Settings,
    contracts: Sequence[Contract],
    airflow: Airflow,
    unfinished: "Unfinished",
    fault: TerminalError | None,
    show: Show,
) -> None:
    from sluice.backfill import prove, take
    from sluice.backfill.snapshot import arrived
    from sluice.reconcile import reconcile_loaded

    request, before = unfinished.request, unfinished.before
    after = take(settings, contracts, request.first, request.last)
    came = arrived(settings, contracts, before, request.first, request.last)
    faults = [f"{day}: not made again" for day in _left(airflow, request, unfinished.began)]
    # What made a date fail, as a damaged file of the lake, would end the comparison too.
    compared = None if fault else reconcile_loaded(settings, {contract.stream: contract for contract in contracts})
    if compared:
        faults += compared.faults
    proof = prove(before, after, came, request.days, faults)
    show(proof.text())
    if compared and compared.agrees:
        show(f"reconcile: lake and warehouse agree in every offset that is loaded of {', '.join(request.streams)}")
    if fault:
        raise fault
    if not proof.holds:
        raise TerminalError(
            f"the proof of the backfill does not hold: {len(faults)} faults, the first: {faults[0]}",
            "see above; the same command tries what failed again",
        )
