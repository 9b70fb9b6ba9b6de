"""From raw tables to marts: one dbt invocation rebuilds what is stale. Also the models' documentation."""

from sluice.transform.docs import document
from sluice.transform.run import TransformReport, audit, run_dbt, transform

__all__ = ["TransformReport", "audit", "document", "run_dbt", "transform"]
