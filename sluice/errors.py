"""Errors that a person or a scheduler can act on.

Each is one line: "what failed: cause. Hint: what to do." Its class says whether a retry can help; Airflow's retry
policy and the sink's loop read nothing else.
"""


class SluiceError(Exception):
    """A fault with a known cause. ``message`` says what failed and why, ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    def __str__(self) -> str:
        message = " ".join(self.message.split())
        return f"{message.rstrip('.')}. Hint: {' '.join(self.hint.split()).rstrip('.')}." if self.hint else message


class TransientError(SluiceError):
    """May go away by itself: a server that is starting, a lost connection, a conflict. A retry can help."""


class TerminalError(SluiceError):
    """A retry cannot help until somebody changes something: a wrong contract, a wrong password, a corrupt file."""
