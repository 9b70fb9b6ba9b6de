"""Dependencies point one way, and only the orchestration needs Airflow. The `ruff.toml` files explain each ban."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from sluice.settings import ROOT

LAYERS = (
    {
        "sluice.escaping",
        "sluice.errors",
        "sluice.dbt_project",
        "sluice.settings",
        "sluice.service",
        "sluice.contracts",
    },
    {"sluice.kafka", "sluice.registry", "sluice.lake", "sluice.warehouse"},
    {"sluice.sink", "sluice.load", "sluice.transform", "sluice.live"},
    {"sluice.quarantine", "sluice.backfill", "sluice.reconcile", "sluice.alerts", "sluice.removed", "sluice.lakehouse"},
    {"sluice.orchestration", "flights", "producers", "dashboard"},
    {"infra"},
    {"exercises"},
    {"cli", "dags"},
)
"""Lowest first. A package may import those of its own layer and of lower ones; within a layer no cycle is allowed."""
LEVEL = {package: level for level, layer in enumerate(LAYERS) for package in layer}
PROGRAM = """
import importlib, pkgutil, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "airflow":
            raise ImportError("airflow is not installed here")

sys.meta_path.insert(0, NoAirflow())
import cli, dashboard, flights, infra, producers, sluice
count = 0
for package in (cli, dashboard, flights, infra, producers, sluice):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        elsewhere = module.name.startswith(("sluice.orchestration.", "sluice.lakehouse.spark"))
        if not elsewhere and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print(count)
"""


def test_only_the_orchestration_needs_airflow_and_only_the_driver_needs_spark() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 120


def test_no_import_points_to_a_higher_layer() -> None:
    upwards = {
        f"{importer} imports {imported} ({file.relative_to(ROOT)})"
        for file, importer, imported in _imports()
        if LEVEL[imported] > LEVEL[importer]
    }
    assert not upwards


def test_no_packages_import_each_other() -> None:
    graph: dict[str, set[str]] = {package: set() for package in LEVEL}
    for _, importer, imported in _imports():
        if importer != imported:
            graph[importer].add(imported)
    assert not [
        (package, imported) for package, imports in graph.items() for imported in imports if package in graph[imported]
    ]


def test_the_platform_imports_only_packages_that_it_installs() -> None:
    lock = (ROOT / "infra/requirements/platform.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    # By module; one that the lock of Spark has is not in this environment.
    distributions = {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in names}
        for module, names in packages_distributions().items()
    }
    assert not {
        f"{file.relative_to(ROOT)} imports {module}"
        for folder in ("sluice", "cli", "infra", "dashboard", "producers", "flights", "dags", "bench")
        for file in (ROOT / folder).rglob("*.py")
        if "contestants" not in file.parts
        for module in _modules(file)
        if locked.isdisjoint(distributions.get(module, locked))
    }


def _modules(file: Path) -> set[str]:
    """Returns the top-level modules that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.split(".")[0])
    return modules


def _imports() -> Iterator[tuple[Path, str, str]]:
    """Yields each import of one of the project's packages by another, with its file."""
    for folder in sorted({package.split(".")[0] for package in LEVEL}):
        for file in sorted((ROOT / folder).rglob("*.py")):
            importer = _package(".".join(file.relative_to(ROOT).with_suffix("").parts))
            if importer is None:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for imported in filter(None, map(_package, names)):
                    yield file, importer, imported


def _package(name: str) -> str | None:
    """Returns the layered package that a module belongs to; None for modules of others."""
    return next((package for package in LEVEL if f"{name}.".startswith(f"{package}.")), None)
