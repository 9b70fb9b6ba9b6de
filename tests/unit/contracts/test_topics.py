"""A stream's topic may have another name than the stream, and no two streams have the same one."""

from pathlib import Path

import pytest

from sluice.contracts import load_contracts, topic_names
from sluice.settings import ROOT

WEATHER = (ROOT / "contracts" / "weather.observed.yaml").read_text()


def write(folder: Path, stream: str, topic: str = "", *, valid: bool = True) -> None:
    text = WEATHER.replace("weather.observed", stream)
    if topic:
        text = text.replace("topic:", f"topic:\n  name: {topic}", 1)
    (folder / f"{stream}.yaml").write_text(text if valid else text.replace("owner:", "owners:"))


def test_a_topic_has_the_streams_name_unless_the_contract_names_it(tmp_path: Path) -> None:
    write(tmp_path, "weather.observed")
    write(tmp_path, "weather.reported", "NOAA_weather-v1.events")
    assert topic_names(load_contracts(tmp_path)) == {
        "weather.observed": "weather.observed",
        "weather.reported": "NOAA_weather-v1.events",
    }


@pytest.mark.parametrize("name", ['"no spaces"', "a/b", '""', "x" * 250, "[a]"])
def test_what_kafka_does_not_accept_as_a_topic_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "weather.reported", name)
    (invalid,) = load_contracts(tmp_path).invalid
    assert "topic.name: " in invalid.problem


def test_two_streams_cannot_have_one_topic(tmp_path: Path) -> None:
    write(tmp_path, "weather.observed")
    write(tmp_path, "weather.reported", "weather.observed")
    contracts = load_contracts(tmp_path)
    assert topic_names(contracts) == {"weather.observed": "weather.observed"}
    (invalid,) = contracts.invalid
    assert "topic.name: Kafka cannot tell weather.observed from the topic of stream weather.observed" in invalid.problem
    assert contracts.known_topics() == topic_names(contracts)


def test_the_topic_of_a_contract_that_is_not_valid_now_is_still_known(tmp_path: Path) -> None:
    write(tmp_path, "weather.observed", "NOAA", valid=False)
    write(tmp_path, "weather.reported", valid=False)
    (tmp_path / "weather.unreadable.yaml").write_text("[")
    contracts = load_contracts(tmp_path)
    assert topic_names(contracts) == {}
    assert contracts.known_topics() == {
        "weather.observed": "NOAA",
        "weather.reported": "weather.reported",
        "weather.unreadable": "weather.unreadable",
    }
