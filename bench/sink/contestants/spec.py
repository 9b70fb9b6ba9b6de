"""The parameters of a contestant, as JSON in an environment variable. Standard library only, for any environment."""

import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "BENCH_SPEC"
READING = "contestant reads"
"""The line that a contestant prints when it has its first records, which end its start-up."""


@dataclass(frozen=True)
class Spec:
    """The source, the target, and the number of events after which the contestant exits."""

    kafka: str
    topic: str
    group: str
    events: int
    minio: str
    bucket: str
    prefix: str
    user: str
    password: str
    state: str
    """A folder for what it keeps between its runs."""
    port: int
    """A free port, for a contestant that needs one."""

    def variables(self) -> dict[str, str]:
        """Returns the parameters as environment variables."""
        return {VARIABLE: json.dumps(asdict(self))}


def read_spec() -> Spec:
    """Returns the parameters that this process was started with."""
    return Spec(**json.loads(os.environ[VARIABLE]))


def reading() -> None:
    """Reports the end of the start-up: the first records have arrived."""
    print(READING, flush=True)
