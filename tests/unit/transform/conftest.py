"""A fake dbt: a shell script that behaves as a test specifies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sluice.settings import Settings
from sluice.transform.dbt import Dbt

MakeDbt = Callable[..., Dbt]


def model(unique_id: str, **changes: Any) -> dict[str, Any]:
    """Returns a mart as dbt's manifest describes it."""
    _, package, name = unique_id.split(".")
    return {
        "resource_type": "model",
        "name": name,
        "fqn": [package, "marts", name],
        "schema": "staging",
        "alias": name,
        "config": {"materialized": "table"},
        "tags": [],
        "depends_on": {"nodes": [], "macros": []},
        "checksum": {"name": "sha256", "checksum": "1"},
        "raw_code": "",
    } | changes


def data_test(unique_id: str) -> dict[str, Any]:
    """Returns a test of the model ``a`` as dbt's manifest describes it."""
    return {
        "resource_type": "test",
        "name": unique_id.split(".")[2],
        "config": {},
        "tags": [],
        "depends_on": {"nodes": ["model.sluice.a"], "macros": []},
        "checksum": {"checksum": "1"},
    }


@pytest.fixture
def log_lines() -> list[str]:
    """The lines that dbt and the transform have logged."""
    return []


@pytest.fixture
def make_dbt(tmp_path: Path, log_lines: list[str]) -> MakeDbt:
    """Returns a function that makes a fake dbt from a shell script and the results that it writes, if any.

    The fake records its arguments and its environment in the files ``arguments`` and ``environment`` of the project's
    folder ``logs``, which is not part of the project.
    Its manifest has a model, or a test, of the same name for each result.
    """

    def make(script: str = "", results: list[dict[str, Any]] | None = None) -> Dbt:
        project = tmp_path / "project"
        (project / "seeds").mkdir(parents=True, exist_ok=True)
        executable = tmp_path / "dbt"
        lines = ["#!/bin/sh", "mkdir -p logs", 'echo "$@" >> logs/arguments', "env > logs/environment"]
        if results is not None:
            (tmp_path / "results.json").write_text(json.dumps({"results": results}))
            names = [result["unique_id"] for result in results if "unique_id" in result]
            nodes = {name: data_test(name) if name.startswith("test.") else model(name) for name in names}
            manifest = {"nodes": nodes, "sources": {}, "child_map": {}, "macros": {}}
            (tmp_path / "manifest.json").write_text(json.dumps(manifest))
            lines += ["mkdir -p $DBT_TARGET_PATH", f"cp {tmp_path}/results.json $DBT_TARGET_PATH/run_results.json"]
            lines += [f"cp {tmp_path}/manifest.json $DBT_TARGET_PATH/manifest.json"]
        executable.write_text("\n".join([*lines, script, ""]))
        executable.chmod(0o755)
        password = SecretStr("s3cret")
        settings = Settings(home=tmp_path / "home", dbt=project, transformer_password=password, postgres_port=6543)
        return Dbt(settings, log_lines.append, executable=executable)

    return make
