"""The web application: routes, templates, and the page shown while a server is down."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from dashboard import formatting, heat_map
from dashboard.database import NotBuiltError, Reader
from dashboard.metrics import PlatformCollector, exposition
from dashboard.page_request import PageRequest
from dashboard.pages import PAGES
from dashboard.poller import Poller
from dashboard.quarantine import discard_command, pretty, replay_command
from dashboard.queries import Alert, DagRun, FailedTask
from sluice.alerts import Run
from sluice.errors import SluiceError
from sluice.live.heartbeat import staleness
from sluice.settings import LOOPBACK, Settings
from sluice.warehouse.connect import AIRFLOW

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
DBT_HEADERS = HEADERS | {
    # dbt's documentation is one file that embeds its scripts, styles, fonts and data. It can fetch and send nothing.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data:; font-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
FILTERS = (
    formatting.count,
    formatting.percent,
    formatting.decimal,
    formatting.delay,
    formatting.timestamp,
    formatting.about,
    formatting.duration,
    formatting.ago,
    pretty,
    discard_command,
    replay_command,
)
"""The templates' filters, by function name."""


def create_app(settings: Settings) -> Starlette:
    """Returns the dashboard of a platform. Polling of the servers begins when the application starts."""
    poller = Poller(settings)
    warehouse, airflow = Reader(settings), Reader(settings, AIRFLOW)
    templates = _templates(settings)

    def common(name: str, title: str, updates: bool = False) -> dict[str, Any]:
        """Returns what the frame of every page shows."""
        snapshot = poller.snapshot
        known = set(snapshot.contracts) if snapshot.contracts is not None else None
        offered = {
            page: PAGES[page].title
            for page, streams in ((page, set(PAGES[page].streams)) for page in PAGES)
            if known is None or not streams or streams & known
        }
        servers = {"Postgres": None, "Live view": None, **snapshot.servers}
        return {
            "page": name,
            "title": title,
            "updates": updates,
            "pages": offered,
            "snapshot": snapshot,
            "servers": servers,
        }

    def endpoint(name: str) -> Callable[[Request], Response]:
        page = PAGES[name]

        def show(request: Request) -> Response:
            context = common(name, page.title, page.updates)
            snapshot, servers = context["snapshot"], context["servers"]
            template = f"{name}.html"
            try:
                with warehouse.connection() as connection:
                    servers["Live view"] = staleness(connection)
                    query = PageRequest(connection, airflow, request.query_params, snapshot, servers, settings)
                    context |= page.build(query)
            except NotBuiltError as error:
                template, context["error"] = "unavailable.html", str(error)
            except SluiceError as error:
                template, context["error"] = "unavailable.html", str(error)
                servers |= {"Postgres": str(error), "Live view": "unknown: its heartbeat cannot be read from Postgres"}
            # Always 200: the dashboard itself is up, and the page names the server that is down.
            return templates.TemplateResponse(request, template, context, headers=HEADERS)

        return show

    def dbt(request: Request) -> Response:
        if settings.dbt_docs.exists():
            return FileResponse(settings.dbt_docs, headers=DBT_HEADERS)
        return templates.TemplateResponse(request, "dbt.html", common("dbt", "Models"), headers=HEADERS)

    def not_found(request: Request, _: Exception) -> Response:
        context = common("", "Page not found")
        return templates.TemplateResponse(request, "not_found.html", context, status_code=404, headers=HEADERS)

    collector = PlatformCollector(settings, lambda: poller.snapshot, warehouse, airflow)

    def metrics(_: Request) -> Response:
        return Response(exposition(collector), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    # Asynchronous, so that it does not wait for a thread while all of them wait for Postgres.
    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        poller.start()
        yield
        poller.stop()
        for reader in (warehouse, airflow):
            reader.close()

    first_page = next(iter(PAGES))
    routes = [Route("/", endpoint(first_page)), *(Route(f"/{name}", endpoint(name), name=name) for name in PAGES)]
    static = Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    return Starlette(
        routes=[*routes, Route("/dbt", dbt), Route("/health", health), Route("/metrics", metrics), static],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_own_hosts(settings), www_redirect=False)],
        exception_handlers={404: not_found},
        lifespan=lifespan,
    )


def _own_hosts(settings: Settings) -> list[str]:
    """Returns the hosts by which a browser or a health check may address the dashboard.

    A web page that lets its own name resolve to this machine could otherwise read every page, quarantined records
    included.
    """
    public = urlsplit(settings.dashboard_url).hostname or LOOPBACK
    # Between containers it is reached by the name of its service.
    hosts = {LOOPBACK, "localhost", "::1", "dashboard", settings.dashboard_host, public}
    return sorted(f"[{host}]" if ":" in host else host for host in hosts)


def _templates(settings: Settings) -> Jinja2Templates:
    templates = Jinja2Templates(FOLDER / "templates")
    environment = templates.env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.finalize = formatting.printable
    environment.filters |= {function.__name__: function for function in FILTERS}
    urls = settings.pages

    def run_url(run: DagRun | FailedTask | Alert) -> str:
        return Run(str(run.dag_id), str(run.run_id)).url(urls.airflow)

    def log_url(task: FailedTask) -> str:
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{run_url(task)}/tasks/{quote(task.task_id)}{mapped}?try_number={task.try_number}"

    environment.globals |= {
        "states": heat_map.STATES,
        "airflow": urls.airflow,
        "lake": urls.lake,
        "run_url": run_url,
        "log_url": log_url,
    }
    return templates
