"""The environment of the platform's own programs: nothing of the user's shell but what they need.

Clients and servers read far more variables than anyone sets for them: a proxy that would take connections to loopback,
another account's AWS_SESSION_TOKEN, PGOPTIONS, JAVA_TOOL_OPTIONS. A service's complete environment is in
`infra/servers/service.py`. Commands that install software are the exception: they need the shell's proxies, package
indexes and certificates.
"""

import os
import time
from collections.abc import Mapping

_KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "JAVA_HOME"),
        # The one setting without the prefix.
        "OPENLINEAGE_URL",
        # What the terminal can show.
        *("TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"),
    }
)
_SETTINGS = "SLUICE_"
_SHELL = dict(os.environ)


def own_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that the platform's programs take from the user's shell: its settings, and few others."""
    kept = {name: value for name, value in shell.items() if name in _KEPT or name.startswith(_SETTINGS)}
    return {**kept, "LANG": "C.UTF-8"}


def shell_environment() -> dict[str, str]:
    """Returns the environment that the user's shell passed to this program: for commands that install software."""
    return dict(_SHELL)


def leave_shell() -> None:
    """Removes everything from this process's environment that ``own_environment`` does not keep.

    Each program calls it before anything else: libraries read the environment whenever they connect.
    """
    own = own_environment(os.environ)
    os.environ.clear()
    os.environ.update(own)
    # The local time zone is the machine's again.
    time.tzset()
