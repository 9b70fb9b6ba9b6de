"""The contestants: the command and the share of the input of each."""

import sys
from collections.abc import Callable
from pathlib import Path

from bench.load.contestants.spec import READING, Spec
from bench.measure import Contestant
from bench.servers import PYTHON


def _module(name: str, python: str | Path = sys.executable) -> Callable[[Spec], list[str | Path]]:
    return lambda _: [python, "-m", f"bench.load.contestants.{name}"]


SLUICE = Contestant("sluice", "this load, all checks on", 1, _module("sluice"), READING)
LINEUP = [
    SLUICE,
    Contestant("limit", "upper bound: binary COPY of prepared rows", 1, _module("limit"), READING),
    Contestant("sling", "sling, JSON lines to a table", 0.2, _module("sling", PYTHON), READING),
    Contestant("dlt", "dlt, JSON lines to a table", 0.1, _module("dlt", PYTHON), READING),
    Contestant("pandas", "pandas read_json and to_sql", 0.02, _module("pandas", PYTHON), READING),
]
