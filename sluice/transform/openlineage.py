"""dbt's last build as OpenLineage events: the runs of its models and tests, from the files that dbt has written."""

import json
from typing import Any

from openlineage.client.event_v2 import RunEvent
from openlineage.common.provider.dbt.facets import DbtRunRunFacet, ParentRunMetadata
from openlineage.common.provider.dbt.processor import DbtArtifactProcessor
from openlineage.common.provider.dbt.utils import PRODUCER

from sluice.transform.dbt import Dbt
from sluice.warehouse.connect import warehouse_server


def build_events(dbt: Dbt, parent: ParentRunMetadata) -> list[RunEvent]:
    """Returns the events of dbt's last invocation, which was a build or the retry of one: a start and an end per run.

    Models come before tests, so that the lineage has arrived if the server is too slow for all of them.

    Args:
        dbt: has run the build.
        parent: the run that started dbt. The jobs of models and tests have the namespace of its job.
    """
    processor = _Artifacts(dbt, parent.job_namespace)
    processor.dbt_run_metadata = parent
    events = processor.parse()
    ends: dict[str, RunEvent] = {event.run.runId: event for event in (*events.completes, *events.fails)}
    return [event for start in events.starts for event in (start, ends[start.run.runId])]


class _Artifacts(DbtArtifactProcessor):  # type: ignore[misc]
    """Reads what dbt has written, but not its profile, which needs dbt's environment and holds the password."""

    def __init__(self, dbt: Dbt, job_namespace: str) -> None:
        # A node with a status that the library does not know costs its own event.
        super().__init__(producer=PRODUCER, job_namespace=job_namespace, skip_errors=True)
        self._dbt = dbt

    def get_dbt_metadata(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], None]:
        """Returns dbt's manifest, its results and the warehouse's address; no catalog."""
        results = json.loads(self._dbt.results.read_text())
        # The library knows no retry.
        results["args"]["which"] = "build"
        server = warehouse_server(self._dbt.settings)
        profile = {"type": "postgres", "host": server.host, "port": server.port}
        return self._dbt.read_manifest(), results, profile, None

    def dbt_run_run_facet(self) -> dict[str, DbtRunRunFacet]:
        """Returns dbt's own id of the invocation, as a facet of each run."""
        facet = DbtRunRunFacet(
            invocation_id=self.run_metadata["invocation_id"],
            project_name=self.manifest["metadata"]["project_name"],
            dbt_runtime="core",
            full_refresh=self.full_refresh,
        )
        return {"dbt_run": facet}
