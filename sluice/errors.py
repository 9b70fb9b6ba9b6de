"""Errors that a person or a scheduler can act on.

Every error names what went wrong and where, and how to mend it, on one line. Its class says whether doing the same
again can help: Airflow's retries and the sink's loop read only that.
"""


class SluiceError(Exception):
    """A fault with a known cause. ``what`` says what and where, ``mend`` what to do about it."""

    def __init__(self, what: str, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(what, mend)

    def __str__(self) -> str:
        line = f"{self.what}: {self.mend}" if self.mend else self.what
        return " ".join(line.split())


class TransientError(SluiceError):
    """It may go away by itself: a server that is starting, a lost connection, a conflict. Try again, later."""


class TerminalError(SluiceError):
    """Trying again cannot help until somebody changes something: a wrong contract, a wrong password, a corrupt file."""
