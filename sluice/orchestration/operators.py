"""The operators: each reads its settings, calls one plain function, logs its report and hands its figures on as XCom.

The plain functions are imported where they are called: Arrow, Delta and their like take a second to import, and the DAG
processor reads the DAG files again and again without calling any of them.
"""

# ruff: noqa: ARG002 - Airflow gives every execute its context, by that name.

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from sluice.contracts import Contract, get_contract, load_contracts
from sluice.errors import SluiceError, TerminalError
from sluice.orchestration.alerts import sync_and_notify
from sluice.orchestration.assets import REPROCESSED, raw_table
from sluice.orchestration.credentials import settings_as
from sluice.orchestration.history import ALL, MARTS, RAW, REPROCESS, what_to_make
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.transform.dbt import Dbt

Figures = dict[str, Any]
"""What goes to XCom: names and numbers, as JSON knows them, and a ``summary`` for a person."""


def _contract(settings: Settings, stream: str) -> Contract:
    return get_contract(load_contracts(settings.contracts), stream)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"event_date {text!r} is no date", "write it as 2013-01-31") from None


def _runs_wait(context: Context, dag_id: str) -> bool:
    """Whether runs of a DAG wait for their turn."""
    return bool(context["ti"].get_dr_count(dag_id, states=["queued"]))


class LoadOperator(BaseOperator):
    """Takes what the lake has beyond the ledger into the stream's raw table.

    It is skipped, and so wakes nobody, when the lake had nothing new and the marts have seen everything.
    """

    template_fields: Sequence[str] = ("stream",)
    ui_color = "#d7ecf3"

    def __init__(self, *, stream: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream

    def execute(self, context: Context) -> Figures:
        """Returns the stream's rows, quarantined events and dates of this load."""
        from sluice.alerts.store import OVERDUE_LOAD
        from sluice.load import load
        from sluice.transform.stale import is_pending

        settings = settings_as("loader")
        contract = _contract(settings, self.stream)
        report = load(settings, contract)
        sync_and_notify(OVERDUE_LOAD, {}, among=[contract.stream])
        # Dates can be pending without a new row: the load that touched them may have died after its last commit. Those
        # of a backfill that goes on are for its last runs to tell.
        nothing = not report.rows and not report.quarantined
        if nothing and (_runs_wait(context, REPROCESS) or not is_pending(settings, "loader", contract.stream)):
            raise AirflowSkipException(f"{contract.stream}: the lake has nothing new")
        # Also through the alias: its first event for a table writes down in Airflow that the two belong together, which
        # fails for a backfill's dates that end in the same moment. A table's loads follow each other.
        context["outlet_events"][REPROCESSED].add(raw_table(contract))
        days = [day.isoformat() for day in sorted(report.dates)]
        summary = f"{report.rows:,} rows and {report.quarantined:,} in quarantine, of {len(days)} dates"
        self.log.info("%s: %s, in %d transactions and %.1f s", self.stream, summary, report.groups, report.seconds)
        return {
            "summary": summary,
            "stream": contract.stream,
            "rows": report.rows,
            "quarantined": report.quarantined,
            "dates": days,
            "seconds": round(report.seconds, 1),
        }


class ReloadOperator(BaseOperator):
    """Loads one event date again from the lake, for some streams, and marks it as touched.

    One task for all of a date's streams: a task costs Airflow as much processor time as the reload of a date's
    smaller streams, and reloading one again changes nothing.

    While other runs of its DAG wait for their turn it wakes nobody: the last ones do, so that a backfill of any length
    ends in one transform. Whatever is pending after a run that died, the next load tells.
    """

    template_fields: Sequence[str] = ("event_date", "streams", "what")
    ui_color = "#e6dff2"

    def __init__(self, *, event_date: str, streams: Sequence[str] | str, what: str = ALL, **kwargs: Any) -> None:
        super().__init__(outlets=[REPROCESSED], **kwargs)
        self.event_date = event_date
        self.streams = streams
        self.what = what

    def execute(self, context: Context) -> Figures:
        """Returns rows and quarantined events of all streams together, and which streams' rows are not as before."""
        from sluice.load import reload, touch
        from sluice.transform.stale import is_pending

        settings = settings_as("loader")
        day = _day(self.event_date)
        what = what_to_make(self.what)
        names = [self.streams] if isinstance(self.streams, str) else list(self.streams)
        contracts = [_contract(settings, name) for name in names]
        figures: Figures = {"event_date": day.isoformat(), "rows": 0, "quarantined": 0, "changed": []}
        for contract in contracts:
            if what == MARTS:
                touch(settings, contract, [day])
                continue
            report = reload(settings, contract, day, touch="changed" if what == RAW else "always")
            self.log.info(
                "%s of %s: %d rows and %d in quarantine, %s, in %.1f s",
                *(contract.stream, day, report.rows, report.quarantined),
                *("not as before" if report.changed else "as before", report.seconds),
            )
            figures["rows"] += report.rows
            figures["quarantined"] += report.quarantined
            figures["changed"] += [contract.stream] if report.changed else []
        if not _runs_wait(context, REPROCESS):
            for contract in contracts:
                if is_pending(settings, "loader", contract.stream):
                    context["outlet_events"][REPROCESSED].add(raw_table(contract))
        return figures


class TransformOperator(BaseOperator):
    """Rebuilds with dbt what the touched dates change, once for all of them. A retry goes on where dbt stopped.

    It keeps the models' documentation up to date too, which takes dbt only where a model or a contract has changed: a
    task of its own would cost each run of the DAG more.
    """

    template_fields: Sequence[str] = ("run_name",)
    ui_color = "#fdebd0"

    def __init__(self, *, run_name: str = "{{ run_id }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self._dbt: Dbt | None = None

    def execute(self, context: Context) -> Figures:
        """Returns the dates per stream that were rebuilt; nothing pending gives none."""
        from sluice.transform import document, transform
        from sluice.transform.dbt import Dbt

        settings = settings_as("transformer")
        contracts = load_contracts(settings.contracts)
        self._dbt = Dbt(settings, say=self.log.info)
        report = transform(
            settings,
            contracts,
            dbt=self._dbt,
            run=self.run_name,
            resume=context["ti"].try_number > 1,
            say=self.log.info,
        )
        self.log.info("%s", report.text())
        try:
            document(settings, contracts, dbt=self._dbt)
        except SluiceError as error:
            # The marts are right and shown: what they say is not held back by what is said of them.
            self.log.warning("the models' documentation is as it was, and the next transform tries again: %s", error)
        return {
            "summary": report.text(),
            "touched": {stream: [day.isoformat() for day in days] for stream, days in report.touched.items()},
            "nodes": report.nodes,
            "resumed": report.resumed,
            "seconds": round(report.seconds, 1),
        }

    def on_kill(self) -> None:
        """Stops dbt when the task is stopped: it is a process of its own."""
        if self._dbt is not None:
            self._dbt.stop()


class AuditOperator(BaseOperator):
    """Runs the dbt tests that read whole tables; a transform tests only what it has touched."""

    ui_color = "#fdebd0"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dbt: Dbt | None = None

    def execute(self, context: Context) -> Figures:
        """Returns how many tests passed."""
        from sluice.transform import audit
        from sluice.transform.dbt import Dbt

        settings = settings_as("transformer")
        self._dbt = Dbt(settings, say=self.log.info)
        tests = audit(settings, load_contracts(settings.contracts), dbt=self._dbt)
        return {"summary": f"{tests} tests passed", "tests": tests}

    def on_kill(self) -> None:
        """Stops dbt when the task is stopped."""
        if self._dbt is not None:
            self._dbt.stop()


class ReconcileOperator(BaseOperator):
    """Compares Kafka, lake and warehouse, and fails where they disagree."""

    ui_color = "#d9f0dd"

    def execute(self, context: Context) -> Figures:
        """Returns how many streams were compared, and the sum of their dates.

        Raises:
            TerminalError: they disagree. What was on its way had its time to arrive, so trying again cannot help.
        """
        from sluice.alerts.store import RECONCILE
        from sluice.reconcile import reconcile

        settings = settings_as("reader")
        reconciliation = reconcile(settings, load_contracts(settings.contracts))
        for line in reconciliation.text().splitlines():
            self.log.info("%s", line)
        disagree = "Kafka, lake and warehouse disagree"
        sync_and_notify(
            RECONCILE, {} if reconciliation.agrees else {"platform": f"{disagree}; `make reconcile` says where"}
        )
        if not reconciliation.agrees:
            raise TerminalError(disagree, "the table in this task's log says where")
        dates, streams = len(reconciliation.rows), len(reconciliation.offsets)
        return {"summary": f"{dates} dates of {streams} streams agree", "dates": dates, "streams": streams}


class MonitorOperator(BaseOperator):
    """Looks whether a sink stands still or much goes to quarantine, and settles the alerts of both."""

    ui_color = "#fbe3e0"

    def execute(self, context: Context) -> Figures:
        """Returns the streams of which something is to be looked at, in words."""
        from sluice.alerts.checks import high_quarantine_rate, stalled_sinks
        from sluice.alerts.store import QUARANTINE, STALLED_SINK

        settings = settings_as("reader")
        found = {
            STALLED_SINK: stalled_sinks(settings, load_contracts(settings.contracts)),
            QUARANTINE: high_quarantine_rate(settings),
        }
        for kind, subjects in found.items():
            sync_and_notify(kind, subjects)
        words = [f"{kind}: {', '.join(subjects)}" for kind, subjects in found.items() if subjects]
        return {"summary": "; ".join(words) or "all is well"}


class MaintainOperator(BaseOperator):
    """Compacts a stream's closed dates in the lake and removes the files that no commit names."""

    template_fields: Sequence[str] = ("stream",)
    ui_color = "#eeeeee"

    def __init__(self, *, stream: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream

    def execute(self, context: Context) -> Figures:
        """Returns what was compacted and removed, in words."""
        from sluice.lake.maintenance import maintain
        from sluice.warehouse import connect
        from sluice.warehouse.dates import statuses

        settings = settings_as("reader")
        contract = _contract(settings, self.stream)
        with connect(settings, "reader") as warehouse:
            closed = {day: status.closed for day, status in statuses(warehouse, contract.stream).items()}
        report = maintain(settings, contract, closed)
        self.log.info("%s", report.text())
        return {"summary": report.text()}
