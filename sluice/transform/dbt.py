"""Runs dbt as a process in its own virtual environment, and turns its failures into errors."""

import json
import re
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.service.child import stop_child
from sluice.settings import ROOT, Settings
from sluice.transform.unfinished import RESULTS
from sluice.warehouse.connect import warehouse_server

EXECUTABLE = ROOT / ".venv-dbt" / "bin" / "dbt"

Result = dict[str, str]
"""How a node of an invocation ended: its ``unique_id``, ``status`` and ``message``."""
PASSED = ("success", "pass", "warn")
FAILED = ("error", "fail", "runtime error")
"""Statuses of nodes (models, seeds, tests) in dbt's results."""
_TRANSIENT = re.compile(
    r"could not connect|connection (refused|reset|timed out|already closed)|server closed the connection"
    r"|terminating connection|ssl connection has been closed|could not receive data|timeout expired"
    r"|the database system is|too many clients|remaining connection slots|deadlock detected|could not serialize"
    r"|read-only transaction|(lock|statement|transaction) timeout|no space left|out of (shared )?memory",
    re.IGNORECASE,
)
"""The messages of the states in ``sluice/warehouse/failures.py``: dbt quotes a message without its state."""
PACKAGE_FILES = ("packages.yml", "dependencies.yml")
"""dbt's files that name packages; a project has one of them, or neither."""
SECRET_PREFIX = "DBT_ENV_SECRET_"  # noqa: S105 - the beginning of a name
"""Of the variables that dbt hides in its log and that `packages.yml` may use: credentials of private repositories."""
_SECRET = re.compile(rf"{SECRET_PREFIX}\w+")
_OTHER_COLUMNS = re.compile(r"the columns of \S+ are out of date|schemas on this incremental model are out of sync")
"""The messages of `by_key.sql` and of dbt's incremental models, if a model has other columns than its table."""
_MISSING_RAW_TABLE = re.compile(r'relation "(raw\.\w+)" does not exist')
"""Postgres's message for the table of a contract that is new: `make new-stream` writes the model at once."""
_LOG_TIME = re.compile(r"^\d\d:\d\d:\d\d(  )?")
_MAX_MESSAGE_LENGTH = 600
"""Characters of dbt's message that are quoted in an error, which is one line; the log has the rest."""


class ProjectError(TerminalError):
    """dbt can run nothing, because the project does not parse or its packages are not installed."""


@dataclass
class Dbt:
    """dbt for one transform. It writes below ``settings.home``, so that the project folder stays unchanged."""

    settings: Settings
    log_line: Callable[[str], None]
    """Receives dbt's log, line by line."""
    executable: Path = EXECUTABLE
    project: Path = field(init=False)
    """The folder of the models."""
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.project = self.settings.dbt

    @property
    def home(self) -> Path:
        """The folder in which dbt keeps its parsed project, results and log."""
        return self.settings.home / "dbt"

    @property
    def generated(self) -> Path:
        """The folder of the sources that are derived from the contracts."""
        return self.home / "generated"

    @property
    def packages(self) -> Path:
        """The folder of the dbt packages that the project names."""
        return self.home / "packages"

    @property
    def results(self) -> Path:
        """dbt's record of its last invocation."""
        return self.home / "target" / RESULTS

    def run(
        self,
        *arguments: str,
        inherit_fds: Sequence[int] = (),
        project: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Runs one dbt command and waits for it to exit.

        Args:
            arguments: the command and its options, without the folders.
            inherit_fds: file descriptors of locks; dbt inherits them, so that the locks last until dbt has exited.
            project: another folder than that of the models.
            variables: environment variables, in addition to dbt's own, or instead of them.

        Raises:
            TransientError: dbt lost its connection to the warehouse, or was stopped.
            ProjectError: dbt has run nothing, because the project is invalid.
            TerminalError: dbt is not installed, or it reported an error in a model, the data or the warehouse.
        """
        self.results.unlink(missing_ok=True)
        lines: deque[str] = deque(maxlen=40)
        folder = project or self.project
        command = [str(self.executable), "--no-use-colors", *arguments]
        command += ["--project-dir", str(folder), "--profiles-dir", str(folder)]
        try:
            self._process = subprocess.Popen(
                command,
                env={**self._unused_secrets(arguments[0]), **self._environment(), **(variables or {})},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=inherit_fds,
            )
        except OSError as error:
            hint = "run `make up`, which installs dbt into .venv-dbt"
            raise TerminalError(f"dbt does not start: {error}", hint) from error
        try:
            for line in self._process.stdout or ():
                # The receiver of the lines adds its own time.
                if text := _LOG_TIME.sub("", line).rstrip():
                    lines.append(text)
                    self.log_line(text)
            status = self._process.wait()
        finally:
            # After an exception such as a timeout, dbt must not continue unattended.
            self.stop()
        if status < 0:
            raise TransientError(f"dbt was stopped by signal {-status}", "retry: dbt resumes where it stopped")
        if status:
            raise self._error(list(lines))

    def stop(self) -> None:
        """Terminates dbt if it is running, and waits for it to exit."""
        if self._process is not None:
            stop_child(self._process)

    def completed(self) -> list[str]:
        """Returns the ids of the nodes (models, seeds, tests) that the last invocation completed."""
        results = self.read_results()
        return [result["unique_id"] for result in results if result["status"] in PASSED]

    def can_be_retried(self) -> bool:
        """Returns whether `dbt retry` would resume the last invocation; it does not rerun hooks alone."""
        return any(
            result["status"] in (*FAILED, "skipped") and not result["unique_id"].startswith("operation.")
            for result in self.read_results()
        )

    def with_other_columns(self) -> list[str]:
        """Returns the ids of the models that failed in the last invocation because their tables have other columns."""
        failed = (result for result in self.read_results() if result["status"] in FAILED)
        return [result["unique_id"] for result in failed if _OTHER_COLUMNS.search(result["message"] or "")]

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        server = warehouse_server(settings)
        return {
            "SLUICE_POSTGRES_HOST": server.host,
            "SLUICE_POSTGRES_PORT": str(server.port),
            # libpq's own variables: dbt's profile leaves encryption to them.
            **{f"PG{name.upper()}": value for name, value in server.tls.items()},
            "SLUICE_WAREHOUSE": settings.warehouse,
            "SLUICE_DBT_GENERATED": str(self.generated),
            "SLUICE_DBT_PACKAGES": str(self.packages),
            "SLUICE_TRANSFORMER_PASSWORD": settings.secret("transformer_password"),
            # By these two, `make down` and a service that restarts recognise a dbt process that outlived its task.
            # If an operator started dbt, it belongs to no service.
            "SLUICE_HOME": str(settings.home),
            **({"SLUICE_SERVICE": settings.service} if settings.service else {}),
            "DBT_TARGET_PATH": str(self.home / "target"),
            "DBT_LOG_PATH": str(self.home / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }

    def _unused_secrets(self, command: str) -> dict[str, str]:
        """Returns the secrets of the file of packages, without values.

        dbt reads that file for every command, but its secrets only for `dbt deps`: without a value, that has to fail.
        """
        files = [path for name in PACKAGE_FILES if command != "deps" and (path := self.project / name).is_file()]
        return {name: "" for path in files for name in _SECRET.findall(path.read_text(errors="replace"))}

    def read_manifest(self) -> dict[str, Any]:
        """Returns dbt's description of the project, as of its last invocation.

        Raises:
            TransientError: there is none, or dbt was killed while it wrote it.
        """
        manifest = self.read_manifest_if_any()
        if manifest is None:
            raise TransientError("dbt was interrupted before it had described the project", "run `make transform`")
        return manifest

    def read_manifest_if_any(self) -> dict[str, Any] | None:
        """Returns dbt's description of the project; None before its first invocation, or if it is incomplete.

        dbt writes its files in place: one that is killed, or whose disk is full, leaves a part. The next replaces it.
        """
        manifest: dict[str, Any] | None = _read_json(self.home / "target" / "manifest.json")
        return manifest

    def read_results(self) -> list[Result]:
        """Returns how each node of the last invocation ended; none if dbt was interrupted or ended before the first."""
        results: list[Result] = (_read_json(self.results) or {"results": []})["results"]
        return results

    def _error(self, lines: list[str]) -> SluiceError:
        if failed := [result for result in self.read_results() if result["status"] in FAILED]:
            return error_of(failed)
        # dbt exited before the first model: the project does not parse, or the warehouse is down.
        start = next((n for n, line in enumerate(lines) if "Encountered an error" in line), max(0, len(lines) - 5))
        return _error_from("dbt: " + " ".join(lines[start:]), kind=ProjectError)


def _read_json(file: Path) -> Any:
    """Returns what a file of dbt's holds; None if it does not exist or is incomplete."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def error_of(failed: Sequence[Result]) -> SluiceError:
    """Returns one error for the nodes that failed, at least one. A retry helps if it may help one of them."""
    first = next((result for result in failed if _TRANSIENT.search(result["message"] or "")), failed[0])
    suffix = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
    return _error_from(f"dbt: {first['unique_id']}: {first['message']}", suffix)


def _error_from(message: str, suffix: str = "", kind: type[TerminalError] = TerminalError) -> SluiceError:
    message = " ".join(message.split())
    quoted = message[:_MAX_MESSAGE_LENGTH] + suffix
    if _TRANSIENT.search(message):
        return TransientError(quoted, "see `make logs S=postgres`")
    if missing := _MISSING_RAW_TABLE.search(message):
        hint = f"run `make up`, which creates {missing[1]} from its contract; the next transform builds the model"
        return kind(quoted, hint)
    return kind(quoted, "fix the model or the data; the next transform builds it")
