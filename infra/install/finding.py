"""The result of one check of the machine."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The result of one check. With a ``warning`` `make up` still works; with an ``error`` it cannot."""

    name: str
    status: Literal["ok", "warning", "error"]
    found: str
    hint: str = ""
