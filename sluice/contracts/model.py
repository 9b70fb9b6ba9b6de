"""The contract model: every ``contracts/*.yaml`` file is parsed into it."""

import re
from datetime import UTC, date, datetime, timedelta
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
from sluice.contracts.names import check_column, check_stream, table_name
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


class Years(_Strict):
    """A range of years, both ends included."""

    first: Annotated[int, Field(ge=1, le=9999)]
    last: Annotated[int, Field(ge=1, le=9999)]

    @property
    def first_moment(self) -> datetime:
        """The first microsecond of the range, UTC."""
        return datetime(self.first, 1, 1, tzinfo=UTC)

    @property
    def last_moment(self) -> datetime:
        """The last microsecond of the range, UTC."""
        return datetime(self.last, 12, 31, 23, 59, 59, 999_999, UTC)

    @model_validator(mode="after")
    def _check_order(self) -> "Years":
        if self.first > self.last:
            raise ValueError(f"expected first <= last, found {self.first} > {self.last}")
        return self


DEFAULT_YEARS = {"timestamp": Years(first=1900, last=2199), "date": Years(first=1, last=9999)}
"""Per type. A timestamp near the ends of the calendar has no date in some time zones, so queries on it fail."""
DEFAULT_KEY_LENGTH = 256
MAX_KEY_LENGTH = 600
"""Characters. A B-tree's entry holds 2,704 bytes, and a character takes up to four."""


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
    max_length: Annotated[int | None, Field(ge=1)] = None
    """The largest valid length, in characters. String columns only; see ``Contract.max_length`` for the default."""
    years: Years | None = None
    """The valid years, in UTC. Date and timestamp columns only; see ``DEFAULT_YEARS``."""
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
        if self.type != "string" and self.max_length is not None:
            raise ValueError(f"max_length applies only to string, not to {self.type}")
        if self.type not in DEFAULT_YEARS and self.years is not None:
            raise ValueError(f"years applies only to {', '.join(DEFAULT_YEARS)}, not to {self.type}")
        return self

    @property
    def allowed_years(self) -> Years:
        """The years of a valid date or timestamp."""
        return self.years or DEFAULT_YEARS[self.type]


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
        return table_name(self.stream)

    @property
    def dag_id(self) -> str:
        """The id of the DAG that loads this stream."""
        return f"load_{self.table}"

    def column(self, name: str) -> Column | None:
        """Returns the column with that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def max_length(self, column: Column) -> int | None:
        """Returns how many characters a string may have; None for any number.

        Keys have a default, because Postgres indexes them: a longer entry than an index holds fails every transform.
        """
        return column.max_length or (DEFAULT_KEY_LENGTH if self._is_key(column) else None)

    def _is_key(self, column: Column) -> bool:
        return column.name in ("event_id", self.key)

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
        for index, column in enumerate(self.columns):
            if self._is_key(column) and (column.max_length or 0) > MAX_KEY_LENGTH:
                message = f"{column.name} is a key: expected at most {MAX_KEY_LENGTH}"
                raise InvalidFieldError("columns", index, "max_length", message=message)
        return self
