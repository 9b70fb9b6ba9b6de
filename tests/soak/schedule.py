"""The nemesis's schedule: which fault hits what, when and for how long, from a seed alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

KILL, STOP, STORE, BROKER, JOIN, DISK = "kill", "stop", "store", "broker", "join", "disk"
SUPERVISOR, PRODUCER, BACKEND, TASK, DBT = "supervisor", "producer", "postgres backend", "task", "dbt"
SERVICES = (
    *("kafka", "postgres", "minio", "sink", "live", "dashboard"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-cleaner"),
)
PROCESSES = (*SERVICES, SUPERVISOR, PRODUCER, BACKEND, TASK, DBT)
"""Every process of a platform, its short-lived ones included."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it can hit, and for how many seconds."""

    name: str
    targets: tuple[str, ...]
    seconds: tuple[int, int]


KINDS = (
    # How long a supervisor is down; whatever else is killed is started again at once.
    Kind(KILL, PROCESSES, (2, 8)),
    # Past and within the ten seconds after which Kafka takes a member for dead.
    Kind(STOP, PROCESSES, (3, 30)),
    Kind(STORE, ("slow", "refused", "reset", "busy"), (5, 30)),
    Kind(BROKER, ("requests lost", "responses lost"), (5, 30)),
    Kind(JOIN, ("terminated", "killed"), (10, 30)),
    Kind(DISK, ("full",), (60, 60)),
)
PAUSE = (10, 36)
"""Seconds from the start of a fault to that of the next."""
QUIET = 20
"""Seconds without a fault at the start, in which everything has begun."""


@dataclass(frozen=True)
class Fault:
    """A fault of a schedule.

    Attributes:
        moment: its start, in seconds after the start of the soak.
        kind, target: what happens to what.
        seconds: how long it lasts.
        choice: from 0 to 1, which one is hit where there are several.
    """

    moment: float
    kind: str
    target: str
    seconds: float
    choice: float

    def __str__(self) -> str:
        """Returns what happens, in words."""
        return f"{self.kind} {self.target}"


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Returns the faults of a soak, in the order of their starts; each ends before the soak does.

    Every kind comes once before any comes twice, and every target before any comes twice but those.

    Args:
        seed: the same one gives the same faults; of a longer soak, the first ones are the same.
        seconds: the length of the soak.
    """
    random = Random(seed)
    faults: list[Fault] = []
    moment = float(QUIET)
    for kind, target in _targets(random):
        length, choice, pause = random.randint(*kind.seconds), random.random(), random.randint(*PAUSE)
        if moment >= seconds:
            return faults
        if moment + length <= seconds:
            faults.append(Fault(moment, kind.name, target, length, choice))
        moment += pause
    raise AssertionError("the targets never end")


def _targets(random: Random) -> Iterator[tuple[Kind, str]]:
    """Yields one target of each kind, then all targets of all kinds in another order each time."""
    yield from random.sample([(kind, random.choice(kind.targets)) for kind in KINDS], len(KINDS))
    pairs = [(kind, target) for kind in KINDS for target in kind.targets]
    while True:
        yield from random.sample(pairs, len(pairs))
