"""Runs several of Airflow's commands, separated by the word `then`, in a single process.

Each would otherwise import Airflow again, which takes seconds.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

from airflow.__main__ import main

THEN = "then"


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """Yields the commands."""
    for is_separator, command in groupby(words, lambda word: word == THEN):
        if not is_separator:
            yield list(command)


if __name__ == "__main__":
    for arguments in split(sys.argv[1:]):
        sys.argv = ["airflow", *arguments]
        main()  # type: ignore[no-untyped-call]
