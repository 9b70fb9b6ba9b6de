"""The Airflow DAGs load_<stream>, one per contract: from the lake to the raw tables."""
# Airflow ignores files that do not contain both words, airflow and dag: keep them in the line above.

from sluice.contracts import load_contracts
from sluice.orchestration.loads import load_dag
from sluice.settings import load_settings

SETTINGS = load_settings()

for contract in load_contracts(SETTINGS.contracts).values():
    load_dag(contract, SETTINGS)
