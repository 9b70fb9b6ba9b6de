"""What a topic must be like for its contract, and how it differs."""

from collections.abc import Collection, Mapping

from sluice.contracts import Contract
from sluice.errors import TerminalError

CLEANUP_POLICY = "cleanup.policy"


def topic_settings(contract: Contract) -> dict[str, str]:
    """Returns the settings of a new topic; all but its cleanup policy also apply to an existing one.

    There is no retention by time: Kafka measures it from the records' own timestamps, so past events would be deleted
    within minutes. ``message.timestamp.before.max.ms`` keeps Kafka's default, which accepts any past timestamp.
    """
    return {
        CLEANUP_POLICY: "delete",
        "retention.ms": "-1",
        "retention.bytes": str(contract.topic.retention_bytes),
    }


def differences(contract: Contract, partitions: int, actual: Mapping[str, str]) -> list[str]:
    """Returns a line for each difference of a topic that is used as it is.

    Args:
        contract: of the stream.
        partitions: the number that the topic has.
        actual: the topic's settings; empty if they may not be read.
    """
    name = contract.topic_name
    lines = []
    if partitions != contract.topic.partitions:
        lines.append(f"topic {name} has {partitions} partitions, and its contract {contract.topic.partitions}")
    if not actual:
        lines.append(f"topic {name}: its settings may not be read: whether it keeps events long enough is not known")
        return lines
    for setting, (value, wanted) in changed_settings(contract, actual).items():
        effect = ": Kafka deletes events by their age" if setting == "retention.ms" else ""
        lines.append(f"topic {name} has {setting}={value}, and its contract {wanted}{effect}")
    return lines


def changed_settings(contract: Contract, actual: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Returns the settings to change, each with its actual and its new value."""
    wanted = {name: value for name, value in topic_settings(contract).items() if name != CLEANUP_POLICY}
    return {name: (actual[name], value) for name, value in wanted.items() if actual[name] != value}


def refuse_new(contract: Contract, topics: Collection[str]) -> None:
    """Raises a TerminalError if Kafka would refuse to create the topic beside the existing ones."""
    for topic in sorted(topics):
        if topic != contract.topic_name and topic.replace(".", "_") == contract.topic_name.replace(".", "_"):
            raise TerminalError(
                f"topic {contract.topic_name} cannot be created: Kafka has a topic {topic}, and uses both names for one"
                " metric",
                f"delete the topic {topic}, or rename the stream",
            )


def refuse_existing(contract: Contract, partitions: int, cleanup_policy: str, *, external: bool = False) -> None:
    """Raises a TerminalError if an existing topic cannot be used, and cannot be changed either.

    Any number of partitions can be used of an external Kafka, whose topics are not the contracts'.
    """
    topic = contract.topic_name
    if partitions > contract.topic.partitions and not external:
        raise TerminalError(
            f"topic {topic} has {partitions} partitions, but its contract has {contract.topic.partitions}",
            f"set topic.partitions to {partitions} in the contract; Kafka cannot remove partitions",
        )
    if "compact" in cleanup_policy.split(","):
        raise TerminalError(
            f"topic {topic} has {CLEANUP_POLICY}={cleanup_policy}: Kafka deletes records of a compacted topic"
            " that have a newer one with the same key, also before they reach the lake",
            f"set it to delete, with `kafka-configs.sh --alter --entity-type topics --entity-name {topic}"
            f" --add-config {CLEANUP_POLICY}=delete`, or send the events to another topic",
        )
