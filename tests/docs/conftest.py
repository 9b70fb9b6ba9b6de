"""A checkout of this tree in a folder of its own, as a reader of its pages has it, with ports of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
from sluice.settings import ROOT
from tests.docs.blocks import Block

END = "\x1e"
"""Follows a command's output, before its exit code."""


@dataclass(frozen=True)
class Checkout:
    """The tree, and a shell in it."""

    folder: Path

    def type(self, block: Block) -> Iterator[tuple[str, int]]:
        """Types a block's commands into one bash; yields what each printed, errors included, and its exit code."""
        # A script has a shell of its own, which ends at its first failure; what is typed shares one.
        wrapped = [f"(set -e\n{each.text})" if each.shown is None else f"{{ {each.text}}}" for each in block.commands]
        script = "".join(f"{each} 2>&1; printf '{END}%d{END}' $?\n" for each in wrapped)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=1500,
            check=False,
        )
        parts = done.stdout.split(END)
        yield from zip(parts[::2], map(int, parts[1::2]), strict=False)


def environment() -> dict[str, str]:
    """The reader's: without what make tells the makes below it, and without this platform's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "MAKE", "MFLAGS"))}
    return kept | {"RUNTIME": "native", "PYTHONPATH": ""}


@pytest.fixture(scope="session")
def checkout(page: str) -> Iterator[Checkout]:
    """One for each page: its commands begin with nothing, and go on from each other."""
    with tempfile.TemporaryDirectory(prefix="sluice-docs-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / "sluice"
        folder.mkdir()
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
        for name in filter(None, names):
            # One that was removed is still listed, until that is committed.
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        for words in (
            ("init", "--quiet", "--initial-branch=main"),
            ("config", "user.name", "Reader"),
            ("config", "user.email", "reader@example.org"),
            ("add", "--all"),
            ("commit", "--quiet", "--message=The platform as it came"),
        ):
            subprocess.run(["git", *words], cwd=folder, check=True)
        # What is built once and belongs to no tree. A link is no folder, so .gitignore does not know it.
        (folder / ".tools").symlink_to(ROOT / ".tools")
        (folder / ".git" / "info" / "exclude").write_text(".tools\n")
        ensure_environment(folder / ".env", dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
        try:
            yield Checkout(folder)
        finally:
            subprocess.run(["make", "down"], cwd=folder, env=environment(), check=True)
