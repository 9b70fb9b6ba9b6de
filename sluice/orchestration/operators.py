"""The operators: each reads its settings, calls one plain function, logs its report and returns figures as XCom.

The plain functions are imported where they are called: Arrow, Delta and similar packages take a second to import, and
the DAG processor parses the DAG files repeatedly without calling any of these functions.
"""

# ruff: noqa: ARG002 - Airflow passes the context to every execute by that name.

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from sluice.contracts import Contract, Contracts, get_contract, load_contracts
from sluice.errors import SluiceError, TerminalError
from sluice.orchestration.alerts import Alerts
from sluice.orchestration.assets import REPROCESSED, lake_table, raw_table
from sluice.orchestration.credentials import lakehouse_settings, settings_as
from sluice.orchestration.history import ALL, LAKEHOUSE, MARTS, RAW, REPROCESS, reprocess_scope
from sluice.settings import Settings, load_settings

if TYPE_CHECKING:
    from sluice.alerts import Problem
    from sluice.orchestration.openlineage import Lineage
    from sluice.transform.dbt import Dbt

Figures = dict[str, Any]
"""A task's XCom: names and numbers as JSON, and a readable ``summary``."""
_LAST_CHECK = "last_check"
"""The key of a freshness check in Airflow's store of the asset's state."""


def _contract(settings: Settings, stream: str) -> Contract:
    return get_contract(load_contracts(settings.contracts), stream)


def _parse_date(text: str) -> date:
    if not text:
        raise TerminalError(
            "there is no date to reload: the run has no data interval, and its parameter event_date is empty",
            'trigger it with `--conf \'{"event_date": "2013-01-31"}\'`, or run `make backfill FROM=… TO=…`',
        )
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"event_date {text!r} is not a date", "write it as 2013-01-31") from None


def _has_queued_runs(context: Context, dag_id: str) -> bool:
    """Returns whether runs of a DAG are queued."""
    return bool(context["ti"].get_dr_count(dag_id, states=["queued"]))


def _without(subjects: Collection[str], problems: Mapping[str, str]) -> dict[str, str]:
    return {subject: problem for subject, problem in problems.items() if subject not in subjects}


class StreamOperator(BaseOperator):
    """Works on one stream."""

    template_fields: Sequence[str] = ("stream",)

    def __init__(self, *, stream: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream


class DbtOperator(BaseOperator):
    """Runs dbt, which is a separate process."""

    ui_color = "#fdebd0"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dbt: Dbt | None = None

    def make_dbt(self, settings: Settings) -> "Dbt":
        """Returns dbt, which is stopped when the task is."""
        from sluice.transform.dbt import Dbt

        self._dbt = Dbt(settings, log_line=self.log.info)
        return self._dbt

    def on_kill(self) -> None:
        """Stops dbt when the task is stopped."""
        if self._dbt is not None:
            self._dbt.stop()


class LoadOperator(StreamOperator):
    """Loads everything beyond the ledger from the lake into the stream's raw table.

    The task is skipped, and so triggers no transform, if the lake has nothing new and no date of the stream is stale.
    """

    ui_color = "#d7ecf3"

    def execute(self, context: Context) -> Figures:
        """Returns the stream, rows, quarantined events and dates of this load."""
        from sluice.load import load
        from sluice.transform.stale import is_stale

        settings = settings_as("loader")
        contract = _contract(settings, self.stream)
        report = load(settings, contract)
        # Dates can be stale without a new row: the load that marked them may have died after its last commit. While a
        # backfill is active, its last runs report its dates.
        nothing = not report.rows and not report.quarantined
        if nothing and (_has_queued_runs(context, REPROCESS) or not is_stale(settings, "loader", contract.stream)):
            raise AirflowSkipException(f"{contract.stream}: the lake has nothing new")
        days = [day.isoformat() for day in sorted(report.dates)]
        summary = f"{report.rows:,} rows, {report.quarantined:,} quarantined, {len(days)} dates"
        self.log.info("%s: %s, in %d transactions and %.1f s", self.stream, summary, report.groups, report.seconds)
        figures: Figures = {
            "stream": contract.stream,
            "rows": report.rows,
            "quarantined": report.quarantined,
            "dates": days,
            "offsets": {
                f"{loaded.topic_id}/{loaded.partition}": [loaded.start_offset, loaded.next_offset]
                for loaded in report.ranges
            },
            "seconds": round(report.seconds, 1),
        }
        raw = raw_table(contract)
        context["outlet_events"][raw].extra.update(figures)
        # Emitted through the alias too: the alias's first event for a table records in Airflow that the two belong
        # together, which fails if two dates of a backfill end at the same moment. A table's loads never overlap.
        context["outlet_events"][REPROCESSED].add(raw, extra=figures)
        return {"summary": summary, **figures}

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "Lineage":
        """Returns the lineage: from the stream's table in the lake to its raw table."""
        from sluice.orchestration.openlineage import lake_to_raw

        settings = settings_as("loader")
        return lake_to_raw(settings, [_contract(settings, self.stream)])


class FreshnessOperator(StreamOperator):
    """Checks that a stream's table in the lake advances, and records how far it is behind Kafka.

    The check compares with the one before, which is kept with the asset in Airflow.
    """

    ui_color = "#d7ecf3"

    def execute(self, context: Context) -> Figures:
        """Returns the lag in records, and the next offsets of Kafka and the lake per partition."""
        from sluice.alerts.freshness import Freshness, check_freshness, read_freshness

        # Without a connection to the warehouse, which this does not need.
        settings = load_settings()
        contract = _contract(settings, self.stream)
        asset = lake_table(contract)
        store = context["asset_state_store"][asset]
        last: Any = store.get(_LAST_CHECK)
        now = read_freshness(settings, contract)
        check_freshness(settings, contract, Freshness.from_json(last) if last else None, now)
        figures: Figures = {"stream": contract.stream, "lag": now.lag, **now.to_json()}
        # Kept only after success: if the table does not advance, each check says so until it does.
        store.set(_LAST_CHECK, now.to_json())
        context["outlet_events"][asset].extra.update(figures)
        return {"summary": f"{now.lag:,} records behind Kafka", **figures}

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "Lineage":
        """Returns the lineage of what the check compares: from the topic to the table, which the sink writes."""
        from sluice.orchestration.openlineage import topic_to_lake

        settings = load_settings()
        return topic_to_lake(settings, _contract(settings, self.stream))


class ReloadOperator(BaseOperator):
    """Reloads one event date of some streams from the lake, and marks it as stale.

    One task reloads all streams of a date: a task costs Airflow as much CPU time as the reload of a date's smaller
    streams, and reloads are idempotent.

    While other runs of its DAG are queued, the task emits no asset event: the last runs do, so that a backfill of any
    length ends in one transform. If a run dies, the next load reports the dates that are still stale.
    """

    template_fields: Sequence[str] = ("event_date", "streams", "what")
    ui_color = "#e6dff2"

    def __init__(self, *, event_date: str, streams: Sequence[str] | str, what: str = ALL, **kwargs: Any) -> None:
        super().__init__(outlets=[REPROCESSED], **kwargs)
        self.event_date = event_date
        self.streams = streams
        self.what = what

    def execute(self, context: Context) -> Figures:
        """Returns the rows and quarantined events of all streams in total, and the streams whose rows changed."""
        from sluice.alerts.runs import REFUSED
        from sluice.load import mark_stale, reload
        from sluice.transform.stale import is_stale

        try:
            day, what = _parse_date(self.event_date), reprocess_scope(self.what)
        except TerminalError as refusal:
            # The run fails, so that the person who triggered it sees that nothing was reloaded, but it raises no alert.
            context["ti"].xcom_push(REFUSED, str(refusal))
            raise
        settings = settings_as("loader")
        contracts = self._contracts(settings)
        figures: Figures = {"event_date": day.isoformat(), "rows": 0, "quarantined": 0, "changed": []}
        for contract in contracts:
            if what == MARTS:
                mark_stale(settings, contract, [day])
                continue
            report = reload(settings, contract, day, mark_stale="changed" if what == RAW else "always")
            self.log.info(
                "%s %s: %d rows, %d quarantined, %s, in %.1f s",
                *(contract.stream, day, report.rows, report.quarantined),
                *("changed" if report.changed else "unchanged", report.seconds),
            )
            figures["rows"] += report.rows
            figures["quarantined"] += report.quarantined
            figures["changed"] += [contract.stream] if report.changed else []
        if not _has_queued_runs(context, REPROCESS):
            for contract in contracts:
                if is_stale(settings, "loader", contract.stream):
                    context["outlet_events"][REPROCESSED].add(raw_table(contract), extra=figures)
        return figures

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "Lineage":
        """Returns the lineage: from the streams' tables in the lake to their raw tables, if these are reloaded."""
        from sluice.orchestration.openlineage import lake_to_raw

        settings = settings_as("loader")
        return lake_to_raw(settings, [] if self.what == MARTS else self._contracts(settings))

    def _contracts(self, settings: Settings) -> list[Contract]:
        names = [self.streams] if isinstance(self.streams, str) else list(self.streams)
        return [_contract(settings, name) for name in names]


class LakehouseLoadOperator(BaseOperator):
    """Loads what is new in the lake into Spark's warehouse, and one date again if the run has one."""

    template_fields: Sequence[str] = ("event_date",)
    ui_color = "#fdebd0"

    def __init__(self, *, event_date: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.event_date = event_date

    def execute(self, context: Context) -> Figures:
        """Returns one line per stream."""
        arguments = ["reload", _parse_date(self.event_date).isoformat()] if self.event_date else ["load"]
        return {"summary": "; ".join(_run_spark(self.log.info, *arguments))}


class LakehouseReconcileOperator(BaseOperator):
    """Compares the lake with Spark's warehouse; while other runs of its DAG are queued, the last of them does."""

    ui_color = "#fdebd0"

    def execute(self, context: Context) -> Figures:
        """Returns the number of rows that agree; a disagreement fails the task, and nothing is built."""
        from sluice.lakehouse.reconciliation import reconcile

        if _has_queued_runs(context, LAKEHOUSE):
            raise AirflowSkipException("other runs are queued: the last of them reconciles, and builds the marts")
        settings = lakehouse_settings()
        reconciliation = reconcile(settings, load_contracts(settings.contracts), self.log.debug)
        for line in reconciliation.lines():
            self.log.info("%s", line)
        reconciliation.require_agreement()
        rows = sum(counts.lake for counts in reconciliation.partitions)
        return {"summary": f"{rows:,} records of {len(reconciliation.streams)} streams agree", "records": rows}


class LakehouseBuildOperator(BaseOperator):
    """Builds, tests and publishes the marts on Spark."""

    ui_color = "#fdebd0"

    def execute(self, context: Context) -> Figures:
        """Returns which marts were published."""
        return {"summary": "; ".join(_run_spark(self.log.info, "build"))}


class CompareEnginesOperator(BaseOperator):
    """Compares the marts of Postgres and Spark on all dates."""

    ui_color = "#fdebd0"

    def execute(self, context: Context) -> Figures:
        """Returns the number of marts that are equal; a difference fails the task, which names it in its log."""
        from sluice.lakehouse.comparison import compare

        comparison = compare(lakehouse_settings(), date.min, date.max, self.log.debug)
        for line in comparison.lines():
            self.log.info("%s", line)
        comparison.require_equality()
        return {"summary": f"{len(comparison.postgres)} marts are equal", "marts": len(comparison.postgres)}


def _run_spark(log_line: Callable[..., None], *arguments: str) -> list[str]:
    from sluice.lakehouse.process import run

    return list(run(*arguments, settings=lakehouse_settings(), log_line=lambda line: log_line("%s", line)))


class AuditOperator(DbtOperator):
    """Runs the dbt tests that read whole tables; a transform tests only the dates that it rebuilds."""

    def execute(self, context: Context) -> Figures:
        """Returns the number of tests that passed."""
        from sluice.transform import audit

        settings = settings_as("transformer")
        tests = audit(settings, load_contracts(settings.contracts), dbt=self.make_dbt(settings))
        return {"summary": f"{tests} tests passed", "tests": tests}


class ReconcileOperator(BaseOperator):
    """Compares Kafka, the lake and the warehouse once nothing is in flight, and fails if they disagree."""

    template_fields: Sequence[str] = ("full",)
    ui_color = "#d9f0dd"

    def __init__(self, *, full: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.full = full

    def execute(self, context: Context) -> Figures:
        """Returns the number of streams that were compared, and the sum of their dates.

        Raises:
            TerminalError: they disagree. Events in flight had time to arrive, so a retry cannot help.
        """
        from sluice.alerts.store import RECONCILE
        from sluice.reconcile import PATIENCE, reconcile

        settings = settings_as("reader", "loader")
        contracts = load_contracts(settings.contracts)
        # Jinja renders a parameter as text.
        reconciliation = reconcile(settings, contracts, full=str(self.full) == "True", patience=PATIENCE)
        for line in reconciliation.text().splitlines():
            self.log.info("%s", line)
        disagree = "Kafka, lake and warehouse disagree"
        problems = {} if reconciliation.agrees else {"platform": f"{disagree}; `make reconcile` shows where"}
        Alerts(context).sync(RECONCILE, problems)
        if not reconciliation.agrees:
            raise TerminalError(disagree, "see the table in this task's log")
        dates, streams = len(reconciliation.rows), len(reconciliation.totals)
        return {"summary": f"{dates} dates of {streams} streams agree", "dates": dates, "streams": streams}


class MonitorOperator(BaseOperator):
    """Runs all checks and updates their alerts. A check that fails costs itself only, and is an alert of its own."""

    ui_color = "#fbe3e0"

    def execute(self, context: Context) -> Figures:
        """Returns a summary of the alerts that are open."""
        from sluice.alerts.checks import high_quarantine_rate, stalled_sinks
        from sluice.alerts.clocks import clock_skew
        from sluice.alerts.disk import low_disk
        from sluice.alerts.runs import failed_runs, import_errors, overdue_loads
        from sluice.alerts.store import (
            CLOCK,
            DISK,
            FAILED_CHECK,
            FAILED_RUN,
            IMPORT_ERROR,
            INVALID_CONTRACT,
            OVERDUE_LOAD,
            QUARANTINE,
            RECONCILE,
            STALLED_SINK,
            runs_of_open_alerts,
        )
        from sluice.removed.remains import removed_streams

        settings = settings_as("reader")
        alerts = Alerts(context)
        alerts.deliver()
        failures: dict[str, str] = {}
        contracts: Contracts | None = None
        try:
            contracts = load_contracts(settings.contracts)
        except SluiceError as error:
            # Without contracts, nothing is known of streams, not even that they were removed.
            failures[INVALID_CONTRACT] = str(error)

        def attempt(
            name: str, check: "Callable[[], Mapping[str, str | Problem]]"
        ) -> "Mapping[str, str | Problem] | None":
            try:
                return check()
            except SluiceError as error:
                failures[name] = str(error)
            except Exception as error:
                self.log.exception("the check for the alert %s failed", name)
                failures[name] = f"{type(error).__name__}: {error}"
            return None

        removed: Mapping[str, str | Problem] = {}
        checks: dict[str, Callable[[], Mapping[str, str | Problem]]] = {
            IMPORT_ERROR: lambda: import_errors(settings),
            FAILED_RUN: lambda: failed_runs(settings, runs_of_open_alerts(settings, RECONCILE)),
            QUARANTINE: lambda: _without(removed, high_quarantine_rate(settings)),
            DISK: lambda: low_disk(settings),
            CLOCK: lambda: _without(removed, clock_skew(settings)),
        }
        if contracts is not None:
            known = contracts
            removed = attempt("removed contract", lambda: removed_streams(settings, known)) or {}
            alerts.clear_removed(removed)
            checks |= {
                INVALID_CONTRACT: lambda: {file.path.name: file.problem for file in known.invalid},
                OVERDUE_LOAD: lambda: overdue_loads(settings, known),
                # The last, because it waits.
                STALLED_SINK: lambda: stalled_sinks(settings, known),
            }
        found: list[str] = []
        for kind, check in [*checks.items(), (FAILED_CHECK, lambda: failures)]:
            problems = attempt(kind, check)
            if problems is not None:
                alerts.sync(kind, problems)
                found += [f"{kind}: {', '.join(problems)}"] if problems else []
        return {"summary": "; ".join(found) or "no alerts"}


class MaintainOperator(StreamOperator):
    """Compacts a stream's files in the lake and removes the files that no commit references."""

    ui_color = "#eeeeee"

    def execute(self, context: Context) -> Figures:
        """Returns a summary of what was compacted and removed."""
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
