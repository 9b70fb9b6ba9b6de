"""A scratch stream has the contract that it is given, but a topic and servers of its own."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.scratch import environment, scratch_settings, write_contract
from exercises.grading.stream import learners_contract
from exercises.grading.topic import Record
from sluice.contracts import load_contracts
from sluice.contracts.loader import read_contract
from sluice.lake.bucket import credentials
from sluice.settings import ROOT, Settings, load_settings
from sluice.settings.external_servers import USERS

KEYS = {user: (f"{user}-abc", f"{user}-secret") for user in USERS}
CONTRACTS = sorted((ROOT / "contracts").glob("*.yaml"))


@pytest.fixture
def settings() -> Settings:
    secrets = {"minio_root_password": "root-secret", "lake_writer_password": "writer", "postgres_password": "p"}
    return Settings.model_construct(
        kafka_port=9999, **{name: SecretStr(value) for name, value in secrets.items()}, warehouse="warehouse"
    )


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_a_scratch_stream_has_the_same_contract_but_for_its_topic(tmp_path: Path, path: Path) -> None:
    write_contract(path, tmp_path, "check.0", 3)
    (written,) = load_contracts(tmp_path).values()
    assert (written.topic_name, written.topic.partitions) == ("check.0", 3)
    original = read_contract(path)
    assert written.model_copy(update={"topic": original.topic}) == original


def test_a_scratch_stream_shares_neither_bucket_nor_warehouse_with_the_platform(
    settings: Settings, tmp_path: Path
) -> None:
    own = scratch_settings(settings, "abc", tmp_path, 0.5, KEYS)
    assert (own.lake_bucket, own.warehouse, own.contracts) == ("check-abc", "sluice_check_abc", tmp_path)
    assert own.lake_endpoint == settings.lake_endpoint
    assert {user: credentials(own, user) for user in USERS} == KEYS
    assert (settings.lake_bucket, settings.s3_endpoint) == ("lake", "")


def test_a_process_gets_the_settings_and_only_the_secrets_that_it_needs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_KAFKA_PORT", "1")
    monkeypatch.setenv("SLUICE_READER_PASSWORD", "reader")
    own = scratch_settings(settings, "abc", tmp_path, 0.5, KEYS)
    variables = environment(own, ["lake_writer_password", "kafka_password"])
    for name in ("SLUICE_KAFKA_PORT", "SLUICE_READER_PASSWORD"):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read = load_settings()
    assert (read.kafka, read.lake_bucket, read.contracts) == (own.kafka, "check-abc", tmp_path)
    assert credentials(read, "writer") == KEYS["writer"]
    assert (read.reader_password, read.postgres_password, read.lake_reader_password) == (None, None, None)


def test_an_invalid_contract_is_a_wrong_answer_that_names_the_line(settings: Settings, tmp_path: Path) -> None:
    attempt = Attempt(settings, tmp_path, tmp_path)
    with pytest.raises(WrongAnswer, match=r"^a\.b\.yaml is missing"):
        learners_contract(attempt, "a.b.yaml")
    (tmp_path / "a.b.yaml").write_text("stream: a.b\ncolumn: []\n")
    with pytest.raises(WrongAnswer, match=r"^a\.b\.yaml: line 1: .*line 2: column: "):
        learners_contract(attempt, "a.b.yaml")


def test_a_record_of_fields_is_json() -> None:
    assert Record.of({"a": 1.5}, partition=2) == Record(b'{"a": 1.5}', 2)
