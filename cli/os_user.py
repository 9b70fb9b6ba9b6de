"""Whose command it is, for what is recorded of it."""

import getpass
import os


def os_user() -> str:
    """The name of the operating system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user need not have a name.
        return f"user {os.getuid()}"
