"""When the sink commits, and how it handles failures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FlushPolicy:
    """When a stream's buffers are committed, and how failures are handled."""

    age: float = 10.0
    """The longest time in seconds that a record waits, even if no other record follows."""
    batch_bytes: int = 48 << 20
    """Bytes of one stream that trigger a commit. Writing a batch takes about six times its size in memory."""
    budget_bytes: int = 52 << 20
    """Bytes buffered across all streams, beyond which consumption pauses until a commit succeeds. Little more than one
    batch, so that the backlog of a store outage is written in as little memory as any other batch."""
    dates: int = 4_000
    """Event dates per commit, each of which is a file. Beyond it, a batch takes several commits."""
    stall: float = 60.0
    """Seconds without a commit, while there are events to commit, after which the sink is unhealthy."""
    hang: float = 300.0
    """Seconds in one call to Kafka or the store after which the loop hangs. A request to a store that does not answer
    takes up to 210, with all its retries."""
    retry: float = 0.5
    """Seconds before a failed commit is retried; doubles with each failure, up to 15."""
    recheck: float = 10.0
    """Seconds between two checks whether an operator has resolved what halts a partition."""


DEFAULT = FlushPolicy()
