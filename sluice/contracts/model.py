"""The contract model: every ``contracts/*.yaml`` file is parsed into it."""

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sluice.contracts.bounds import check_bound
from sluice.contracts.names import check_column, check_stream
from sluice.contracts.schedule import check_cron

ColumnType = Literal["string", "boolean", "int32", "int64", "float64", "date", "timestamp"]
NUMERIC_TYPES = ("int32", "int64", "float64")

_STREAM = r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+$"
_COLUMN = r"^[a-z][a-z0-9_]*$"
_DURATION = re.compile(r"^(\d+)([mhd])$")
_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_POSTGRES_NAME_BYTES = 63
_MAX_COLUMNS = 1_000
"""Postgres allows 1,600, besides the metadata columns, and counts dropped ones."""
_MAX_DURATION = timedelta(days=36_500)
_YEARS = {"ge": date(1900, 1, 1), "le": date(2199, 12, 31)}


class InvalidFieldError(ValueError):
    """An error of the whole contract that has its place at one of its fields."""

    def __init__(self, *location: str | int, message: str) -> None:
        super().__init__(message)
        self.location = location


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a number and a unit, such as 30m, 48h or 7d")
    try:
        duration = timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        duration = timedelta.max
    if duration > _MAX_DURATION:
        raise ValueError(f"expected at most {_MAX_DURATION.days}d, found {value[:40]}")
    return duration


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(_Strict):
    """One field of an event's JSON and one column of the raw table."""

    name: Annotated[str, Field(pattern=_COLUMN, max_length=_POSTGRES_NAME_BYTES), AfterValidator(check_column)]
    type: ColumnType
    nullable: bool = True
    unit: str | None = None
    minimum: int | float | None = None
    """The smallest valid value, in the column's unit. Numeric columns only."""
    maximum: int | float | None = None
    """The largest valid value, in the column's unit. Numeric columns only."""
    description: Annotated[str, Field(min_length=1)]

    @field_validator("minimum", "maximum")
    @classmethod
    def _check_bound(cls, bound: float | None, info: ValidationInfo) -> float | None:
        return bound if bound is None or "type" not in info.data else check_bound(info.data["type"], bound)

    @model_validator(mode="after")
    def _check_bounds(self) -> "Column":
        if self.type not in NUMERIC_TYPES and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum apply only to {', '.join(NUMERIC_TYPES)}, not to {self.type}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"expected minimum <= maximum, found {self.minimum:g} > {self.maximum:g}")
        return self


class Topic(_Strict):
    """The stream's Kafka topic. The topic has the stream's name."""

    partitions: Annotated[int, Field(ge=1, le=1024)]
    retention_bytes: Annotated[int, Field(ge=1 << 20, lt=1 << 63)]
    """Bytes retained per partition. There is no time limit: replayed events are older than any sensible limit."""


class Load(_Strict):
    """When new rows in the lake are loaded into the warehouse."""

    schedule: Annotated[str, AfterValidator(check_cron)]
    overdue: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(minutes=10)
    """How long a load may be overdue before an alert is raised."""


class History(_Strict):
    """The event dates (UTC, both ends included) of a stream whose history has an end."""

    first: Annotated[date, Field(**_YEARS)]
    last: Annotated[date, Field(**_YEARS)]

    @model_validator(mode="after")
    def _check_order(self) -> "History":
        if self.first > self.last:
            raise ValueError(f"expected first <= last, found {self.first} > {self.last}")
        return self


class Contract(_Strict):
    """An event stream: its topic, columns and load schedule."""

    stream: Annotated[str, Field(pattern=_STREAM, max_length=50), AfterValidator(check_stream)]
    description: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    topic: Topic
    key: str
    """The column used as the Kafka key. Events with the same key stay in order."""
    event_time: str
    """The timestamp column, which is also the Kafka record's timestamp."""
    lateness: Annotated[timedelta, BeforeValidator(_duration)]
    """How long after the end of a date its events may still arrive."""
    load: Load
    history: History | None = None
    """Limits backfills to dates that the stream can have; None for a stream without an end."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=_MAX_COLUMNS), BeforeValidator(_tuple)]

    @property
    def table(self) -> str:
        """The raw table's name, which is also the stream's name wherever dots are not allowed."""
        return self.stream.replace(".", "_")

    @property
    def dag_id(self) -> str:
        """The id of the DAG that loads this stream."""
        return f"load_{self.table}"

    def column(self, name: str) -> Column | None:
        """Returns the column with that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @model_validator(mode="after")
    def _check_columns(self) -> "Contract":
        names = [column.name for column in self.columns]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InvalidFieldError("columns", index, "name", message=f"{name} is declared twice")
        for field, required_type in (("key", "string"), ("event_time", "timestamp")):
            column = self.column(getattr(self, field))
            if column is None or column.type != required_type or column.nullable:
                message = f"expected the name of a {required_type} column with nullable: false"
                raise InvalidFieldError(field, message=message)
        event_id = self.column("event_id")
        if event_id is None or event_id.type != "string" or event_id.nullable:
            raise InvalidFieldError("columns", message="expected a string column event_id with nullable: false")
        return self
