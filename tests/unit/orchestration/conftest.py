"""Imported before anything that imports Airflow."""

from tests.fixtures.airflow_home import HOME

__all__ = ["HOME"]
