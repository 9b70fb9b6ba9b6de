"""Adding a stream takes one YAML file: topic, raw table and lake table follow (DAG and dbt source: see tests/unit)."""

from collections.abc import Callable

import pytest

from sluice.contracts import load_contracts
from sluice.kafka import topics
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream

pytestmark = pytest.mark.essential


def test_a_new_contract_creates_topic_and_raw_table(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=3)
    assert [offsets.partition for offsets in topics.kafka_ranges(stream.settings, stream.topics)] == [0, 1, 2]
    with topics.admin(stream.settings) as admin:
        from kafka.admin import ConfigResource, ConfigResourceType

        configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, stream.name)])
    assert "-1" in str(configs)
    with connect(stream.settings, "reader") as reader:
        columns = reader.execute(
            "select column_name, data_type, is_nullable from information_schema.columns"
            " where table_schema = 'raw' and table_name = %s order by ordinal_position",
            (stream.contract.table,),
        ).fetchall()
    assert columns[:4] == [
        ("event_id", "text", "NO"),
        ("sensor", "text", "NO"),
        ("read_at", "timestamp with time zone", "NO"),
        ("reading", "integer", "YES"),
    ]


def test_a_new_column_is_added_and_an_empty_one_may_change_its_type(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    path.write_text(text + "  - {name: battery, type: float64, description: Volts.}\n")
    schema.provision(stream.settings, load_contracts(stream.settings.contracts))
    with connect(stream.settings, "reader") as reader:
        assert reader.execute(f"select battery from raw.{stream.contract.table}".encode()).fetchall() == []
    path.write_text(text.replace("type: int32", "type: string").replace(", minimum: 0", ""))
    lines: list[str] = []
    schema.provision(stream.settings, load_contracts(stream.settings.contracts), lines.append)
    assert f"raw.{stream.contract.table}: reading: integer → text" in lines
