"""Runs dbt as a process in its own virtual environment, and says what became of it."""

import json
import re
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import ROOT, Settings
from sluice.transform.unfinished import RESULTS

EXECUTABLE = ROOT / ".venv-dbt" / "bin" / "dbt"

_FAILED = ("error", "fail", "runtime error")
_TRANSIENT = re.compile(
    r"could not connect|connection (refused|reset|timed out|already closed)|server closed the connection"
    r"|terminating connection|ssl connection has been closed|could not receive data|timeout expired"
    r"|the database system is|too many clients|deadlock detected|could not serialize|lock timeout",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d(  )?")
_LONGEST = 600
"""Characters of dbt's own message that go into an error's one line; the rest is in the log above it."""


@dataclass
class Dbt:
    """One transform's dbt. It works in a folder below ``settings.home``, so that projects on disk stay as they are."""

    settings: Settings
    say: Callable[[str], None]
    """Takes each line of dbt's log as it comes."""
    executable: Path = EXECUTABLE
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False)

    @property
    def project(self) -> Path:
        """Where the models are."""
        return self.settings.dbt

    @property
    def home(self) -> Path:
        """Where dbt keeps what it parsed, its results and its log."""
        return self.settings.home / "dbt"

    @property
    def generated(self) -> Path:
        """Where the sources that are made from the contracts go."""
        return self.home / "generated"

    @property
    def results(self) -> Path:
        """dbt's record of its last invocation."""
        return self.home / "target" / RESULTS

    def run(self, *arguments: str, inherit_fds: Sequence[int] = ()) -> None:
        """Runs one dbt command and waits for its end.

        Args:
            arguments: the command and its options, without the folders.
            inherit_fds: file descriptors that dbt inherits: locks that last until it has really ended.

        Raises:
            TransientError: dbt lost the warehouse, or was stopped.
            TerminalError: dbt is not installed, or something in the project, its data or the warehouse is wrong.
        """
        self.results.unlink(missing_ok=True)
        lines: deque[str] = deque(maxlen=40)
        command = [str(self.executable), "--no-use-colors", *arguments]
        command += ["--project-dir", str(self.project), "--profiles-dir", str(self.project)]
        try:
            self._process = subprocess.Popen(
                command,
                env=self._environment(),
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=inherit_fds,
            )
        except OSError as error:
            raise TerminalError(f"dbt does not start: {error}", "`make up` installs it into .venv-dbt") from error
        try:
            for line in self._process.stdout or ():
                # Without the clock: who takes it notes the time.
                if text := _CLOCK.sub("", line).rstrip():
                    lines.append(text)
                    self.say(text)
            status = self._process.wait()
        finally:
            # Left by an exception, a time-out for instance: dbt must not build on without anybody to mark it as built.
            self.stop()
        if status < 0:
            raise TransientError(f"dbt was stopped by signal {-status}", "it goes on where it stopped when tried again")
        if status:
            raise self._fault(list(lines))

    def stop(self) -> None:
        """Ends dbt, if it runs, and waits for it."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def built(self) -> int:
        """How many nodes (models, seeds, tests) the last invocation finished."""
        return sum(result["status"] in ("success", "pass", "warn") for result in self._results())

    def can_be_retried(self) -> bool:
        """Whether the last invocation left nodes that `dbt retry` would go on with: hooks alone it would not run."""
        return any(
            result["status"] in (*_FAILED, "skipped") and not result["unique_id"].startswith("operation.")
            for result in self._results()
        )

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            "SLUICE_POSTGRES_HOST": settings.postgres_host,
            "SLUICE_POSTGRES_PORT": str(settings.postgres_port),
            "SLUICE_WAREHOUSE": settings.warehouse,
            "SLUICE_DBT_GENERATED": str(self.generated),
            "SLUICE_TRANSFORMER_PASSWORD": settings.secret("transformer_password"),
            # These two tell `make down` that the process is this platform's, should it outlive its task.
            "SLUICE_HOME": str(settings.home),
            "SLUICE_SERVICE": "airflow-scheduler",
            "DBT_TARGET_PATH": str(self.home / "target"),
            "DBT_LOG_PATH": str(self.home / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }

    def _results(self) -> list[dict[str, str]]:
        if not self.results.exists():
            return []
        results: list[dict[str, str]] = json.loads(self.results.read_text())["results"]
        return results

    def _fault(self, lines: list[str]) -> SluiceError:
        failed = [result for result in self._results() if result["status"] in _FAILED]
        if failed:
            first = next((result for result in failed if _TRANSIENT.search(result["message"] or "")), failed[0])
            what = f"dbt: {first['unique_id']}: {first['message']}"
            more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        else:
            # It ended before the first model: the project does not parse, or the warehouse is not there.
            start = next((n for n, line in enumerate(lines) if "Encountered an error" in line), max(0, len(lines) - 5))
            what, more = "dbt: " + " ".join(lines[start:]), ""
        what = " ".join(what.split())
        if _TRANSIENT.search(what):
            return TransientError(what[:_LONGEST] + more, "see `make logs S=postgres`")
        return TerminalError(what[:_LONGEST] + more, "mend it in dbt/ or in its data; the next transform builds it")
