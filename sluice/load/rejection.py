"""Containment: a record that Postgres does not store costs itself. It is found by bisection and goes to quarantine."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TypeVar

import psycopg
import pyarrow as pa

from sluice.errors import TerminalError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RecordId = tuple[str, int, int]
"""Topic id, partition and offset."""
NONE_REJECTED: Mapping[RecordId, str] = MappingProxyType({})

_OF_A_ROW = ("22", "23", "54")
"""SQLSTATE classes that a row's content can cause: data, integrity constraints, limits (an index entry's size)."""


class RejectedRecordsError(Exception):
    """Postgres does not store some records of a batch; ``reasons`` has the reason for each. Nothing was committed."""

    def __init__(self, reasons: Mapping[RecordId, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__(f"{len(reasons)} records are rejected")

    def added_to(self, known: Mapping[RecordId, str]) -> dict[RecordId, str]:
        """Returns these reasons and those of earlier attempts.

        Raises:
            TerminalError: a record is rejected again, although an earlier attempt has sent it to quarantine.
        """
        for topic_id, partition, offset in self.reasons.keys() & known.keys():
            raise TerminalError(
                f"{topic_id}/{partition}: offset {offset} cannot be stored, not even in quarantine:"
                f" {known[topic_id, partition, offset]}",
                "see the task's log for Postgres' message",
            )
        return {**known, **self.reasons}


def until_none_rejected(attempt: Callable[[Mapping[RecordId, str]], Result]) -> Result:
    """Attempts a transaction again, with the records that Postgres has rejected so far, until it rejects no others.

    Raises:
        TerminalError: as ``RejectedRecordsError.added_to``.
    """
    rejected = NONE_REJECTED
    while True:
        try:
            return attempt(rejected)
        except RejectedRecordsError as error:
            rejected = error.added_to(rejected)


def copy_contained(
    rows: pa.Table, copy: Callable[[pa.Table], None], savepoint: Callable[[], AbstractContextManager[object]]
) -> dict[int, str]:
    """Copies rows, and returns the reason for each row that Postgres rejects, by its position.

    Args:
        rows: the rows.
        copy: copies some of the rows.
        savepoint: opens a savepoint, which is rolled back if its block fails.

    Raises:
        psycopg.Error: the cause of a failure is not the content of a row.
    """
    rejected: dict[int, str] = {}
    pending = [(0, rows.num_rows)]
    while pending:
        start, stop = pending.pop()
        try:
            with savepoint():
                copy(rows.slice(start, stop - start))
        except (psycopg.Error, pa.ArrowException, ArithmeticError, ValueError) as error:
            if isinstance(error, psycopg.Error) and not _is_of_a_row(error, rows.column_names):
                raise
            if stop - start > 1:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
                continue
            rejected[start] = f"rejected by Postgres: {type(error).__name__}"
            log.warning("a record is rejected: position=%d error=%s", start, " ".join(str(error).split()))
    return rejected


def _is_of_a_row(error: psycopg.Error, columns: list[str]) -> bool:
    """Returns whether a row's content can be the cause. A column that the rows do not have fails all of them alike."""
    column = error.diag.column_name
    return (error.sqlstate or "").startswith(_OF_A_ROW) and (column is None or column in columns)
