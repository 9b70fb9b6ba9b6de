"""Contracts: one YAML file defines an event stream, and everything else about the stream is derived from it.

The topic, raw table, DAG, dbt source and documentation all come from here. Nothing else lists the streams.
"""

from sluice.contracts.loader import get_contract, load_contracts, read_contract
from sluice.contracts.model import NUMERIC_TYPES, Column, Contract, Load, Topic

__all__ = ["NUMERIC_TYPES", "Column", "Contract", "Load", "Topic", "get_contract", "load_contracts", "read_contract"]
