"""Reads YAML as strictly as a contract needs it, finds the line of every value, and writes a value.

What YAML allows and a reader would overlook is an error: a key that is given twice, anchors, aliases, merge keys,
tags, and numbers that are not what they look like (010 is 8, 1:30 is 90).
"""

import re
from typing import Any

import yaml
from yaml.reader import ReaderError

MAX_BYTES = 256 << 10
MAX_NODES = 20_000
"""Keys and values, enough for 1,000 columns. Each takes PyYAML about 0.1 ms, in every process that reads contracts."""
MAX_DEPTH = 20
"""Nested collections; a contract has four."""
_MAX_MESSAGE = 300

_AMBIGUOUS_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0[bx][0-9a-fA-F_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_MERGE = "tag:yaml.org,2002:merge"


class InvalidLineError(ValueError):
    """What is wrong, on ``line``, counted from 1. A message that quotes a long value is cut."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}…")
        self.line = line


def parse(content: bytes) -> tuple[Any, yaml.Node]:
    """Parses a file's content.

    Returns:
        The document, and its node, in which ``find`` looks for lines.

    Raises:
        InvalidLineError: the content is not one YAML document, or has something that this module refuses.
    """
    if len(content) > MAX_BYTES:
        raise InvalidLineError(1, f"expected at most {MAX_BYTES:,} bytes, found more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidLineError(line, f"expected UTF-8, found byte 0x{content[error.start]:02x}") from None
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
        if node is None:
            raise InvalidLineError(1, "expected a contract, found an empty file")
        return loader.construct_document(node), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidLineError(
            mark.line + 1 if mark else 1, f"invalid YAML: {error.problem or error.context}"
        ) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidLineError(line, f"invalid YAML: character U+{ord(text[error.position]):04X}") from None


def scalar(value: Any) -> str:
    """Returns a value as YAML on one line, in quotes where YAML takes it for something else, as it does ``yes``."""
    # YAML takes some of what is not printable for the end of a line.
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, allow_unicode=str(value).isprintable(), width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()


def find(node: yaml.Node, location: tuple[int | str, ...]) -> tuple[yaml.Node | None, int]:
    """Returns the value at ``location``, or None if there is none, and the line of the deepest part that exists.

    Lines are counted from 1.
    """
    line = node.start_mark.line + 1
    found: yaml.Node | None = node
    for part in location:
        if isinstance(found, yaml.MappingNode):
            key, found = next((pair for pair in found.value if pair[0].value == part), (None, None))
        elif isinstance(found, yaml.SequenceNode) and isinstance(part, int) and part < len(found.value):
            key = found = found.value[part]
        else:
            return None, line
        if key is None:
            return None, line
        line = key.start_mark.line + 1
    return found, line


class _Loader(yaml.SafeLoader):
    """A SafeLoader that checks each node before it composes what is inside: composing is recursive."""

    _depth = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if event.anchor is not None:
            raise InvalidLineError(line, "anchors and aliases (& and *) are not allowed: repeat the value")
        if event.tag is not None:
            raise InvalidLineError(line, f"tags ({event.tag}) are not allowed: write the value alone")
        if self._depth > MAX_DEPTH:
            raise InvalidLineError(line, f"nested deeper than {MAX_DEPTH} levels")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise InvalidLineError(line, f"expected at most {MAX_NODES:,} keys and values")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except InvalidLineError:
            raise
        except ValueError as error:
            # A date such as 2013-02-31, or an integer of thousands of digits.
            raise InvalidLineError(node.start_mark.line + 1, f"{str(node.value)[:40]}: {error}") from None


class _Dumper(yaml.SafeDumper):
    """A SafeDumper that puts in quotes what ``_Loader`` takes for a number."""


for _reader_or_writer in (_Loader, _Dumper):
    # YAML 1.1 reads 1e3, without a dot, as a string.
    _reader_or_writer.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def _check_keys(mapping: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InvalidLineError(line, "expected a name as the key")
        if key.tag == _MERGE:
            raise InvalidLineError(line, "merge keys (<<) are not allowed: repeat the values")
        if key.value in lines:
            raise InvalidLineError(line, f"{key.value}: given twice, first on line {lines[key.value]}")
        lines[key.value] = line
        if isinstance(value, yaml.ScalarNode) and not value.style and _AMBIGUOUS_NUMBER.fullmatch(value.value):
            raise InvalidLineError(
                value.start_mark.line + 1,
                f"{key.value}: {value.value} is ambiguous: write a number as a decimal, and a string in quotes",
            )
