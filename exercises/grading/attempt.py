"""A learner's attempt at one exercise, and the warehouse of unseen data that it is graded on."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
import yaml
from psycopg import sql

from exercises.grading.databases import drop_database
from sluice.errors import SluiceError, TerminalError
from sluice.settings import Settings
from sluice.warehouse.connect import connect, role_name

Connection = psycopg.Connection[tuple[object, ...]]

_TIMEOUT = "30s"
"""How long a learner's query may run."""
_DIGITS = 6
"""Decimal digits in which numbers are compared: a mean may be a float or a numeric."""
_UNSEEN, _OWN = "on data that you have not seen", "on your own data already"
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


class WrongAnswer(SluiceError):  # noqa: N818 - it is the result of a check, not a failure of the program
    """The answer is not correct yet. The message says what is wrong first, and never the solution."""


@dataclass(frozen=True)
class Attempt:
    """A learner's files for one exercise."""

    settings: Settings
    folder: Path
    """The learner's files."""
    reference: Path
    """The files of the solution."""
    tell: Callable[[str], None] = lambda _: None
    """Is told what a long check does now."""

    @property
    def learn(self) -> str:
        """The command that brings missing files back, for hints."""
        number = self.reference.parent.name.partition("-")[0].lstrip("0")
        return f"`make learn N={number}`"

    def read(self, name: str) -> str:
        """Returns the text of one of the learner's files.

        Raises:
            WrongAnswer: the file is missing or not text.
        """
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise WrongAnswer(f"{name} is missing", f"{self.learn} brings the template back") from None
        except (OSError, UnicodeDecodeError) as error:
            raise WrongAnswer(f"{name} cannot be read: {error}", "save it as UTF-8 text") from error

    def query(self, name: str) -> str:
        """Returns the text of a query or model.

        Raises:
            WrongAnswer: the file is missing, or has nothing but comments.
        """
        query = self.read(name)
        if not _COMMENT.sub("", query).strip(" \n\t;"):
            raise WrongAnswer(f"{name} has no query yet", "write one, and save the file")
        return query

    def program(self, name: str) -> str:
        """Returns the text of a Python program.

        Raises:
            WrongAnswer: the file is missing, or Python cannot read it.
        """
        text = self.read(name)
        try:
            compile(text, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            place = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
            reason = error.msg if isinstance(error, SyntaxError) else error
            raise WrongAnswer(f"{name} is not Python: {reason}{place}", "correct the line, and save the file") from None
        return text

    def properties(self, name: str) -> str:
        """Returns the text of a YAML file that dbt reads.

        Raises:
            WrongAnswer: the file is missing, or is not YAML.
        """
        text = self.read(name)
        try:
            yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise WrongAnswer(f"{name} is not YAML: {yaml_reason(error)}", "see how the lines are indented") from None
        return text

    @contextmanager
    def unseen_warehouse(self, tables: Mapping[str, str]) -> Iterator["UnseenWarehouse"]:
        """Yields a database that has part of the warehouse's rows. It exists only during a check.

        Args:
            tables: the condition of the rows to copy, by table, for example ``{"marts.fct_flights": "true"}``.

        Raises:
            TransientError, TerminalError: the warehouse is down, or a table does not exist.
        """
        name = f"sluice_check_{token_hex(6)}"
        with connect(self.settings, "postgres") as server:
            server.autocommit = True
            create = sql.SQL("create database {} template template0 encoding 'UTF8'")
            server.execute(create.format(sql.Identifier(name)))
        try:
            with connect(self.settings, "postgres") as source, connect(self.settings, "postgres", name) as target:
                for table, condition in tables.items():
                    _copy(source, target, table, condition)
            yield UnseenWarehouse(self, name)
        finally:
            drop_database(self.settings, name)


@dataclass(frozen=True)
class UnseenWarehouse:
    """A database with data that the learner has not seen."""

    attempt: Attempt
    name: str

    def change(self, statement: str) -> None:
        """Changes the data, as an administrator."""
        with connect(self.attempt.settings, "postgres", self.name) as connection:
            connection.execute(statement.encode())

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Returns the rows of a grader's own query."""
        with connect(self.attempt.settings, "postgres", self.name) as connection:
            return connection.execute(statement.encode()).fetchall()

    def answer(self, file: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Returns the names of the columns and the rows of the learner's query.

        Raises:
            WrongAnswer: the file has no query, or the query fails.
        """
        query = self.attempt.query(file)
        with connect(self.attempt.settings, "reader", self.name) as connection:
            return _run(connection, query, file)

    def compare(self, file: str) -> None:
        """Compares the rows of the learner's query with those of the solution's, in their order.

        Raises:
            WrongAnswer: the query fails, or the rows differ; the message names the first row that does, of the
                learner's own data if it is wrong there too.
        """
        query, solution = self.attempt.query(file), (self.attempt.reference / file).read_text()
        try:
            with connect(self.attempt.settings, "reader", self.name) as connection:
                compare(*_run(connection, query, file), *_run(connection, solution, file))
        except DifferentRows:
            self._compare_own(query, solution, file)
            raise

    def _compare_own(self, query: str, solution: str, file: str) -> None:
        """Compares the results on the learner's own data, as long as both queries run there."""
        try:
            with connect(self.attempt.settings, "reader") as connection:
                # Both see the same rows, whatever is loaded meanwhile.
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                with connection.transaction():
                    results = *_run(connection, query, file), *_run(connection, solution, file)
        except WrongAnswer:
            return
        compare(*results, where=_OWN, hint="ask your own tables with make sql: what does one row of each stand for?")


class DifferentRows(WrongAnswer):
    """The query runs, and returns other rows than the solution's."""


def compare(
    names: list[str],
    rows: list[tuple[Any, ...]],
    expected_names: list[str],
    expected: list[tuple[Any, ...]],
    where: str = _UNSEEN,
    hint: str = "think of what the tables may contain elsewhere: other dates, other values, nulls, ties",
) -> None:
    """Compares a result with the expected one: columns, rows and their order. Numbers may differ after six digits.

    Raises:
        WrongAnswer: names the first difference.
    """
    if names != expected_names:
        raise WrongAnswer(
            f"the columns are {', '.join(names) or 'none'}, expected {', '.join(expected_names)}",
            "name them as the exercise does, in its order",
        )
    for number, (row, other) in enumerate(zip(rows, expected, strict=False), start=1):
        for name, value, correct in zip(names, row, other, strict=True):
            if comparable(value) != comparable(correct):
                difference = f"row {number} has {name} {shown(value)}, expected {shown(correct)}"
                if _counted(rows) == _counted(expected):
                    hint = "the rows are right, and their order is not: see what comes first, and what decides a tie"
                elif _is_rounded(value, correct):
                    hint = "return the number as it is, not rounded"
                raise DifferentRows(f"{where}, {difference}", hint)
    if len(rows) != len(expected):
        returned = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
        raise DifferentRows(
            f"{where}, the query returns {returned}, expected {len(expected)}", "check conditions, joins and grouping"
        )


def _counted(rows: Sequence[tuple[Any, ...]]) -> Counter[str]:
    return Counter(repr([comparable(value) for value in row]) for row in rows)


def _is_rounded(value: object, correct: object) -> bool:
    """Returns whether a number is another one with fewer digits after its point."""
    number, exact = comparable(value), comparable(correct)
    if not isinstance(number, Decimal) or not isinstance(exact, Decimal):
        return False
    digits = max(-int(number.normalize().as_tuple().exponent), 0)
    return digits < _DIGITS and round(exact, digits) == number


def _run(connection: Connection, query: str, file: str) -> tuple[list[str], list[tuple[object, ...]]]:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set transaction read only")
            connection.execute("select set_config('statement_timeout', %s, true)", (_TIMEOUT,))
            cursor = connection.execute(query.encode())
            if cursor.description is None:
                raise WrongAnswer(f"{file} is not a query", "write a select")
            result = [column.name for column in cursor.description], cursor.fetchall()
            if cursor.nextset():
                raise WrongAnswer(f"{file} has more than one query", "keep the one that answers the question")
            return result
    except psycopg.Error as error:
        raise WrongAnswer(f"the query in {file} fails: {error}", 'try it with make sql Q="…"') from error


def _copy(source: Connection, target: Connection, table: str, condition: str) -> None:
    name = sql.Identifier(*table.split(".", 1))
    columns = source.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
        (table,),
    ).fetchall()
    if not columns:
        raise TerminalError(f"{table} does not exist", "run `make up`, and wait for the first transform")
    schema = sql.Identifier(table.split(".", 1)[0])
    fields = [sql.SQL("{} {}").format(sql.Identifier(str(column)), sql.SQL(str(kind))) for column, kind in columns]
    target.execute(sql.SQL("create schema if not exists {}").format(schema))
    target.execute(sql.SQL("create table {} ({})").format(name, sql.SQL(", ").join(fields)))
    reader = sql.Identifier(role_name("reader"))
    target.execute(sql.SQL("grant usage on schema {} to {}").format(schema, reader))
    target.execute(sql.SQL("grant select on {} to {}").format(name, reader))
    selection = sql.SQL("copy (select * from {} where {}) to stdout (format binary)").format(name, sql.SQL(condition))
    insertion = sql.SQL("copy {} from stdin (format binary)").format(name)
    with source.cursor().copy(selection) as rows, target.cursor().copy(insertion) as copied:
        for block in rows:
            copied.write(block)


def comparable(value: object) -> object:
    """Returns a value that is equal for results that count as equal."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    number = Decimal(str(value))
    return round(number, _DIGITS) if number.is_finite() else str(number)


def shown(value: object) -> str:
    """Returns a value as text, for messages: numbers without the zeros at their end."""
    if value is None:
        return "null"
    if isinstance(value, float | Decimal) and isinstance(number := comparable(value), Decimal):
        return f"{number.normalize() + 0:f}"
    return str(value)


def yaml_reason(error: yaml.YAMLError) -> str:
    """Returns what is wrong and where, on one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
