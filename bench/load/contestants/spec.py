"""The parameters of a contestant, passed as environment variables, because some run in another Python environment."""

import os
from dataclasses import asdict, dataclass, fields

READING = "reading"
"""The line that a contestant prints at the end of its start-up, imports included."""


@dataclass(frozen=True)
class Spec:
    """The input and the target of a contestant."""

    folder: str
    """The folder with the files of JSON lines."""
    copy: str
    """The file with the prepared rows, in the format of binary COPY."""
    rows: str
    """The folder with the prepared rows, as Parquet files."""
    lake: str
    """The URI of the lake's Delta table."""
    storage: str
    """The options of delta-rs for the lake, as JSON."""
    state: str
    """An empty folder at the first start, for what the contestant has to know when it is run again."""
    dsn: str
    table: str
    """The raw table."""

    def variables(self) -> dict[str, str]:
        """Returns the parameters as environment variables."""
        return {f"BENCH_{name.upper()}": value for name, value in asdict(self).items()}

    @classmethod
    def read(cls) -> "Spec":
        """Returns the parameters from the environment variables."""
        return cls(**{field.name: os.environ[f"BENCH_{field.name.upper()}"] for field in fields(cls)})
