"""The commands that start, stop, empty and show the platform."""

import shutil
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.processes import processes
from infra.processes.commands import follow
from infra.servers.services import services
from infra.supervision.platform import Platform, Status
from sluice.errors import SluiceError
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def up(
        months: Annotated[int, typer.Option(help="Months of 2013 that the first launch replays, 0 to 12.")] = 1,
        live: Annotated[bool, typer.Option(help="Go on producing afterwards, 600 times as fast as reality.")] = True,
    ) -> None:
        """Installs and starts everything, and returns when the marts show what was replayed."""
        # Imported here: it brings Arrow, Delta and the clients of all servers, which the others do without.
        from infra.launch.launch import up as launch

        launch(months, live)

    @app.command()
    def down() -> None:
        """Stops everything; data stays."""
        start = time.monotonic()
        Platform(load_settings()).stop()
        print(f"everything is stopped ({time.monotonic() - start:.0f} s); the data stays, `make up` goes on with it")

    @app.command()
    def clean(force: Annotated[bool, typer.Option(help="Do not ask.")] = False) -> None:
        """Stops everything and deletes its data: topics, lake, warehouse, runs and logs."""
        settings = load_settings()
        if not (settings.home / "supervisor.conf").exists():
            print(f"there is nothing to delete in {settings.home}")
            return
        if not force:
            if not sys.stdin.isatty():
                raise SluiceError(f"nobody is there to ask whether {settings.home} may go", "`make clean FORCE=1`")
            typer.confirm(f"Delete all data of the platform in {settings.home}?", abort=True)
        Platform(settings).stop()
        shutil.rmtree(settings.home)
        print(f"{settings.home} is deleted; settings and installed software stay")

    @app.command()
    def status() -> None:
        """Shows every service with its state, process, port, memory and age; exit code 0 only if all are healthy."""
        settings = load_settings()
        found = Platform(settings).status()
        _show(found, processes.memory(process.pid for process, _ in processes.owned(settings.home)))
        if not all(service.healthy for service in found):
            raise typer.Exit(1)

    @app.command()
    def logs(
        service: Annotated[str, typer.Argument(help="Follow this one; without it, the last lines of all.")] = "",
        lines: Annotated[int, typer.Option(help="How many lines of each.")] = 20,
    ) -> None:
        """Shows what services say."""
        settings = load_settings()
        folder, names = settings.home / "logs", list(services(settings))
        if service and service not in names:
            raise SluiceError(f"there is no service {service}", f"choose from {', '.join(names)}")
        found = [path for name in names if (path := folder / f"{name}.log").exists() and service in ("", name)]
        if not found:
            raise SluiceError(f"there is no log in {folder} yet", "`make up` starts the services")
        follow(found, lines, forever=bool(service) and sys.stdout.isatty())


def _show(found: list[Status], total: int) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("service", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("pid", "port", "memory", "up for"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("detail")
    for each in found:
        colour = "green" if each.healthy else "red"
        table.add_row(
            each.name,
            f"[{colour}]{each.state}[/]",
            str(each.pid or ""),
            str(each.port or ""),
            _size(each.memory),
            _age(each.uptime) if each.pid else "",
            each.detail,
        )
    table.add_row("all", "", "", "", _size(total), "", "", style="bold")
    # Wide enough for whole lines where nobody looks: a program may read them.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _size(amount: int) -> str:
    return f"{amount / 2**20:,.0f} MiB" if amount else ""


def _age(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
