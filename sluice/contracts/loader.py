"""Reads contracts from YAML files. Every error names the file, the line, the key and the expected value."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from sluice.contracts.model import Contract
from sluice.errors import TerminalError


def load_contracts(folder: Path) -> dict[str, Contract]:
    """Reads every ``*.yaml`` file in a folder.

    Returns:
        The contracts by stream name, in sorted order.

    Raises:
        TerminalError: the folder has no contracts, or a file is not a valid contract; the message names the file, the
            line, the key and the expected value.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise TerminalError(f"{folder}: no contracts found", "add one <stream>.yaml file per event stream")
    contracts = [read_contract(path) for path in paths]
    return {contract.stream: contract for contract in sorted(contracts, key=lambda contract: contract.stream)}


def get_contract(contracts: dict[str, Contract], stream: str) -> Contract:
    """Returns the contract of a stream that a user named.

    Raises:
        TerminalError: no such stream; the hint lists the streams that exist.
    """
    if stream not in contracts:
        raise TerminalError(f"unknown stream {stream!r}", f"choose from {', '.join(contracts)}")
    return contracts[stream]


def read_contract(path: Path) -> Contract:
    """Reads and validates one contract.

    Raises:
        TerminalError: as in ``load_contracts``.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        contract = Contract.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(f"{path}: cannot read the contract: {error}", "make it a readable UTF-8 file") from None
    except yaml.YAMLError as error:
        raise TerminalError(f"{path}: invalid YAML: {error}", "fix the syntax") from None
    except ValidationError as error:
        raise TerminalError("; ".join(_describe(path, node, error)), "fix the contract") from None
    if path.stem != contract.stream:
        raise TerminalError(
            f"{path}: line 1: stream: expected {path.stem} to match the file name, found {contract.stream}",
            "rename the file or the stream",
        )
    return contract


def _describe(path: Path, node: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    for details in error.errors():
        location = details["loc"]
        key = ".".join(str(part) for part in location)
        message = details["msg"].removeprefix("Value error, ")
        actual = "" if details["type"] in ("missing", "value_error") else f", found {details['input']!r}"
        yield f"{path}: line {_line(node, location)}: {key + ': ' if key else ''}{message}{actual}"


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Returns the line, counted from 1, of the deepest part of ``location`` that exists in the document."""
    line = node.start_mark.line if node else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1
