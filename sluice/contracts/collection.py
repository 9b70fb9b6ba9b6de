"""The contracts of a folder: the valid ones, and what is wrong with the others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice.contracts.model import Contract
from sluice.contracts.names import table_name
from sluice.errors import TerminalError


@dataclass(frozen=True)
class InvalidContract:
    """A file that is not a valid contract."""

    path: Path
    problem: str
    """The lines, the keys and the expected values, in one line, starting with the path."""
    hint: str
    topic_name: str
    """The topic that the file names, as far as it can be read."""

    @property
    def stream(self) -> str:
        """The stream that the file defines by its name."""
        return self.path.stem

    @property
    def table(self) -> str:
        """The name of the raw table that the stream has if its contract was valid before."""
        return table_name(self.stream)

    def error(self) -> TerminalError:
        """Returns the error for those who need this contract."""
        return TerminalError(self.problem, self.hint)


class Contracts(dict[str, Contract]):
    """The valid contracts by stream, in sorted order.

    A file that is not valid costs its own stream and no other: most callers go on with the valid contracts. Those that
    report problems read ``invalid``, and those that cannot do without a contract call ``require_all``.
    """

    def __init__(self, valid: Iterable[Contract] = (), invalid: Iterable[InvalidContract] = ()) -> None:
        super().__init__(
            (contract.stream, contract) for contract in sorted(valid, key=lambda contract: contract.stream)
        )
        self.invalid = tuple(invalid)

    def known_topics(self) -> dict[str, str]:
        """Returns the topic of each stream, also of those whose contract is not valid now: their events still arrive.

        No two streams have the same topic. A valid contract takes precedence.
        """
        topics = topic_names(self)
        for file in self.invalid:
            if file.stream not in topics and file.topic_name not in topics.values():
                topics[file.stream] = file.topic_name
        return topics

    def warnings(self) -> list[str]:
        """Returns a line for each file that is not valid, for callers that go on with the others."""
        return [f"invalid contract, its stream is left out: {file.error()}" for file in self.invalid]

    def require_all(self) -> None:
        """Raises a TerminalError that names the files that are not valid, if there are any."""
        if self.invalid:
            raise TerminalError("; ".join(file.problem for file in self.invalid), self.invalid[0].hint)


def topic_names(contracts: Mapping[str, Contract]) -> dict[str, str]:
    """Returns the name of the topic of each stream."""
    return {stream: contract.topic_name for stream, contract in contracts.items()}


def invalid_contracts(contracts: Mapping[str, Contract]) -> tuple[InvalidContract, ...]:
    """Returns the invalid files that were found with the contracts; none for a selection of contracts."""
    return contracts.invalid if isinstance(contracts, Contracts) else ()


def get_contract(contracts: Mapping[str, Contract], stream: str) -> Contract:
    """Returns the contract of a stream that a user named.

    Raises:
        TerminalError: the stream's contract is not valid, or there is no such stream; the hint lists those that exist.
    """
    if stream in contracts:
        return contracts[stream]
    for file in invalid_contracts(contracts):
        if file.stream == stream:
            raise file.error()
    hint = f"choose from {', '.join(contracts)}" if contracts else "add its contract, and run `make up`"
    raise TerminalError(f"unknown stream {stream!r}", hint)
