"""The contracts: one YAML file defines an event stream, and every other step is derived from it.

Topic, raw table, DAG, dbt source and documentation all come from here; nothing else lists the streams.
"""

from sluice.contracts.loader import get_contract, load_contracts, read_contract
from sluice.contracts.model import NUMERIC_TYPES, Column, Contract, Load, Topic

__all__ = ["NUMERIC_TYPES", "Column", "Contract", "Load", "Topic", "get_contract", "load_contracts", "read_contract"]
