"""What a contestant is told, as JSON in one environment variable; only the standard library, for every environment."""

import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "BENCH_SPEC"
READING = "contestant reads"
"""The line that a contestant prints when it has its first records: what it used until then is its start-up."""


@dataclass(frozen=True)
class Spec:
    """Where to read and to write, and how many events, after which the contestant ends by itself."""

    kafka: str
    topic: str
    group: str
    events: int
    minio: str
    bucket: str
    prefix: str
    user: str
    password: str

    def variables(self) -> dict[str, str]:
        """As environment variables."""
        return {VARIABLE: json.dumps(asdict(self))}


def read_spec() -> Spec:
    """The spec that this process was started with."""
    return Spec(**json.loads(os.environ[VARIABLE]))


def reading() -> None:
    """Says that the first records are there."""
    print(READING, flush=True)
