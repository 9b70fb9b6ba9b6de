"""What a contestant is told: through the environment, since one of them runs in another Python environment."""

import os
from dataclasses import asdict, dataclass, fields

READING = "reading"
"""What a contestant prints when its start-up, imports and all, is over."""


@dataclass(frozen=True)
class Spec:
    """Where the events are and where they go."""

    folder: str
    """Of files of JSON lines."""
    copy: str
    """The ready rows, as Postgres copies them in binary."""
    dsn: str
    table: str
    """The raw table."""

    def variables(self) -> dict[str, str]:
        """As environment variables."""
        return {f"BENCH_{name.upper()}": value for name, value in asdict(self).items()}

    @classmethod
    def read(cls) -> "Spec":
        """From the environment."""
        return cls(**{each.name: os.environ[f"BENCH_{each.name.upper()}"] for each in fields(cls)})
