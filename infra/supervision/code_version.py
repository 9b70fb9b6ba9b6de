"""The version of the code that services run: they keep what they had when they started."""

import hashlib
from pathlib import Path

from sluice.settings import ROOT

_FOLDERS = ("dashboard", "flights", "infra", "producers", "sluice")
_SUFFIXES = (".css", ".html", ".in", ".js", ".py", ".sql", ".txt")
"""Code, what it reads at its start, and the packages. Airflow reads DAGs again by itself, and dbt its models."""


def code_version(root: Path = ROOT) -> str:
    """Returns a digest of the code that services run."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in _SUFFIXES and file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()[:16]
