"""Spark's packages: in an environment of their own, created when it is asked for. With real uv."""

import re
import shutil
from pathlib import Path

import pytest

from sluice.settings import ROOT
from tests.fixtures.locked_checkout import LockedCheckout

LOCKS = ROOT / "infra" / "requirements"


@pytest.fixture
def checkout(tmp_path: Path) -> LockedCheckout:
    return LockedCheckout(tmp_path)


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (LOCKS / lock).read_text(), re.MULTILINE))


def test_spark_has_the_version_of_dbt_that_the_warehouse_has() -> None:
    assert versions("spark.txt")["dbt-core"] == versions("dbt.txt")["dbt-core"]


def test_the_lock_has_a_hash_for_each_package_and_names_no_index() -> None:
    text = (LOCKS / "spark.txt").read_text()
    assert all("--hash=sha256:" in package for package in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:])
    assert "://" not in text


def test_spark_is_installed_only_when_asked_for_and_not_again(checkout: LockedCheckout) -> None:
    for kind in ("platform", "dev", "extra"):
        assert checkout.run(kind).returncode == 0
    assert not (checkout.folder / ".venv-spark").exists()
    done = checkout.run("spark")
    assert done.returncode == 0, done.stderr
    assert "Python packages of Spark" in done.stdout
    assert checkout.versions("pyspark", venv=".venv-spark") == ["1"]
    assert checkout.run("spark").stdout == ""
    # The other environments are as they were.
    assert checkout.versions("airflow", "pyspark") == ["1", ""]
    assert checkout.run("dev").stdout == ""


def test_spark_needs_no_other_environment_and_imports_the_project(checkout: LockedCheckout) -> None:
    (checkout.folder / "own.py").write_text("VERSION = 'of this clone'")
    assert checkout.run("spark").returncode == 0
    assert checkout.versions("own", venv=".venv-spark") == ["of this clone"]
    assert not (checkout.folder / ".venv").exists()


def test_another_lock_or_an_interrupted_installation_is_installed_again(checkout: LockedCheckout) -> None:
    assert checkout.run("spark").returncode == 0
    checkout.lock("spark", "pyspark", "2")
    assert checkout.run("spark").returncode == 0
    assert checkout.versions("pyspark", venv=".venv-spark") == ["2"]
    (checkout.folder / ".venv-spark" / "sluice-stamp").unlink()
    shutil.rmtree(next((checkout.folder / ".venv-spark").glob("lib/*/site-packages/pyspark-2.dist-info")))
    assert checkout.run("spark").returncode == 0
    assert checkout.versions("pyspark", venv=".venv-spark") == ["2"]
