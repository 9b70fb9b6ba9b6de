"""A settings file means what its author expects, or the error names the line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.settings_file import _quoted, complete, ensure_settings_file
from sluice.errors import TerminalError
from sluice.settings import ROOT, Settings, load_settings
from sluice.settings.syntax import parse
from tests.fixtures.passwords import PASSWORDS


def values(content: bytes) -> dict[str, str]:
    return {name: entry.value for name, entry in parse(content, ".env").items()}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A=1\nB=2\n", {"A": "1", "B": "2"}),
        (b"A=1\r\nB=two words\r\n", {"A": "1", "B": "two words"}),
        (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
        (b"export A=1\n export B = 2 \n", {"A": "1", "B": "2"}),
        (b"A=1\nB=2\nA=3\n", {"A": "3", "B": "2"}),
        (b"# comment\n\nA=1 # a port\nB=a#b\n", {"A": "1", "B": "a#b"}),
        (b'A="x y"\nB=\'x "y" # $z ${HOME} \\n\'\n', {"A": "x y", "B": 'x "y" # $z ${HOME} \\n'}),
        (b"A=it's\nB=a\"b\nC='it\\'s'\n", {"A": "it's", "B": 'a"b', "C": "it's"}),
        (b"A=x\nB=${A}/y\nC=${MISSING:-z}\nD=a$b\n", {"A": "x", "B": "x/y", "C": "z", "D": "a$b"}),
        (b"A=last line", {"A": "last line"}),
        (b"", {}),
    ],
)
def test_lines_are_read_as_users_write_them(content: bytes, expected: dict[str, str]) -> None:
    assert values(content) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\n\n# comment\nSLUICE_READER_PASS", r"\.env, line 4: not complete: a line is NAME=value"),
        (b"A=1\nB='never closed\nC=2\n", r"\.env, line 2: not complete"),
        (b"A=1\nB='closed' and more\n", r"\.env, line 2: not complete"),
        (b"A=1\n=2\n", r"\.env, line 2: not complete"),
        (b"A=1\nB=\0\0\0\0", r"\.env, line 2: not complete"),
        (b"A=1\nB=\xe9\n", r"\.env, line 2: not UTF-8"),
        ("A=1\n".encode("utf-16"), r"\.env, line 1: not UTF-8"),
        (b"A=1\nB=${MISSING}/x\n", r"\.env, line 2: the variable MISSING has no value\. Hint: .* single quotes"),
    ],
)
def test_a_line_that_is_not_complete_is_named_and_its_value_is_not_shown(content: bytes, message: str) -> None:
    with pytest.raises(TerminalError, match=message) as raised:
        parse(content, ".env")
    assert "never" not in str(raised.value)


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_written_password_is_read_unchanged(password: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    ensure_settings_file(file, {"reader_password": password})
    assert Settings(_env_file=file).secret("reader_password") == password  # type: ignore[call-arg]


def test_compose_reads_a_written_password_unchanged(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("Docker Compose is not installed")
    names = [f"P{n}" for n in range(len(PASSWORDS))]
    lines = [f"{name}={_quoted(password)}\n" for name, password in zip(names, PASSWORDS, strict=True)]
    (tmp_path / ".env").write_text("".join(lines))
    service = {"image": "x", "environment": {name: f"${{{name}}}" for name in names}}
    (tmp_path / "docker-compose.yaml").write_text(json.dumps({"services": {"a": service}}))
    command = [docker, "compose", "config", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)["services"]["a"]["environment"]
    # Its output escapes dollar signs again.
    assert {name: value.replace("$$", "$") for name, value in read.items()} == dict(zip(names, PASSWORDS, strict=True))


def test_an_empty_value_counts_as_missing() -> None:
    missing = complete(b"SLUICE_READER_PASSWORD=\nSLUICE_KAFKA_PORT=\n")
    assert "SLUICE_READER_PASSWORD=" in missing
    assert "SLUICE_KAFKA_PORT=9092\n" in missing


def test_an_invalid_value_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nSLUICE_HOME=\nSLUICE_KAFKA_PORT=many\n")
    monkeypatch.setenv("SLUICE_ENV_FILE", str(file))
    with pytest.raises(TerminalError, match=r"\.env, line 3: SLUICE_KAFKA_PORT: "):
        load_settings()


def test_a_value_that_compose_would_change_is_refused_in_containers_with_its_line() -> None:
    command = [sys.executable, "-m", "infra", "settings"]
    for content, code in ((b"A=1\nP=a$b\n", 1), (b"A=1\nP='a$b'\n", 0)):
        done = subprocess.run(command, input=content, cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == code
        if code:
            line = "sluice: .env, line 2: Compose would replace the `$` in P. Hint: put the value in single quotes.\n"
            assert done.stderr.decode() == line
