"""Errors that an operator or a scheduler can act on.

Each error is one line: "what failed: cause. Hint: what to do." Its class states whether a retry can help; Airflow's
retry policy and the sink's loop rely on the class alone.
"""

from sluice.escaping import escape


class SluiceError(Exception):
    """An error with a known cause. ``message`` states what failed and why, ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    def __str__(self) -> str:
        message, hint = (" ".join(text.split()) for text in (self.message, self.hint))
        # Names, values and servers' answers in it may hold anything.
        return escape(f"{_sentence(message)} Hint: {_sentence(hint)}" if hint else message)


def _sentence(text: str) -> str:
    """Returns a text with one mark at its end."""
    return text if text.endswith("?") else f"{text.rstrip('.')}."


class TransientError(SluiceError):
    """A retry can help: a server is starting, a connection was lost, another writer was first."""


class TerminalError(SluiceError):
    """A retry cannot help until the cause is fixed: an invalid contract, a wrong password, a corrupt file."""
