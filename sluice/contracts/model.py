"""The contract model: every ``contracts/*.yaml`` file is parsed into it."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

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
from sluice.contracts.paths import Path, objects_inside, parse_path
from sluice.contracts.patterns import check_pattern
from sluice.contracts.schedule import check_cron
from sluice.contracts.types import NUMERIC_TYPES, DataType, parse_type

RECORD = "record"
"""The ``event_time`` of a stream whose events happen at their records' timestamps."""
_STREAM = r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+$"
_COLUMN = r"^[a-z][a-z0-9_]*$"
_DURATION = re.compile(r"^(\d+)([mhd])$")
_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_TOPIC = r"^\.*[a-zA-Z0-9_-][a-zA-Z0-9._-]*$"
"""Of more than dots: Kafka refuses `.` and `..`."""
_POSTGRES_NAME_BYTES = 63
_TOPIC_LENGTH = 249
_OWNER_LENGTH = 200
"""Airflow's log holds 500 characters of an owner, its table of DAGs 2,000; what is longer would remove every load."""
_EVENT_ID = "event_id"
MAX_COLUMNS = 1_000
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


def _tuple_of_one(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _check_type(text: str) -> str:
    return str(parse_type(text))


def _check_path(text: str) -> str:
    parse_path(text)
    return _check_text(text)


def _check_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected a time zone such as Europe/Vienna or UTC") from None
    return zone


def is_storable(text: str) -> bool:
    """Returns whether Postgres can hold a text: a NUL and half of a surrogate pair have no place in it."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def _check_text(text: str) -> str:
    if not is_storable(text):
        raise ValueError("a NUL and half of a surrogate pair are no characters: Postgres holds neither")
    return text


_Text = Annotated[str, AfterValidator(_check_text)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy with some fields changed; what was derived from the fields is derived again."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(copy).model_fields.keys():
            del copy.__dict__[name]
        return copy


class Years(_Strict):
    """A range of years, both ends included."""

    first: Annotated[int, Field(ge=1, le=9999)]
    """The first valid year."""
    last: Annotated[int, Field(ge=1, le=9999)]
    """The last valid year."""

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
MAX_KEY_DIGITS = 38
"""Of a decimal: up to 28 bytes of the entry."""
_MAX_INDEX_COLUMNS = 8
"""With all of them decimals, beside a text of the largest length, the entry still fits."""


class Column(_Strict):
    """One value of an event's JSON and one column of the raw table."""

    name: Annotated[str, Field(pattern=_COLUMN, max_length=_POSTGRES_NAME_BYTES), AfterValidator(check_column)]
    """The column's name in the raw table: lower case, digits and underscores."""
    type: Annotated[str, AfterValidator(_check_type)]
    """``string``, ``boolean``, ``int32``, ``int64``, ``float64``, ``date``, ``time``, ``timestamp``, ``uuid`` or
    ``json``; ``decimal(p, s)`` with p digits, s of them after the point; or ``array(type)``."""
    sources: Annotated[
        tuple[Annotated[str, AfterValidator(_check_path)], ...] | None,
        Field(alias="from", min_length=1),
        BeforeValidator(_tuple_of_one),
    ] = None
    """Where the value is in the event; of several paths, the first that has a value. The column's name by default."""
    nullable: bool = True
    """Whether the value may be missing or null."""
    unit: _Text | None = None
    """Unit of a number, for documentation."""
    minimum: int | float | None = None
    """The smallest valid value, in the column's unit. Numeric columns only."""
    maximum: int | float | None = None
    """The largest valid value, in the column's unit. Numeric columns only."""
    min_length: Annotated[int | None, Field(ge=0)] = None
    """The smallest valid length, in characters. String columns only."""
    max_length: Annotated[int | None, Field(ge=1)] = None
    """The largest valid length, in characters. String columns only; those of the key or the id have 256 by default."""
    pattern: Annotated[str | None, AfterValidator(check_pattern)] = None
    """A regular expression of RE2, without backreference or lookaround, for the whole text. String columns only."""
    enum: Annotated[tuple[_Text, ...] | None, Field(min_length=1), BeforeValidator(_tuple)] = None
    """The valid values. String columns only."""
    format: Literal["rfc3339", "epoch_s", "epoch_ms", "epoch_us"] | None = None
    """How a timestamp is written: as a text (``rfc3339``, the default), or as a number since 1970-01-01, UTC."""
    zone: Annotated[str, AfterValidator(_check_zone)] | None = None
    """The time zone of a timestamp's texts that have none, and of dates, such as ``2013-01-31``, which are read as
    their midnight. Without it, such a text is invalid."""
    years: Years | None = None
    """The valid years, in UTC. Date and timestamp columns only; timestamps have 1900 to 2199 by default, dates any."""
    description: Annotated[str, Field(min_length=1), AfterValidator(_check_text)]
    """What the value means; every page and dbt's documentation show it."""

    @field_validator("minimum", "maximum")
    @classmethod
    def _check_bound(cls, bound: float | None, info: ValidationInfo) -> float | None:
        return bound if bound is None or "type" not in info.data else check_bound(parse_type(info.data["type"]), bound)

    @model_validator(mode="after")
    def _check_limits(self) -> "Column":
        for names, kinds in _LIMITS:
            for name in names:
                if getattr(self, name) is not None and self.data_type.kind not in kinds:
                    raise ValueError(f"{name} applies only to {', '.join(kinds)}, not to {self.type}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"expected minimum <= maximum, found {self.minimum} > {self.maximum}")
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"expected min_length <= max_length, found {self.min_length} > {self.max_length}")
        if self.zone is not None and self.is_epoch:
            raise ValueError(f"zone applies only to the format rfc3339, not to {self.format}")
        return self

    @cached_property
    def data_type(self) -> DataType:
        """The column's type."""
        return parse_type(self.type)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The steps of ``sources``."""
        return tuple(map(parse_path, self.sources)) if self.sources else ((self.name,),)

    @cached_property
    def is_epoch(self) -> bool:
        """Whether the events write this timestamp as a number."""
        return (self.format or "").startswith("epoch")

    @cached_property
    def allowed_years(self) -> Years:
        """The years of a valid date or timestamp, or of those in an array."""
        return self.years or DEFAULT_YEARS[(self.data_type.item or self.data_type).kind]


_LIMITS = (
    (("minimum", "maximum"), NUMERIC_TYPES),
    (("min_length", "max_length", "pattern", "enum"), ("string",)),
    (("format", "zone"), ("timestamp",)),
    (("years",), ("date", "timestamp")),
)
"""Fields of a column, and the types that may have them."""


class Topic(_Strict):
    """The stream's Kafka topic."""

    name: Annotated[str | None, Field(pattern=_TOPIC, max_length=_TOPIC_LENGTH)] = None
    """The topic's name, if it is not the stream's."""
    partitions: Annotated[int, Field(ge=1, le=1024)]
    """Partitions of the topic, 1 to 1,024. They can be raised later, never lowered."""
    retention_bytes: Annotated[int, Field(ge=1 << 20, lt=1 << 63)]
    """Bytes retained per partition. There is no time limit: replayed events are older than any sensible limit."""


class Load(_Strict):
    """When new rows in the lake are loaded into the warehouse."""

    schedule: Annotated[str, AfterValidator(check_cron)]
    """When the lake's new records are loaded: five cron fields, UTC."""
    overdue: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(minutes=10)
    """How long a load may be overdue before an alert is raised."""


class History(_Strict):
    """The event dates (UTC, both ends included) of a stream whose history has an end."""

    first: Annotated[date, Field(**_YEARS)]
    """The first event date."""
    last: Annotated[date, Field(**_YEARS)]
    """The last event date."""

    @model_validator(mode="after")
    def _check_order(self) -> "History":
        if self.first > self.last:
            raise ValueError(f"expected first <= last, found {self.first} > {self.last}")
        return self


class Contract(_Strict):
    """An event stream: its topic, columns and load schedule."""

    stream: Annotated[str, Field(pattern=_STREAM, max_length=50), AfterValidator(check_stream)]
    """The stream's name, in lower case with dots; also the name of the file and, by default, of the topic."""
    description: Annotated[str, Field(min_length=1), AfterValidator(_check_text)]
    """What an event of the stream means."""
    owner: Annotated[str, Field(min_length=1, max_length=_OWNER_LENGTH), AfterValidator(_check_text)]
    """Who answers for the stream; also the owner of its DAG."""
    topic: Topic
    """The Kafka topic."""
    key: str | None = None
    """The column used as the Kafka key. Events with the same key stay in order. Without it, records have no key, or one
    that is no column."""
    id: Annotated[tuple[str, ...] | None, Field(min_length=1), BeforeValidator(_tuple_of_one)] = None
    """The column or columns that identify an event: ``event_id`` by default, if there is such a column. Without an id,
    every record is an event of its own, and nothing is deduplicated."""
    keep: Literal["first", "last"] = "first"
    """Which of several events with the same id counts, in the order of partitions and offsets."""
    deletes: Literal["tombstone"] | None = None
    """``tombstone``: a record with a key and no value deletes the events of that key. Only with ``keep: last``."""
    event_time: str
    """The column with the time at which an event happened, or ``record`` for the Kafka record's timestamp."""
    format: Literal["json", "json-registry", "avro"] = "json"
    """How records' values are written: as JSON; or, with a schema id in Confluent's wire format, as JSON or Avro."""
    lateness: Annotated[timedelta, BeforeValidator(_duration)]
    """How long after the end of a date its events may still arrive."""
    load: Load
    """When the stream is loaded."""
    history: History | None = None
    """The event dates that the stream can have, to which backfills are limited. A stream without it has no end:
    backfills take any date of its event time, and ``reprocess`` reloads yesterday each night."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MAX_COLUMNS), BeforeValidator(_tuple)]
    """The values that are taken from an event, in the order of the raw table's columns."""

    @property
    def table(self) -> str:
        """The raw table's name, which is also the stream's name wherever dots are not allowed."""
        return table_name(self.stream)

    @property
    def dag_id(self) -> str:
        """The id of the DAG that loads this stream."""
        return f"load_{self.table}"

    @property
    def topic_name(self) -> str:
        """The name of the Kafka topic."""
        return self.topic.name or self.stream

    @cached_property
    def id_columns(self) -> tuple[str, ...]:
        """The columns that identify an event: ``event_id``, if the contract has it and says nothing else.

        Empty if nothing does: then each record is an event of its own.
        """
        if self.id is not None:
            return self.id
        return (_EVENT_ID,) if self.column(_EVENT_ID) else ()

    @property
    def happens_at_record(self) -> bool:
        """Whether the record's timestamp is the event time."""
        return self.event_time == RECORD

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields of an event's object that columns are taken from."""
        return frozenset(str(path[0]) for path in self._paths)

    @cached_property
    def inner_fields(self) -> dict[Path, frozenset[str | int]]:
        """The same of the objects inside, by their paths; empty if each column is a field of the event's object."""
        return objects_inside(self._paths)

    @cached_property
    def has_exact_numbers(self) -> bool:
        """Whether a column needs a number's text, because a float does not hold all its digits."""
        kinds = {(column.data_type.item or column.data_type).kind for column in self.columns}
        return not kinds.isdisjoint(("decimal", "json")) or any(column.is_epoch for column in self.columns)

    def column(self, name: str) -> Column | None:
        """Returns the column with that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @cached_property
    def max_lengths(self) -> dict[str, int | None]:
        """How many characters the strings of each column may have; None for any number.

        Keys have a default, because Postgres indexes them: a longer entry than an index holds fails every transform.
        """
        # The columns that staging models have in an index.
        keys = (*self.id_columns, self.key)
        texts = sum(column.type == "string" for column in self.columns if column.name in self.id_columns)
        default = min(DEFAULT_KEY_LENGTH, MAX_KEY_LENGTH // max(texts, 1))
        return {column.name: column.max_length or (default if column.name in keys else None) for column in self.columns}

    @property
    def _paths(self) -> list[Path]:
        return [path for column in self.columns for path in column.paths]

    @model_validator(mode="after")
    def _check_columns(self) -> "Contract":
        names = [column.name for column in self.columns]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InvalidFieldError("columns", index, "name", message=f"{name} is declared twice")
        for field, column_names in (("key", (self.key,) if self.key else ()), ("id", self.id_columns)):
            for name in column_names:
                column = self.column(name)
                if column is None or column.nullable or column.data_type.kind in ("array", "json"):
                    message = f"{name}: expected a column with nullable: false that is neither an array nor json"
                    raise InvalidFieldError(field, message=message)
        time = self.column(self.event_time)
        if not self.happens_at_record and (time is None or time.type != "timestamp" or time.nullable):
            message = f"expected {RECORD}, or the name of a timestamp column with nullable: false"
            if time is not None and time.type == "date":
                message += "; a timestamp with a zone reads dates, too"
            raise InvalidFieldError("event_time", message=message)
        # A key with several columns is none of them.
        if self.deletes and self.id_columns != (self.key,) and (self.key or len(self.id_columns) < 2):
            message = (
                "expected an id that is the key, or one of several columns and no key: a tombstone has only its key"
            )
            raise InvalidFieldError("deletes", message=message)
        if self.deletes and self.keep != "last":
            message = "expected keep: last as well: the first event of an id counts whatever comes after it"
            raise InvalidFieldError("deletes", message=message)
        self._check_key_lengths()
        return self

    def _check_key_lengths(self) -> None:
        """Checks that the entries of an index on the id or the key fit."""
        for names in (self.id_columns, (self.key,)):
            if len(names) > _MAX_INDEX_COLUMNS:
                raise InvalidFieldError("id", message=f"expected at most {_MAX_INDEX_COLUMNS} columns")
            for index, column in enumerate(self.columns):
                if column.name in names and column.data_type.precision > MAX_KEY_DIGITS:
                    message = f"{column.name} is a key: expected at most {MAX_KEY_DIGITS} digits"
                    raise InvalidFieldError("columns", index, "type", message=message)
            texts = [column for column in self.columns if column.name in names and column.type == "string"]
            if sum(self.max_lengths[column.name] or 0 for column in texts) > MAX_KEY_LENGTH:
                longest = max(texts, key=lambda column: self.max_lengths[column.name] or 0)
                message = f"{longest.name} is a key: expected at most {MAX_KEY_LENGTH} characters in all its columns"
                raise InvalidFieldError("columns", self.columns.index(longest), "max_length", message=message)
