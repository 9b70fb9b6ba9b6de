"""The command line: errors, exit codes, and the targets of the Makefile."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.settings import ROOT
from tests.fixtures.supervisor import apparent_supervisor


def sluice(tmp_path: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "SLUICE_ENV_FILE": "/dev/null", "SLUICE_HOME": str(tmp_path), **settings}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["logs"], {}, "no log in"),
        (["logs", "kafak"], {}, "unknown service 'kafak'. Hint: choose from kafka"),
        (["up", "--months", "13"], {}, "MONTHS=13"),
        (["status"], {"SLUICE_KAFKA_PORT": "many"}, "SLUICE_KAFKA_PORT"),
    ],
)
def test_invalid_input_is_an_error_of_one_line_and_exit_code_1(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], message: str
) -> None:
    done = sluice(tmp_path, *arguments, **settings)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["sql", b"select '\xff'"], ["peek", b"\xff"], ["quarantine", "list", b"\xff"]])
def test_an_argument_that_is_not_utf_8_is_an_error_of_one_line(tmp_path: Path, arguments: list[str]) -> None:
    done = sluice(tmp_path, *arguments, SLUICE_READER_PASSWORD="x")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is not UTF-8" in done.stderr


def test_status_of_a_stopped_platform_lists_every_service_and_fails(tmp_path: Path) -> None:
    done = sluice(tmp_path, "status")
    assert done.returncode == 1
    assert "airflow-scheduler" in done.stdout
    assert "stopped" in done.stdout


def test_status_names_each_invalid_contract(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "a.b.yaml").write_text("stream: a.b\nowner: no\n")
    done = sluice(tmp_path, "status", SLUICE_CONTRACTS=str(tmp_path / "contracts"))
    assert done.returncode == 1
    assert "airflow-scheduler" in done.stdout
    assert re.search(r"a\.b\.yaml: line 1: .*; line 2: owner: ", done.stderr)


@pytest.mark.parametrize("command", [("rebuild-warehouse", "--force"), ("peek", "a.b"), ("load", "--stream", "a.b")])
def test_a_command_that_needs_an_invalid_contract_names_its_file_and_line(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    (contracts / "a.b.yaml").write_text("stream: a.b\nowner: no\n")
    done = sluice(tmp_path, *command, SLUICE_CONTRACTS=str(contracts))
    assert done.returncode == 1
    assert re.fullmatch(r"sluice: .*a\.b\.yaml: line 1: .*; line 2: owner: .*\n", done.stderr)


def test_clean_deletes_nothing_without_confirmation(tmp_path: Path) -> None:
    (tmp_path / "supervisor.conf").touch()
    done = sluice(tmp_path, "clean")
    assert done.returncode == 1
    assert "FORCE=1" in done.stderr
    assert tmp_path.exists()


def test_every_target_is_documented() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE))
    rules = set(re.findall(r"^([a-z0-9-]+):(?!=)", makefile, re.MULTILINE))
    assert documented == rules
    assert len(rules) > 20


HOSTILE = """it''s "b" $1 `x`$(y)"""


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["sql", "Q=select 1"], ["sql", "--", "select 1"]),
        (["sql", "Q=select 1", "FORMAT=json"], ["sql", "--format", "json", "--", "select 1"]),
        (["backfill", "CANCEL=1", "FORCE=0"], ["backfill", "--from", "", "--to", "", "--cancel"]),
        (["up"], ["up", "--live"]),
        (["up", "MONTHS=0", "LIVE=0", "FORCE=1"], ["up", "--months", "0", "--no-live", "--force"]),
        (["up", "ENGINE=spark"], ["up", "--live", "--engine", "spark"]),
        (["clean", "FORCE=0"], ["clean"]),
        (["sql", f"Q={HOSTILE}"], ["sql", "--", HOSTILE]),
        (
            ["new-stream", "NAME=a.b", f"SAMPLE={HOSTILE}", "FORCE=1"],
            ["new-stream", "--sample", HOSTILE, "--force", "--", "a.b"],
        ),
        (
            ["send", "STREAM=a.b", f"FILE={HOSTILE}", "SPEED=2", "LATE=0.1:2"],
            ["send", "--stream", "a.b", "--file", HOSTILE, "--speed", "2", "--late", "0.1:2"],
        ),
        (["new-mart", "NAME=a", "STREAM=a.b", "PLAIN=1"], ["new-mart", "--stream", "a.b", "--plain", "--", "a"]),
        (["new-mart", "NAME=a", "PLAIN=0"], ["new-mart", "--", "a"]),
        (["learn"], ["learn"]),
        (["learn", "N=-1"], ["learn", "--", "-1"]),
        (["check", "WATCH=1", "N=late-airlines"], ["check", "--watch", "--", "late-airlines"]),
        (["check", "WATCH=0"], ["check"]),
        (["solution", "N=2", "FORCE=1"], ["solution", "--force", "--", "2"]),
        (["reset"], ["reset", "--", ""]),
        (["report", f"NAME={HOSTILE}"], ["report", "--name", HOSTILE]),
        (["report", f"CHECK={HOSTILE}"], ["report", "--check", HOSTILE]),
        (["new-exercise", "NAME=late-bags", "STAGE=ask"], ["new-exercise", "--stage", "ask", "--", "late-bags"]),
    ],
)
def test_make_passes_arguments_to_the_command_unchanged(tmp_path: Path, target: list[str], expected: list[str]) -> None:
    # A stub interpreter prints its arguments; a stub bootstrap does nothing.
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("bootstrap"))
    for name, text in (
        (".venv/bin/python", '#!/bin/bash\nprintf "%s\\n" "$@"\n'),
        ("infra/bootstrap", "#!/bin/bash\n"),
    ):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "RUNTIME=native", *target]
    with apparent_supervisor(tmp_path / ".sluice"):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    printed = [line for line in done.stdout.splitlines() if not line.startswith("running without containers")]
    assert printed == ["-m", "cli", *expected]
