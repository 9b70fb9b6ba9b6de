"""From raw tables to marts: one dbt invocation rebuilds what is stale. Also the models' documentation."""

from sluice.transform.docs import document, is_documented
from sluice.transform.outcome import Outcome
from sluice.transform.run import (
    Publication,
    TransformReport,
    audit,
    build,
    check,
    plan,
    publish_built,
    run_dbt,
    transform,
)
from sluice.transform.steps import Plan

__all__ = [
    "Outcome",
    "Plan",
    "Publication",
    "TransformReport",
    "audit",
    "build",
    "check",
    "document",
    "is_documented",
    "plan",
    "publish_built",
    "run_dbt",
    "transform",
]
