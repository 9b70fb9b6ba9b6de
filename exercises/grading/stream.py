"""A stream that exists only during a check: its own topic, sinks, lake and warehouse, all removed at the end.

It is a stream like any other, processed by the platform's own code, and the platform does not notice it. Its topic is
``check.<token>``. Its table is in a bucket of its own, so that its sinks are a consumer group of their own. Its raw
table is in a database of its own, under the name that its contract gives it.
"""

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.databases import drop_database
from exercises.grading.groups import delete_group
from exercises.grading.scratch import environment, scratch_bucket, scratch_settings, write_contract
from exercises.grading.sinks import Sink
from exercises.grading.topic import Record, Sender
from sluice.contracts.loader import read_contract
from sluice.errors import TerminalError, TransientError
from sluice.kafka import topics
from sluice.kafka.deletion import delete_topic
from sluice.kafka.groups import sink_group
from sluice.lake.errors import NoTableError
from sluice.lake.identity import ensure_lake_id
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.load.run import load
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.settings import LOOPBACK, Settings
from sluice.sink.arrival import wait_for_lake
from sluice.warehouse import schema
from sluice.warehouse.connect import connect
from sluice.warehouse.values import load_odd_times_as_text

# What a load logs is for operators. Without any handler, Python would print its warnings.
logging.getLogger("sluice.load").addHandler(logging.NullHandler())

_LAKE_SECONDS = 60.0
_POLL_SECONDS = 0.2
_SINK_SECRETS = ("lake_writer_password", "kafka_password")


@dataclass(frozen=True)
class Quarantined:
    """A record in quarantine."""

    partition: int
    offset: int
    reason: str
    value: bytes | None


class ScratchStream:
    """The stream of one check. ``scratch_stream`` creates and removes it."""

    def __init__(self, settings: Settings) -> None:
        """Describes a stream that exists.

        Args:
            settings: of its own bucket, warehouse and folder of contracts, which has its only contract.
        """
        self.settings = settings
        (self._path,) = settings.contracts.glob("*.yaml")
        self.contract = read_contract(self._path)
        self._sender = Sender(settings, self.topic)
        self.sinks: list[Sink] = []
        """All that were started, also those that have ended."""

    @property
    def name(self) -> str:
        """The stream's name."""
        return self.contract.stream

    @property
    def topic(self) -> str:
        """The name of its topic."""
        return self.contract.topic_name

    @property
    def partitions(self) -> int:
        """The number of partitions of its topic."""
        return self.contract.topic.partitions

    @property
    def table_uri(self) -> str:
        """The URI of its Delta table in the lake."""
        return table_uri(self.settings, self.name)

    @property
    def storage_options(self) -> dict[str, str]:
        """The options with which delta-rs reads the table."""
        return storage_options(self.settings, "reader")

    def send(self, records: Iterable[Record]) -> list[int]:
        """Sends records and waits until Kafka has them; returns their offsets.

        Raises:
            TransientError: Kafka is down.
        """
        return self._sender.send(records)

    def start_sink(self) -> Sink:
        """Starts a sink process. Several of them share the partitions."""
        sink = Sink(self._environment(), self.settings.contracts.parent / f"sink{len(self.sinks)}.log")
        self.sinks.append(sink)
        return sink

    def land(self) -> None:
        """Waits until everything in Kafka is in the lake; starts a sink if none runs.

        Raises:
            TransientError: the records did not arrive in time, or the sink has ended.
        """
        running = [sink for sink in self.sinks if sink.is_running] or [self.start_sink()]

        def pause() -> None:
            time.sleep(_POLL_SECONDS)
            if not any(sink.is_running for sink in running):
                raise TransientError(f"the sink of topic {self.topic} has ended: {running[0].last_line()}", "try again")

        wait_for_lake(self.settings, {self.name: self.topic}, _LAKE_SECONDS, pause)

    def lag(self) -> dict[int, int]:
        """Returns, per partition, how many offsets Kafka has that are not in the lake yet."""
        table = LakeTable(self.table_uri, self.storage_options)
        lag = {}
        for kafka_range in topics.kafka_ranges(self.settings, {self.name: self.topic}):
            try:
                next_offset = table.next_offset(kafka_range.topic_id, kafka_range.partition)
            except NoTableError:
                next_offset = 0
            lag[kafka_range.partition] = kafka_range.end - next_offset
        return lag

    def load(self) -> None:
        """Loads what is in the lake, as ``make load`` does."""
        load(self.settings, self.contract)

    def ingest(self, records: Iterable[Record]) -> list[int]:
        """Sends records, waits until they are in the lake, and loads them; returns their offsets."""
        offsets = self.send(records)
        self.land()
        self.load()
        return offsets

    def apply(self, contract: Path) -> None:
        """Changes the stream to another contract, as ``make up`` does.

        Raises:
            TerminalError: the contract is not valid, or cannot be applied to the raw table; the message says why.
        """
        write_contract(contract, self._path.parent, self.topic, self.partitions)
        self.contract = read_contract(self._path)
        schema.provision(self.settings, {self.name: self.contract})

    def replay(self) -> None:
        """Replays the quarantine, as ``make quarantine A=replay`` does."""
        for _ in replay(self.settings, {self.name: self.contract}, Selection(self.name), "check"):
            pass

    def rows(self) -> list[dict[str, Any]]:
        """Returns the rows of the raw table, in the order of partitions and offsets, each by the names of columns."""
        table = sql.Identifier("raw", self.contract.table)
        query = sql.SQL("select * from {} order by _partition, _offset").format(table)
        with connect(self.settings, "reader") as warehouse, warehouse.cursor(row_factory=dict_row) as cursor:
            load_odd_times_as_text(cursor)
            return cursor.execute(query).fetchall()

    def quarantine(self) -> list[Quarantined]:
        """Returns the records in quarantine, in the order of partitions and offsets."""
        query = 'select partition, "offset", reason, value from raw.quarantine order by 1, 2'
        with connect(self.settings, "reader") as warehouse:
            return [Quarantined(*row) for row in warehouse.execute(query)]  # type: ignore[arg-type]

    def close(self) -> None:
        """Kills the sinks that still run, and deletes their consumer group."""
        self._sender.close()
        for sink in self.sinks:
            sink.kill()
        delete_group(self.settings, sink_group(self.settings.lake_bucket, ensure_lake_id(self.settings)))

    def _environment(self) -> dict[str, str]:
        return {**environment(self.settings, _SINK_SECRETS), "SLUICE_SINK_HOST": LOOPBACK}


@contextmanager
def scratch_stream(
    settings: Settings, contract: Path, partitions: int = 2, sink_age_seconds: float = 0.5
) -> Iterator[ScratchStream]:
    """Yields a stream with a topic, a bucket and a database of its own, which are removed at the end.

    Args:
        settings: of the platform, with all its secrets.
        contract: a contract; the name of its topic and the number of partitions are replaced.
        partitions: of the topic.
        sink_age_seconds: the longest time a record waits before a sink commits it to the lake.

    Raises:
        TerminalError: the contract is not valid, or the platform uses an external store, in which a check makes none.
        TransientError: a server is down.
    """
    if settings.s3_endpoint:
        raise TerminalError("this exercise needs the platform's own MinIO", "unset SLUICE_S3_ENDPOINT")
    token = token_hex(6)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-check-")))
        contracts = folder / "contracts"
        contracts.mkdir()
        write_contract(contract, contracts, f"check.{token}", partitions)
        keys = stack.enter_context(scratch_bucket(settings, token))
        own = scratch_settings(settings, token, contracts, sink_age_seconds, keys)
        stream = ScratchStream(own)
        stack.callback(drop_database, settings, own.warehouse)
        schema.provision(own, {stream.name: stream.contract})
        stack.callback(delete_topic, settings, stream.topic)
        topics.provision(own, {stream.name: stream.contract})
        # Before anything that a sink uses is removed.
        stack.callback(stream.close)
        yield stream


def learners_contract(attempt: Attempt, name: str) -> Path:
    """Returns the path of a contract that a learner has written, once it is valid.

    Raises:
        WrongAnswer: it is missing or not valid; the message names the line, the key and the expected value.
    """
    attempt.read(name)
    path = attempt.folder / name
    try:
        read_contract(path)
    except TerminalError as error:
        raise WrongAnswer(error.message.replace(f"{attempt.folder}/", ""), error.hint) from None
    return path
