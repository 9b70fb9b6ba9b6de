"""The OS user, recorded as the actor in the audit log."""

import getpass
import os


def os_user() -> str:
    """Returns the name of the OS user, recorded as the actor in the audit log."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user may have no name.
        return f"user {os.getuid()}"
