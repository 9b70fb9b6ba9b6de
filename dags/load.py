"""Airflow's DAGs load_<stream>, one per contract: from the lake to the raw tables."""
# Airflow passes over files that do not hold both words, airflow and dag: the line above is needed.

from sluice.contracts import load_contracts
from sluice.orchestration.loads import load_dag
from sluice.settings import load_settings

SETTINGS = load_settings()

for contract in load_contracts(SETTINGS.contracts).values():
    load_dag(contract, SETTINGS)
