"""From raw tables to marts: what was touched, one dbt invocation over it, and what it has built."""

from sluice.transform.run import TransformReport, audit, transform

__all__ = ["TransformReport", "audit", "transform"]
