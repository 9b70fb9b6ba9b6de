"""The columns of a contract by their place in an event: formats that nest fields are written from it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sluice.contracts.model import Column


@dataclass
class Node:
    """A place in an event: what columns are taken from it, and what is inside."""

    columns: list[Column] = field(default_factory=list)
    """Those whose (first) path ends here."""
    fields: "dict[str, Node]" = field(default_factory=dict)
    items: "dict[int, Node]" = field(default_factory=dict)

    @property
    def children(self) -> "Iterator[Node]":
        """The nodes directly inside."""
        yield from self.fields.values()
        yield from self.items.values()

    @property
    def is_required(self) -> bool:
        """Whether a valid event has a value here."""
        return any(is_required(column) for column in self.columns) or any(child.is_required for child in self.children)


def is_required(column: Column) -> bool:
    """Returns whether every valid event has a value at the column's first path."""
    return not column.nullable and len(column.paths) == 1


def tree(columns: Iterable[Column]) -> Node:
    """Returns the root of the columns' tree: the event.

    A column with several paths is at the first: what is at the others is only read if there is nothing.
    """
    root = Node()
    for column in columns:
        node = root
        for step in column.paths[0]:
            inside: dict[str, Node] | dict[int, Node] = node.fields if isinstance(step, str) else node.items
            node = inside.setdefault(step, Node())  # type: ignore[arg-type]
        node.columns.append(column)
    return root
