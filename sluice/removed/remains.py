"""What streams without a contract leave behind in Kafka, the lake and the warehouse."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sluice.contracts import Contract, Contracts, invalid_contracts, topic_names
from sluice.contracts.names import table_name
from sluice.errors import SluiceError
from sluice.kafka.deletion import TopicUse, topic_use
from sluice.kafka.groups import SINK_GROUPS
from sluice.lake.deletion import TableSize, table_size
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.streams import StreamSize, known_streams, stream_size, views_of


@dataclass(frozen=True)
class Remains:
    """What one stream leaves behind."""

    stream: str
    topic: str
    topic_use: TopicUse | None
    """None if there is no topic."""
    lake: TableSize
    warehouse: StreamSize
    views: tuple[str, ...] = ()
    """Views that read the raw table."""
    topic_stream: str | None = None
    """Another stream, whose contract has the topic: it stays then."""
    external: bool = False
    """Whether the topic is one of an external Kafka: it stays then."""

    @property
    def deletes_topic(self) -> bool:
        """Whether dropping the stream deletes its topic."""
        return self.topic_use is not None and self.topic_stream is None and not self.external

    @property
    def readers(self) -> tuple[str, ...]:
        """The consumer groups that read the topic for this stream, or that its deletion would disturb."""
        if self.topic_use is None or self.topic_stream is not None:
            return ()
        groups = self.topic_use.readers
        return tuple(group for group in groups if group.startswith(SINK_GROUPS)) if self.external else groups

    def parts(self) -> Iterator[str]:
        """Yields a description of each part that dropping the stream deletes, with its size or count."""
        if self.topic_use and self.deletes_topic:
            yield (
                f"topic {self.topic} ({_count(self.topic_use.partitions, 'partition')},"
                f" {_count(self.topic_use.records, 'record')})"
            )
            if self.topic_use.groups:
                yield f"its offsets in the consumer groups {', '.join(self.topic_use.groups)}"
        if self.lake.objects:
            yield f"lake table {self.stream} ({_count(self.lake.objects, 'object')}, {_size(self.lake.size)})"
        if self.warehouse.rows is not None:
            yield (
                f"raw.{table_name(self.stream)} ({_count(self.warehouse.rows, 'row')},"
                f" {_size(self.warehouse.table_size)})"
            )
        if self.warehouse.quarantined:
            yield f"{_count(self.warehouse.quarantined, 'record')} in quarantine"
        if self.warehouse.dates:
            yield f"statistics of {_count(self.warehouse.dates, 'date')}"

    def text(self) -> str:
        """Returns what is left and what can be done about it, in one line."""
        return (
            f"removed contract: {self.stream} is no longer loaded; it leaves"
            f" {'; '.join(self.parts()) or 'an entry in the list of streams'}."
            f" `make drop-stream NAME={self.stream}` deletes all of it; a contract of that name takes it up again"
        )


def removed_streams(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, str]:
    """Returns the topic of each stream that was provisioned and has no contract any more, by stream.

    A contract that is not valid is not a removed one.

    Args:
        settings: with the reader's password.
        contracts: all contracts of the folder.

    Raises:
        TransientError: Postgres is down.
    """
    kept = {*contracts, *(file.stream for file in invalid_contracts(contracts))}
    with connect(settings, "reader") as warehouse:
        return {stream: topic for stream, topic in known_streams(warehouse).items() if stream not in kept}


def all_remains(settings: Settings, contracts: Mapping[str, Contract]) -> list[Remains]:
    """Returns what every stream without a contract leaves behind.

    Raises:
        TransientError, TerminalError: a server is down or rejects a request.
    """
    return [remains(settings, contracts, *removed) for removed in removed_streams(settings, contracts).items()]


def removed_contracts(settings: Settings, contracts: Mapping[str, Contract]) -> list[str]:
    """Returns a line for each stream without a contract; none while a server that knows what it leaves is down."""
    try:
        return [found.text() for found in all_remains(settings, contracts)]
    except SluiceError:
        # `make status` shows which server it is.
        return []


def remains(settings: Settings, contracts: Mapping[str, Contract], stream: str, topic: str) -> Remains:
    """Returns what a stream leaves behind.

    Args:
        settings: with the passwords of the reader and of the lake's reader.
        contracts: all contracts of the folder.
        stream: the stream.
        topic: its topic.

    Raises:
        TransientError, TerminalError: a server is down or rejects a request.
    """
    with connect(settings, "reader") as warehouse:
        size, views = stream_size(warehouse, stream), tuple(views_of(warehouse, stream))
    topics = contracts.known_topics() if isinstance(contracts, Contracts) else topic_names(contracts)
    other = next((other for other, name in topics.items() if name == topic), None)
    use, lake = topic_use(settings, topic), table_size(settings, stream)
    return Remains(stream, topic, use, lake, size, views, other, external=bool(settings.kafka_bootstrap))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 1 << 20 else f"{size / 2**10:,.0f} KiB"
