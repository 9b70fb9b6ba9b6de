"""A topic converges to its contract's settings; one that would lose records is refused."""

import pytest

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.kafka.topic_settings import changed_settings, refuse_existing, refuse_new, topic_settings
from sluice.settings import ROOT

CONTRACT = load_contracts(ROOT / "contracts")["flights.departed"]


def test_a_new_topic_needs_no_change() -> None:
    assert changed_settings(CONTRACT, topic_settings(CONTRACT)) == {}


def test_each_changed_setting_has_its_old_and_its_new_value() -> None:
    actual = {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "1"}
    assert changed_settings(CONTRACT, actual) == {
        "retention.ms": ("604800000", "-1"),
        "retention.bytes": ("1", str(CONTRACT.topic.retention_bytes)),
    }


@pytest.mark.parametrize("policy", ["compact", "compact,delete", "delete,compact"])
def test_a_compacted_topic_is_refused_with_the_way_out(policy: str) -> None:
    with pytest.raises(TerminalError, match=rf"cleanup.policy={policy}: Kafka deletes.*Hint: set it to delete"):
        refuse_existing(CONTRACT, CONTRACT.topic.partitions, policy)


def test_a_topic_with_more_partitions_than_its_contract_is_refused() -> None:
    refuse_existing(CONTRACT, CONTRACT.topic.partitions - 1, "delete")
    with pytest.raises(TerminalError, match="Kafka cannot remove partitions"):
        refuse_existing(CONTRACT, CONTRACT.topic.partitions + 1, "delete")


def test_a_topic_whose_name_collides_with_another_is_refused() -> None:
    refuse_new(CONTRACT, ["flights.arrived", "flights.departed", "flights"])
    with pytest.raises(TerminalError, match="Kafka has a topic flights_departed"):
        refuse_new(CONTRACT, ["flights_departed"])
