"""The operators of the DAG ``transform``: each is a step that a reader would draw, and can be cleared alone.

A step takes the transforms' locks, and reads from the warehouse what the step before has left. If something else was
planned in the meantime, nothing is published, and what is stale waits for the next run.
"""

# ruff: noqa: ARG002 - Airflow passes the context to every execute by that name.

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowSkipException

from sluice.contracts import load_contracts
from sluice.errors import SluiceError, TerminalError
from sluice.orchestration.credentials import settings_as
from sluice.orchestration.operators import DbtOperator, Figures

if TYPE_CHECKING:
    from sluice.orchestration.openlineage import Lineage
    from sluice.transform.lineage import Mart

LOADS_SECONDS = 30.0
"""How long a plan waits for loads in progress. A longer one has much history, and the marts do not wait for it."""
_LOADS_PAUSE = 0.5
_NOTHING_BUILT = "this run has built nothing, or another run or `make dbt` has planned since"


class StepOperator(DbtOperator, SkipMixin):
    """A step of a transform."""

    template_fields: Sequence[str] = ("run_name",)

    def __init__(self, *, run_name: str = "{{ run_id }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name

    def arguments(self) -> dict[str, Any]:
        """Returns what every step is called with."""
        settings = settings_as("transformer")
        return {
            "settings": settings,
            "contracts": load_contracts(settings.contracts),
            "dbt": self.make_dbt(settings),
            "run": self.run_name,
            "log_line": self.log.info,
        }

    def succeed_and_skip(self, context: Context, figures: Figures) -> None:
        """Ends the task with figures, and skips the tasks after it. Does not return."""
        context["ti"].xcom_push("return_value", figures)
        self.skip(context["ti"], self.get_flat_relatives(upstream=False))


class PlanOperator(StepOperator):
    """Writes the plan of the run: all stale dates. Skips the other steps if there is nothing to build."""

    def execute(self, context: Context) -> Figures:
        """Returns the planned dates per stream."""
        from sluice.transform import plan

        arguments = self.arguments()
        self._wait_for_loads(context, [contract.dag_id for contract in arguments["contracts"].values()])
        planned = plan(**arguments)
        days = {stream: [day.isoformat() for day in dates] for stream, dates in planned.dates.items()}
        figures = {"summary": planned.text(), "dates": days}
        self.log.info("%s", planned.text())
        if not planned.due:
            self.succeed_and_skip(context, figures)
        return figures

    def _wait_for_loads(self, context: Context, dag_ids: Sequence[str]) -> None:
        """Waits for loads in progress: streams are loaded at the same time, and the first to end triggers this run.

        Without it, the others would end while dbt runs, and another run would rebuild the same dates.
        """
        count, deadline = context["ti"].get_dr_count, time.monotonic() + LOADS_SECONDS
        while any(count(dag_id, states=["running"]) for dag_id in dag_ids) and time.monotonic() < deadline:
            time.sleep(_LOADS_PAUSE)


class BuildOperator(StepOperator):
    """Builds the plan in ``staging`` and tests it, in one dbt invocation. A retry resumes where dbt stopped."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._built = False

    def execute(self, context: Context) -> Figures:
        """Returns how many models and tests dbt completed.

        Raises:
            SluiceError: a model failed. The marts that are not built from it are published all the same.
        """
        from sluice.transform import build

        outcome = build(**self.arguments(), resume=context["ti"].try_number > 1)
        if outcome is None:
            raise AirflowSkipException("nothing to build: the dates of this run are built")
        self._built = True
        if error := outcome.failure_of_models():
            raise error
        self.log.info("%s", outcome.text())
        figures: Figures = {"nodes": outcome.nodes, "resumed": outcome.resumed, "seconds": round(outcome.seconds, 1)}
        for asset in self.outlets:
            context["outlet_events"][asset].extra.update(figures)
        return {"summary": outcome.text(), **figures}

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "Lineage":
        """Sends the lineage of each model that dbt has built, as a run of its own; returns none for the task itself."""
        from sluice.orchestration.openlineage import send_build

        return send_build(self._dbt if self._built else None, task_instance)


class ReportTestsOperator(StepOperator):
    """Reports the tests, which dbt ran with the models. A retry runs those that failed again."""

    def execute(self, context: Context) -> Figures:
        """Returns how many tests passed.

        Raises:
            SluiceError: a test failed. The marts that it does not read are published all the same.
        """
        from sluice.transform import check

        outcome = check(**self.arguments(), resume=context["ti"].try_number > 1)
        if outcome is None:
            raise AirflowSkipException(_NOTHING_BUILT)
        for name, reason in outcome.ready.held_back.items():
            self.log.warning("marts.%s is not published: %s", name, reason)
        if error := outcome.failure_of_tests():
            raise error
        return {"summary": f"{outcome.tests} tests passed", "tests": outcome.tests}


class PublishOperator(StepOperator):
    """Publishes what was built and passed its tests, in one transaction, and marks the run's dates as built.

    It runs after a failure too, which holds back only the marts that are built from what failed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._published: Sequence[Mart] = ()

    def execute(self, context: Context) -> Figures:
        """Returns the marts that were published. Skips the documentation if it is up to date.

        Raises:
            SluiceError: a mart was not published; all others were.
        """
        from sluice.transform import is_documented, publish_built

        arguments = self.arguments()
        publication = publish_built(**arguments)
        if publication is None:
            if self._failed_before(context):
                raise TerminalError("nothing was built, so nothing is published", "see the task that failed before")
            raise AirflowSkipException(_NOTHING_BUILT)
        outcome = publication.outcome
        self._published = outcome.ready.marts
        figures: Figures = {
            "dates": {stream: [day.isoformat() for day in days] for stream, days in outcome.dates.items()},
            "tests": outcome.tests,
            "seconds": round(outcome.seconds, 1),
            "run": self.run_name,
            "marts": publication.marts,
        }
        for asset in self.outlets:
            context["outlet_events"][asset].extra.update(figures)
        result = {"summary": publication.text(), **figures}
        self.log.info("%s", publication.text())
        if is_documented(arguments["settings"], dbt=arguments["dbt"]):
            self.succeed_and_skip(context, result)
        return result

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "Lineage":
        """Returns the lineage of the marts that were published, from what dbt has built."""
        from sluice.orchestration.openlineage import staging_to_marts

        return staging_to_marts(settings_as("transformer"), self._published)

    def _failed_before(self, context: Context) -> bool:
        ti = context["ti"]
        steps = list(self.get_flat_relative_ids(upstream=True))
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=steps, run_ids=[ti.run_id])
        return not {"failed", "upstream_failed"}.isdisjoint(states.get(ti.run_id, {}).values())


class DocumentOperator(StepOperator):
    """Generates the documentation of the models again, if a model or a contract has changed."""

    def execute(self, context: Context) -> Figures:
        """Returns whether the pages were generated, and how many models, tests and exposures dbt's project has.

        The task is skipped if dbt cannot generate the pages: the marts are correct and published, and the next
        transform tries again.
        """
        from sluice.transform import document

        arguments = self.arguments()
        try:
            generated = document(arguments["settings"], arguments["contracts"], dbt=arguments["dbt"])
        except SluiceError as error:
            self.log.warning("%s", error)
            raise AirflowSkipException("the documentation was not updated, the next transform tries again") from error
        summary = "generated" if generated else "up to date"
        manifest = arguments["dbt"].read_manifest()
        kinds = Counter(node["resource_type"] for node in manifest["nodes"].values())
        figures: Figures = {
            "documentation": summary,
            "models": kinds["model"],
            "tests": kinds["test"],
            "exposures": len(manifest["exposures"]),
        }
        for asset in self.outlets:
            context["outlet_events"][asset].extra.update(figures)
        return {"summary": summary, **figures}
