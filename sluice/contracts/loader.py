"""Reads contracts from YAML files. Every error names the file, the line, the key and the expected value."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from sluice.contracts import files, strict_yaml
from sluice.contracts.collection import Contracts, InvalidContract
from sluice.contracts.model import Contract, InvalidFieldError
from sluice.contracts.names import collisions, shared_topics
from sluice.contracts.strict_yaml import InvalidLineError
from sluice.errors import TerminalError
from sluice.escaping import shorten

_FIX = "fix the contract"
_MAX_SHOWN = 100
"""Characters of a value or an error that a message quotes."""
_MAX_PROBLEMS = 12
"""Errors of one file that its message lists."""


def load_contracts(folder: Path) -> Contracts:
    """Reads all contracts of a folder, and finds the files that are meant to be contracts but are not valid.

    A folder may have none: its last contract may be removed like any other.

    Raises:
        TerminalError: there is no such folder.
    """
    if not folder.is_dir():
        raise TerminalError(
            f"{folder}: no contracts found: there is no such folder",
            "set SLUICE_CONTRACTS to the folder that has one <stream>.yaml file per event stream",
        )
    valid: dict[Path, Contract] = {}
    invalid: list[InvalidContract] = []
    for path in files.candidates(folder):
        try:
            files.check_name(path, folder)
            valid[path] = read_contract(path)
        except TerminalError as error:
            invalid.append(InvalidContract(path, error.message, error.hint, _topic_name(path)))
    same_table = collisions(contract.stream for contract in valid.values())
    same_topic = shared_topics({contract.stream: contract.topic_name for contract in valid.values()})
    for path, contract in valid.items():
        if other := same_table.get(contract.stream):
            problem = f"stream: its table or index raw.{contract.table} is one of stream {other}"
            hint = "rename the file and the stream"
        elif other := same_topic.get(contract.stream):
            problem = f"topic.name: Kafka cannot tell {contract.topic_name} from the topic of stream {other}"
            hint = "give each stream a topic of its own, or describe all events of the topic in one contract"
        else:
            continue
        invalid.append(InvalidContract(path, f"{path}: line 1: {problem}", hint, contract.topic_name))
    refused = {*same_table, *same_topic}
    return Contracts((contract for contract in valid.values() if contract.stream not in refused), invalid)


def read_contract(path: Path) -> Contract:
    """Reads and validates one contract.

    Raises:
        TerminalError: the file is not a valid contract; the message names the file, the line, the key and the expected
            value.
    """
    try:
        return _read(path)
    except TerminalError:
        raise
    except Exception as error:
        # Whatever is wrong with one contract must not stop the streams of the others.
        message = f"{path}: line 1: cannot be understood: {type(error).__name__}: {shorten(str(error), _MAX_SHOWN)}"
        raise TerminalError(message, _FIX) from error


def _read(path: Path) -> Contract:
    try:
        document, node = strict_yaml.parse(files.read(path))
    except OSError as error:
        raise TerminalError(
            f"{path}: line 1: cannot read the contract: {error.strerror or error}", "make it a readable file"
        ) from None
    except InvalidLineError as error:
        raise TerminalError(f"{path}: line {error.line}: {error}", _FIX) from None
    try:
        contract = Contract.model_validate(document)
    except ValidationError as error:
        problems = sorted(_describe(node, error), key=lambda problem: problem.line)
        shown = [f"line {problem.line}: {problem}" for problem in problems[:_MAX_PROBLEMS]]
        if len(problems) > _MAX_PROBLEMS:
            shown.append(f"and {len(problems) - _MAX_PROBLEMS} more errors")
        raise TerminalError(f"{path}: {'; '.join(shown)}", _FIX) from None
    if path.stem != contract.stream:
        _, line = strict_yaml.find(node, ("stream",))
        raise TerminalError(
            f"{path}: line {line}: stream: expected {path.stem} to match the file name, found {contract.stream}",
            "rename the file or the stream",
        )
    return contract


def _topic_name(path: Path) -> str:
    """Returns the topic that a file without a valid contract names; the stream's name if it names none."""
    try:
        document, _ = strict_yaml.parse(files.read(path))
        name = document["topic"]["name"]
    except (OSError, InvalidLineError, LookupError, TypeError):
        name = None
    return name if isinstance(name, str) else path.stem


def _describe(node: yaml.Node, error: ValidationError) -> Iterator[InvalidLineError]:
    for details in error.errors():
        location: tuple[int | str, ...] = details["loc"]
        message = details["msg"].removeprefix("Value error, ")
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, InvalidFieldError):
            location = cause.location
        value, line = strict_yaml.find(node, location)
        key = ".".join(str(part) for part in location)
        actual = "" if details["type"] in ("missing", "value_error") else f", found {_shown(value, details['input'])}"
        if details["type"] == "string_type" and isinstance(value, yaml.ScalarNode) and not value.style:
            # YAML's own idea of the value may surprise: no is False, and 2013-01-01 is a date.
            actual = f', found {value.value or "nothing"}; to make it a string, write it in quotes: "{value.value}"'
        yield InvalidLineError(line, f"{key + ': ' if key else ''}{message}{actual}")


def _shown(node: yaml.Node | None, value: object) -> str:
    try:
        return shorten(repr(value), _MAX_SHOWN)
    except ValueError:
        # Python does not write an integer of thousands of digits; the file has its text.
        return shorten(node.value, _MAX_SHOWN) if isinstance(node, yaml.ScalarNode) else "an integer that is too long"
