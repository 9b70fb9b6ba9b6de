"""A whole platform for the tests, in a folder and on ports of its own: one that runs already is not touched."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
from infra.supervision.platform import Platform
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect


@dataclass(frozen=True)
class Running:
    """A running platform."""

    settings: Settings
    file: Path
    program: tuple[str, ...] = (sys.executable, "-m", "cli")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLUICE_ENV_FILE": str(self.file)}

    def sluice(self, *arguments: str, timeout: float = 900, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs a command as `make` does; what it said is shown if the test fails."""
        done = subprocess.run(
            [*self.program, *arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        print(f"$ sluice {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        assert "Traceback" not in done.stderr
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def query(self, statement: str) -> pd.DataFrame:
        """Asks the warehouse as its reader."""
        with connect(self.settings, "reader") as reader:
            return _frame(reader, statement)

    def checksum(self, table: str, where: str = "true") -> tuple[object, ...]:
        """Rows of a mart and a hash of them that does not depend on their order."""
        found = self.query(
            f"select count(*) as rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text as hash"
            f" from marts.{table} t where {where}"
        )
        return tuple(found.iloc[0])

    def services(self) -> Platform:
        return Platform(self.settings, self.file)


def _frame(connection: "psycopg.Connection[tuple[object, ...]]", statement: str) -> pd.DataFrame:
    with connection.cursor() as cursor:
        cursor.execute(statement.encode())
        assert cursor.description is not None
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description])


@contextmanager
def launched(**values: object) -> Iterator[Running]:
    """January replayed, and nothing produced after it; with ``values`` for some settings."""
    with tempfile.TemporaryDirectory(prefix="sluice-e2e-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "settings.env"
        home = Path(folder) / "home"
        # Contracts and models of its own: tests change them.
        contracts = Path(folder) / "contracts"
        contracts.mkdir()
        for contract in (ROOT / "contracts").glob("*.yaml"):
            shutil.copy(contract, contracts)
        dbt = Path(folder) / "dbt"
        shutil.copytree(ROOT / "dbt", dbt)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        ensure_environment(file, {"home": home, "contracts": contracts, "dbt": dbt, **ports, **values})
        running = Running(Settings(_env_file=file), file)  # type: ignore[call-arg]
        try:
            running.sluice("up", "--months", "1", "--no-live", timeout=1200)
            yield running
        finally:
            running.sluice("down", check=False)


@pytest.fixture(scope="session")
def platform() -> Iterator[Running]:
    """The platform as `make up` makes it."""
    with launched() as running:
        yield running
