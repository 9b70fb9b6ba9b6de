"""What a contract holds: the model that every ``contracts/*.yaml`` is parsed into."""

import re
from collections import Counter
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ColumnType = Literal["string", "boolean", "int32", "int64", "float64", "date", "timestamp"]
NUMERIC_TYPES = ("int32", "int64", "float64")

_STREAM = r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+$"
_COLUMN = r"^[a-z][a-z0-9_]*$"
_DURATION = re.compile(r"^(\d+)([mhd])$")
_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_CRON_FIELD = re.compile(r"^(\*|\d+(-\d+)?(,\d+(-\d+)?)*)(/\d+)?$")
_POSTGRES_NAME_BYTES = 63


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a number and a unit, as 30m, 48h or 7d")
    return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) != 5 or not all(_CRON_FIELD.match(field) for field in fields):
        raise ValueError('expected five cron fields, as "*/2 * * * *"')
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(_Strict):
    """One field of an event's JSON and one column of the raw table."""

    name: Annotated[str, Field(pattern=_COLUMN, max_length=_POSTGRES_NAME_BYTES)]
    type: ColumnType
    nullable: bool = True
    unit: str | None = None
    minimum: float | None = None
    """Smallest value that is right, in the column's unit; only for numbers."""
    maximum: float | None = None
    description: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _limits(self) -> "Column":
        if self.type not in NUMERIC_TYPES and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum go with {', '.join(NUMERIC_TYPES)}, not with {self.type}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"expected minimum <= maximum, found {self.minimum:g} > {self.maximum:g}")
        return self


class Topic(_Strict):
    """The Kafka topic; its name is the stream's."""

    partitions: Annotated[int, Field(ge=1, le=1024)]
    retention_bytes: Annotated[int, Field(ge=1 << 20)]
    """Bytes kept per partition. There is no limit by time: events are older than any."""


class Load(_Strict):
    """When the lake's new rows go to the warehouse."""

    schedule: Annotated[str, AfterValidator(_cron)]
    overdue: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(minutes=10)
    """How long after it was due a load may take, before that is an alert."""


class Contract(_Strict):
    """One event stream."""

    stream: Annotated[str, Field(pattern=_STREAM, max_length=50)]
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    topic: Topic
    key: str
    """The column whose value is the Kafka key: events of one key keep their order."""
    event_time: str
    """The timestamp column that is also the Kafka record's timestamp."""
    lateness: Annotated[timedelta, BeforeValidator(_duration)]
    """How long after a date's end its events are expected to come in."""
    load: Load
    columns: Annotated[tuple[Column, ...], Field(min_length=1), BeforeValidator(lambda v: tuple(v))]

    @property
    def table(self) -> str:
        """The name of the raw table, and of the stream wherever dots cannot stand."""
        return self.stream.replace(".", "_")

    @property
    def dag_id(self) -> str:
        """The DAG that loads this stream."""
        return f"load_{self.table}"

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    @model_validator(mode="after")
    def _columns_fit(self) -> "Contract":
        twice = [name for name, times in Counter(column.name for column in self.columns).items() if times > 1]
        if twice:
            raise ValueError(f"columns: {twice[0]} is declared twice")
        for field, wanted in (("key", "string"), ("event_time", "timestamp")):
            column = self.column(getattr(self, field))
            if column is None or column.type != wanted or column.nullable:
                raise ValueError(f"{field}: expected the name of a {wanted} column with nullable: false")
        event_id = self.column("event_id")
        if event_id is None or event_id.type != "string" or event_id.nullable:
            raise ValueError("columns: expected a string column event_id with nullable: false")
        return self
