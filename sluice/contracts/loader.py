"""Reads contracts from their YAML files. Every error names the file, the line, the key and what was expected."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from sluice.contracts.model import Contract
from sluice.errors import TerminalError


def load_contracts(folder: Path) -> dict[str, Contract]:
    """Reads every ``*.yaml`` of a folder.

    Returns:
        The contracts by stream, sorted by it.

    Raises:
        TerminalError: a file is no contract; the message names the file, the line, the key and what was expected.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise TerminalError(f"{folder}: no contract found", "put one <stream>.yaml per event stream there")
    contracts = [read_contract(path) for path in paths]
    return {contract.stream: contract for contract in sorted(contracts, key=lambda contract: contract.stream)}


def get_contract(contracts: dict[str, Contract], stream: str) -> Contract:
    """The contract of a stream that a person named.

    Raises:
        TerminalError: there is none; the message lists the streams that exist.
    """
    if stream not in contracts:
        raise TerminalError(f"unknown stream {stream!r}", f"choose from {', '.join(contracts)}")
    return contracts[stream]


def read_contract(path: Path) -> Contract:
    """Reads and checks one contract.

    Raises:
        TerminalError: as in ``load_contracts``.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        contract = Contract.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(f"{path}: cannot be read: {error}", "make it a readable UTF-8 file") from None
    except yaml.YAMLError as error:
        raise TerminalError(f"{path}: not YAML: {error}", "correct it") from None
    except ValidationError as error:
        raise TerminalError("; ".join(_faults(path, node, error)), "correct the contract") from None
    if path.stem != contract.stream:
        raise TerminalError(
            f"{path}: line 1: stream: expected {path.stem}, as the file is called, found {contract.stream}",
            "name both alike",
        )
    return contract


def _faults(path: Path, node: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        place = fault["loc"]
        key = ".".join(str(part) for part in place)
        message = fault["msg"].removeprefix("Value error, ")
        found = "" if fault["type"] in ("missing", "value_error") else f", found {fault['input']!r}"
        yield f"{path}: line {_line(node, place)}: {key + ': ' if key else ''}{message}{found}"


def _line(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """The line of the deepest part of ``place`` that the document has, counted from 1."""
    line = node.start_mark.line if node else 0
    for part in place:
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
