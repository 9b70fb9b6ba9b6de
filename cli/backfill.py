"""The command backfill: shows its plan, runs it in Airflow, and verifies the result."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.cancelled_backfill import cancel_backfill, cancel_runs
from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError, TransientError
from sluice.orchestration.batch import TRANSFORM, airflow_client, run_dags, select_contracts
from sluice.orchestration.follow import POLL, Show, follow, follow_backfill, retry_until, trigger_run, wait_for_dags
from sluice.orchestration.history import ALL, REPROCESS, default_range, event_range, has_ended, reprocess_scope
from sluice.orchestration.rest import Airflow, Json
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.backfill import Request
    from sluice.backfill.request import Unfinished

MAX_ACTIVE_RUNS = 3
"""Dates that a backfill reprocesses at once: one of Airflow's four task slots is left for loads and transforms."""
CLOSING_SECONDS = 60
"""How long Airflow may take to close a backfill after its last run; it checks every 30 seconds."""


def run_backfill(
    settings: Settings,
    first: str,
    last: str,
    streams: list[str] | None = None,
    what: str = ALL,
    dry_run: bool = False,
    show: Show = print,
    replace: Callable[[str], bool] = lambda _: False,
) -> None:
    """Reprocesses a range of event dates (UTC, both ends included) from the lake and verifies the result.

    An interrupted command that is run again, or without a range, resumes with the remaining dates; the verification
    compares with the snapshot from before the first start.

    Args:
        settings: of the running platform.
        first, last: the dates, as 2013-01-31; empty for an end of the dates that the warehouse has.
        streams: the streams to reprocess; all by default.
        what: ``raw``, ``marts`` or ``all``.
        dry_run: show the plan only.
        show: receives progress and the result of the verification, line by line.
        replace: asked, with a description of it, whether to cancel another backfill that has dates left.

    Raises:
        TerminalError: the range, a stream or ``what`` is invalid, some dates failed, or the verification failed.
        TransientError: Airflow is down, or another backfill has dates left and is not replaced.
    """
    # Imported here because they import Arrow and Delta: other commands start without them.
    from sluice.backfill import Request, take_snapshot
    from sluice.backfill.plan import plan
    from sluice.backfill.request import Unfinished, delete_unfinished, load_unfinished, save_unfinished

    known = load_contracts(settings.contracts)
    for line in known.warnings() if not streams else ():
        show(line)
    contracts = select_contracts(known, streams)
    selection = tuple(contract.stream for contract in contracts), reprocess_scope(what)
    saved = load_unfinished(settings)
    if saved and not first and not last and (saved.request.streams, saved.request.what) == selection:
        request = saved.request
    else:
        request = Request(*_range(settings, contracts, first, last, show), *selection)
    unfinished = saved if saved and saved.request == request else None
    start, end = request.first, request.last
    with airflow_client(settings) as airflow:
        active = None if dry_run else _active_backfill(airflow, saved, unfinished, replace, show)
        snapshot = unfinished.before if unfinished else take_snapshot(settings, contracts, start, end)
        show(plan(request, snapshot, MAX_ACTIVE_RUNS))
        remaining = _remaining(airflow, request, unfinished.began) if unfinished else _ended(request)
        if unfinished:
            done = len(_ended(request)) - len(remaining)
            show(f"resuming: {done} of these dates are already done, since {unfinished.began}")
            show("(`make backfill CANCEL=1` first, to start from scratch)")
        if dry_run:
            return
        if remaining and not active:
            wait_for_dags(airflow, [REPROCESS, TRANSFORM])
            _wait_for_contracts(airflow, request)
            airflow.ensure_not_paused(TRANSFORM)
            reprocess = "failed" if unfinished else "completed"
            active = airflow.backfill(REPROCESS, remaining[0], remaining[-1], request.conf, MAX_ACTIVE_RUNS, reprocess)
            unfinished = Unfinished(
                request, snapshot, active["id"], unfinished.began if unfinished else active["created_at"]
            )
            save_unfinished(settings, unfinished)
        if unfinished is None:
            # No date is over yet: Airflow has no backfill to resume.
            unfinished = Unfinished(request, snapshot, 0, datetime.now(UTC).isoformat())
        failure = _follow(airflow, unfinished, active, show)
        try:
            _verify(settings, contracts, airflow, unfinished, failure, show)
        except KeyboardInterrupt:
            show("interrupted: all dates have run, and are not verified yet; the same command verifies them")
            raise
    delete_unfinished(settings)


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @app.command()
    def backfill(
        first: Annotated[
            str,
            typer.Option("--from", help="First event date (UTC), for example 2013-01-01; by default the first loaded."),
        ] = "",
        last: Annotated[
            str, typer.Option("--to", help="Last event date (UTC), inclusive; by default the last loaded.")
        ] = "",
        stream: Annotated[str | None, typer.Option(help="Only these streams, separated by commas.")] = None,
        what: Annotated[str, typer.Option(help="raw: from the lake; marts: from the raw tables; all: both.")] = ALL,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
        cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the backfill that has dates left.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace another backfill that has dates left.")] = False,
    ) -> None:
        """Reprocess a range of dates from the lake, with their marts, and verify the result."""
        if cancel:
            if first or last or stream or dry_run:
                raise TerminalError("CANCEL=1 cancels the whole backfill that has dates left", "leave out the others")
            cancel_backfill(load_settings())
            return

        def replace(description: str) -> bool:
            return force or (sys.stdin.isatty() and typer.confirm(f"{description}. Cancel it, and start this one?"))

        streams = [name.strip() for name in stream.split(",")] if stream else None
        run_backfill(load_settings(), first, last, streams, what, dry_run, replace=replace)


def _range(settings: Settings, contracts: Sequence[Contract], first: str, last: str, show: Show) -> tuple[date, date]:
    if first and last:
        return event_range(contracts, first, last)
    from sluice.warehouse import connect
    from sluice.warehouse.dates import loaded_range

    with connect(settings, "reader") as warehouse:
        loaded = loaded_range(warehouse, [contract.stream for contract in contracts])
    start, end = default_range(contracts, loaded, first, last)
    show(f"{start} to {end}: FROM or TO is missing, so the dates that the warehouse has are taken")
    return start, end


def _ended(request: "Request") -> list[date]:
    """Returns the dates that are over in UTC. Airflow runs no backfill of the others: a run is triggered for each."""
    return [day for day in request.days if has_ended(day)]


def _wait_for_contracts(airflow: Airflow, request: "Request") -> None:
    """Waits until Airflow has read the DAG with the current contracts, which takes it half a minute.

    It would refuse a stream that it does not know, and leave out dates beyond those that the DAG had before.

    Raises:
        TransientError: Airflow still has not, or is down.
    """

    def check() -> None:
        details = airflow.dag_details(REPROCESS)
        first, last = (details[end] and date.fromisoformat(details[end][:10]) for end in ("start_date", "end_date"))
        unknown = set(request.streams).difference(details["params"]["streams"]["value"])
        if unknown or (first and request.first < first) or (last and last < request.last):
            raise TransientError(
                f"Airflow has not read the current contracts of {', '.join(request.streams)} yet",
                "see `make logs S=airflow-dag-processor`, and run the same command again",
            )

    retry_until(check)


def _active_backfill(
    airflow: Airflow,
    saved: "Unfinished | None",
    unfinished: "Unfinished | None",
    replace: Callable[[str], bool],
    show: Show,
) -> Json | None:
    """Returns this command's active backfill, unpaused, or None.

    Airflow accepts no other backfill for half a minute after the last run of one: this waits for it to be closed.

    Raises:
        TransientError: another backfill has dates left, and is not to be replaced.
    """
    deadline = time.monotonic() + CLOSING_SECONDS
    while backfill := airflow.open_backfill(REPROCESS):
        first, last = (date.fromisoformat(backfill[end][:10]) for end in ("from_date", "to_date"))
        unended = airflow.count_backfill_runs(REPROCESS, first, last, ("queued", "running"))
        if unended and unfinished and backfill["id"] == unfinished.backfill:
            airflow.pause_backfill(backfill["id"], paused=False)
            return backfill
        if unended:
            own = saved is not None and saved.backfill == backfill["id"]
            state = "interrupted" if backfill.get("is_paused") else "active"
            origin = "" if own else ", started elsewhere,"
            other = f"backfill {backfill['id']} of {first} to {last}{origin} is {state}: {_count(unended)} left"
            if not replace(other):
                again = f"; `{_command(saved.request)}` resumes it" if own and saved else ""
                raise TransientError(
                    other,
                    f"`make backfill CANCEL=1` cancels it, FORCE=1 here replaces it{again or '; or wait for its end'}",
                )
            cancel_runs(airflow, backfill, show)
            deadline = time.monotonic() + CLOSING_SECONDS
        elif time.monotonic() > deadline:
            raise TransientError(
                f"Airflow has not closed backfill {backfill['id']} of {first} to {last}",
                "see `make logs S=airflow-scheduler`, and run the same command again",
            )
        time.sleep(POLL.total_seconds())
    return None


def _count(dates: int) -> str:
    return "1 date is" if dates == 1 else f"{dates} dates are"


def _command(request: "Request") -> str:
    """Returns the command that makes a request."""
    what = "" if request.what == ALL else f" WHAT={request.what}"
    return f"make backfill FROM={request.first} TO={request.last} STREAM={','.join(request.streams)}{what}"


def _remaining(airflow: Airflow, request: "Request", began: str) -> list[date]:
    """Returns the dates without a successful run since the command first started."""
    since = datetime.fromisoformat(began)
    done = {
        run["logical_date"][:10]
        for run in airflow.backfill_runs(REPROCESS, request.first, request.last)
        if run["state"] == "success" and datetime.fromisoformat(run["end_date"]) >= since
    }
    return [day for day in _ended(request) if day.isoformat() not in done]


def _follow(airflow: Airflow, unfinished: "Unfinished", active: Json | None, show: Show) -> TerminalError | None:
    """Follows the backfill and the transform after it; returns the error of dates that failed, or None.

    Ctrl-C pauses the backfill: active runs end, and the same command resumes with the others.
    """
    request = unfinished.request
    failure = None
    if active:
        first, last = (date.fromisoformat(active[end][:10]) for end in ("from_date", "to_date"))
        show(f"{REPROCESS}: backfill {active['id']}, {first} to {last}; Ctrl-C pauses, the same command resumes it")
        try:
            follow_backfill(airflow, REPROCESS, first, last, show)
        except TerminalError as error:
            failure = error
        except KeyboardInterrupt:
            airflow.pause_backfill(active["id"])
            count = len(_remaining(airflow, request, unfinished.began))
            show(
                f"{REPROCESS}: paused; {count} of {len(_ended(request))} dates remain: the same command resumes it,"
                " `make backfill CANCEL=1` cancels it"
            )
            raise
    open_days = [day for day in request.days if not has_ended(day)]
    try:
        runs = [trigger_run(airflow, REPROCESS, request.conf | {"event_date": day.isoformat()}) for day in open_days]
        follow(airflow, runs, show)
    except TerminalError as error:
        failure = failure or error
    # Publish the dates that succeeded, whether or not others failed.
    run_dags(airflow, [TRANSFORM], show)
    return failure


def _verify(
    settings: Settings,
    contracts: Sequence[Contract],
    airflow: Airflow,
    unfinished: "Unfinished",
    failure: TerminalError | None,
    show: Show,
) -> None:
    from sluice.backfill import prove, take_snapshot
    from sluice.backfill.history import save_proof
    from sluice.backfill.snapshot import count_arrivals
    from sluice.reconcile import reconcile_loaded

    request, before = unfinished.request, unfinished.before
    after = take_snapshot(settings, contracts, request.first, request.last)
    new_arrivals = count_arrivals(settings, contracts, before, request.first, request.last)
    faults = [f"{day}: not reprocessed" for day in _remaining(airflow, request, unfinished.began)]
    # The cause of a failed date, such as a damaged file in the lake, would make the comparison fail too.
    by_stream = {contract.stream: contract for contract in contracts}
    reconciliation = None if failure else reconcile_loaded(settings, by_stream, request.days)
    if reconciliation:
        faults += reconciliation.faults
    proof = prove(before, after, new_arrivals, request.days, faults)
    show(proof.text())
    save_proof(settings, request, proof)
    if reconciliation and reconciliation.agrees:
        show(f"reconcile: lake and warehouse agree on every loaded offset of {', '.join(request.streams)}")
    if failure:
        raise failure
    if not proof.holds:
        raise TerminalError(
            f"backfill verification failed: {len(faults)} faults, the first: {faults[0]}",
            "see above; run the same command to retry the failed dates",
        )
