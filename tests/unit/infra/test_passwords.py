"""A password may have any character: every URL and file that contains it still means that password."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import sqlalchemy
import yaml
from kombu.utils.url import parse_url
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from infra.config.settings_file import SECRETS
from infra.servers import redis
from infra.servers.airflow import broker_url, connections, metadata_url
from sluice.settings import ROOT, Settings
from sluice.transform.dbt import Dbt
from sluice.warehouse.connect import uri
from tests.fixtures.passwords import PASSWORDS

RENDER = """
import os, sys, yaml
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
set_invocation_context(dict(os.environ))
profile = ProfileRenderer({}).render_data(yaml.safe_load(open(sys.argv[1])))
sys.stdout.buffer.write(profile["sluice"]["outputs"]["postgres"]["password"].encode())
"""


def settings_with(password: str, home: Path) -> Settings:
    secrets = {name: SecretStr(password) for name in SECRETS}
    return Settings(_env_file=None, home=home, **secrets)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_url_has_the_password_unchanged(password: str, tmp_path: Path) -> None:
    settings = settings_with(password, tmp_path)
    for scheme in ("postgresql+psycopg2", "db+postgresql"):
        parsed = sqlalchemy.make_url(metadata_url(settings, scheme).removeprefix("db+"))
        assert (parsed.username, parsed.password, parsed.host, parsed.port) == ("airflow", password, "127.0.0.1", 5432)
        assert parsed.database == "airflow"
    queue = parse_url(broker_url(settings))
    assert (queue["password"], queue["hostname"], queue["port"]) == (password, "127.0.0.1", 6379)
    assert conninfo_to_dict(uri(settings, "reader"))["password"] == password
    for connection in connections(settings).values():
        assert json.loads(connection)["password"] == password


@pytest.mark.parametrize("password", PASSWORDS)
def test_airflow_finds_nothing_to_expand_in_a_url(password: str, tmp_path: Path) -> None:
    # It expands variables in every value that it reads from the environment.
    assert "$" not in metadata_url(settings_with(password, tmp_path), "postgresql")


@pytest.mark.parametrize("password", PASSWORDS)
def test_redis_reads_the_password_unchanged_with_and_without_containers(password: str, tmp_path: Path) -> None:
    # Redis's quoting is that of a shell's double quotes, as far as these characters go.
    redis.prepare(settings_with(password, tmp_path))
    (line,) = (line for line in (tmp_path / "redis" / "redis.conf").read_text().splitlines() if "requirepass" in line)
    assert shlex.split(line) == ["requirepass", password]

    scaled = (ROOT / "infra" / "compose" / "scale.yaml").read_text().replace("!reset", "").replace("!override", "")
    script = yaml.safe_load(scaled)["services"]["redis"]["command"][-1].replace("$$", "$")
    done = subprocess.run(
        ["sh", "-c", script.replace("exec redis-server -", "cat")],
        env={"PATH": "/usr/bin:/bin", "SLUICE_REDIS_PASSWORD": password},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == line


@pytest.mark.parametrize("password", ["a@/%#:?&=+ '\"$\\`é", "{{ x }} {% if %}", "1234567890"])
def test_dbt_reads_the_password_unchanged(password: str, tmp_path: Path) -> None:
    variables = Dbt(settings_with(password, tmp_path), print)._environment()
    python = ROOT / ".venv-dbt" / "bin" / "python"
    command = [python, "-c", RENDER, ROOT / "dbt" / "profiles.yml"]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode() == password
