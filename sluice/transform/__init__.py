"""From raw tables to marts: what was touched, one dbt invocation over it, what it has built, and its documentation."""

from sluice.transform.docs import document
from sluice.transform.run import TransformReport, audit, transform

__all__ = ["TransformReport", "audit", "document", "transform"]
