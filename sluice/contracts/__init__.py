"""Contracts: one YAML file defines an event stream, and everything else about the stream is derived from it.

The topic, raw table, DAG, dbt source and documentation all come from here. Nothing else lists the streams.
"""

from sluice.contracts.collection import Contracts, InvalidContract, get_contract, invalid_contracts, topic_names
from sluice.contracts.files import contracts_version
from sluice.contracts.loader import load_contracts, read_contract
from sluice.contracts.model import Column, Contract, Load, Topic
from sluice.contracts.types import NUMERIC_TYPES, DataType

__all__ = [
    "NUMERIC_TYPES",
    "Column",
    "Contract",
    "Contracts",
    "DataType",
    "InvalidContract",
    "Load",
    "Topic",
    "contracts_version",
    "get_contract",
    "invalid_contracts",
    "load_contracts",
    "read_contract",
    "topic_names",
]
