"""The commands that start, stop, delete and inspect the platform: up, down, clean, status, logs."""

import shutil
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.contracts import valid_contracts
from cli.removed_marts import name_removed, offer_to_drop
from cli.usage import MAX_ROWS, one_of, whole_number
from infra.processes import processes
from infra.processes.commands import follow
from infra.servers.services import services
from infra.supervision.platform import Platform, Status
from sluice.errors import SluiceError
from sluice.escaping import escape
from sluice.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the CLI."""

    @app.command()
    def up(
        months: Annotated[
            int | None,
            typer.Option(
                parser=whole_number("MONTHS", 0, 12), help="Months of 2013 that the first launch replays, 0 to 12 (1)."
            ),
        ] = None,
        live: Annotated[bool, typer.Option(help="Keep producing afterwards, at 600 times real speed.")] = True,
        observe: Annotated[bool, typer.Option(help="Run Prometheus, which scrapes the platform's metrics.")] = False,
        engine: Annotated[str, typer.Option(parser=one_of("ENGINE", "spark"), help="spark: run a Spark cluster.")] = "",
        force: Annotated[bool, typer.Option(help="Drop marts that no model builds, without asking.")] = False,
    ) -> None:
        """Install and start everything; return when the marts show the replayed data."""
        # Imported here because it imports Arrow, Delta and the clients of all servers.
        from infra.launch.launch import up as launch

        try:
            launch(months, live, observe, engine == "spark")
        except KeyboardInterrupt:
            print(f"sluice: interrupted: {_running_services()}", file=sys.stderr)
            raise
        offer_to_drop(force)

    @app.command()
    def down() -> None:
        """Stop everything; keep the data."""
        start = time.monotonic()
        platform = Platform(load_settings())
        if not platform.supervisor.running():
            platform.stop()
            print("the platform is down already; the data is kept, `make up` resumes with it")
            return
        platform.stop()
        print(f"stopped ({time.monotonic() - start:.0f} s); the data is kept, `make up` resumes with it")

    @app.command()
    def clean(force: Annotated[bool, typer.Option(help="Skip the confirmation.")] = False) -> None:
        """Stop everything and delete its data: topics, lake, warehouse, runs and logs."""
        settings = load_settings()
        if not (settings.home / "supervisor.conf").exists():
            print(f"nothing to delete in {settings.home}")
            return
        if not force:
            if not sys.stdin.isatty():
                raise SluiceError(f"confirmation required: this deletes {settings.home}", "run `make clean FORCE=1`")
            typer.confirm(f"Delete all data of the platform in {settings.home}?", abort=True)
        Platform(settings).stop()
        shutil.rmtree(settings.home)
        kept = "settings and installed software are kept"
        if any(service.external for service in services(settings).values()):
            kept += ", and so is everything in external servers"
        print(f"deleted {settings.home}; {kept}")

    @app.command()
    def status() -> None:
        """Show the state of every service; exit with 1 unless all are healthy and all contracts are valid."""
        settings = load_settings()
        statuses = Platform(settings).status()
        _print(statuses, processes.memory(process.pid for process, _ in processes.owned(settings.home)))
        # Imported here because it imports the clients of all servers.
        from sluice.removed.remains import removed_contracts

        name_removed()
        contracts = valid_contracts(settings)
        for line in removed_contracts(settings, contracts):
            print(line)
        if contracts.invalid or not all(service.healthy for service in statuses):
            raise typer.Exit(1)

    @app.command()
    def logs(
        service: Annotated[str, typer.Argument(help="Service to follow; without it, the last lines of all logs.")] = "",
        lines: Annotated[
            int, typer.Option(parser=whole_number("--lines", 1, MAX_ROWS), help="Number of lines per log.")
        ] = 20,
    ) -> None:
        """Show the last lines of the services' logs."""
        settings = load_settings()
        folder, names = settings.home / "logs", list(services(settings))
        if service and service not in names:
            raise SluiceError(f"unknown service {service!r}", f"choose from {', '.join(names)}")
        paths = [path for name in names if (path := folder / f"{name}.log").exists() and service in ("", name)]
        if not paths:
            raise SluiceError(f"no log in {folder} yet", "start the services with `make up`")
        if not Platform(settings).supervisor.running():
            print("sluice: the platform is down: these are the last lines from before", file=sys.stderr)
            service = ""
        follow(paths, lines, forever=bool(service) and sys.stdout.isatty())


def _running_services() -> str:
    """Returns what keeps running after a launch was interrupted, and what to do about it."""
    hint = "Hint: `make up` resumes where it was, `make down` stops everything."
    try:
        platform = Platform(load_settings())
        own = [name for name, service in platform.services.items() if not service.external]
        names = [name for name in own if platform.supervisor.state(name)["statename"] == "RUNNING"]
    except SluiceError:
        # The supervisor is not up yet.
        names = []
    verb = "keeps" if len(names) == 1 else "keep"
    return f"{', '.join(names)} {verb} running. {hint}" if names else f"nothing runs. {hint}"


def _print(statuses: list[Status], total: int) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("service", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("pid", "port", "memory", "uptime"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("detail")
    for service in statuses:
        colour = "green" if service.healthy else "red"
        table.add_row(
            service.name,
            f"[{colour}]{service.state}[/]",
            str(service.pid or ""),
            str(service.port or ""),
            _size(service.memory),
            _age(service.uptime) if service.pid else "",
            # Not as markup: a server's answer may hold brackets.
            Text(escape(service.detail)),
        )
    table.add_row("all", "", "", "", _size(total), "", "", style="bold")
    # Without a terminal a program may read the output: wide enough that no line wraps.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _size(amount: int) -> str:
    return f"{amount / 2**20:,.0f} MiB" if amount else ""


def _age(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
