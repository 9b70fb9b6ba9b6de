"""Commits and `make lint` run the same checks by the same commands."""

import re
import subprocess

import pytest
import yaml

from sluice.settings import ROOT

LINT = ROOT / "infra" / "lint"
CHECKS = set(re.findall(r'^check "([^"]+)"', LINT.read_text(), flags=re.MULTILINE))
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def test_every_check_is_a_hook_and_every_hook_is_a_check() -> None:
    assert {"ruff", "mypy", "prose", "docs"} <= CHECKS
    assert sorted(hook["id"] for hook in HOOKS) == sorted(CHECKS)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_the_command_of_its_check(hook: dict[str, object]) -> None:
    assert hook["name"] == hook["id"]
    assert hook["entry"] == f"infra/lint {hook['id']}"
    # infra/lint would take file names for names of checks.
    assert hook["pass_filenames"] is False


def test_an_unknown_check_fails() -> None:
    result = subprocess.run([LINT, "ruf"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "failed: ruf (no such check)\n")
