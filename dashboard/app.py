"""The application: addresses, templates, and what is shown when a server is away."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from dashboard import queries, texts
from dashboard.database import NotBuiltError, reading
from dashboard.pages import PAGES, Question
from dashboard.watch import Watch
from sluice.contracts import load_contracts
from sluice.errors import SluiceError
from sluice.runtime.probes import LIVE_SECONDS
from sluice.settings import Settings

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(settings: Settings) -> Starlette:
    """The dashboard of a platform. It begins to watch its servers when it is started."""
    watch = Watch(settings, list(load_contracts(settings.contracts)))
    templates = _templates(settings)

    def endpoint(name: str) -> Callable[[Request], Response]:
        title, build = PAGES[name]

        def show(request: Request) -> Response:
            seen = watch.seen
            servers: dict[str, str | None] = {"Postgres": None, "Live view": None, **seen.servers}
            context: dict[str, Any] = {"page": name, "title": title, "seen": seen, "servers": servers}
            template = f"{name}.html"
            try:
                with reading(settings) as connection:
                    servers["Live view"] = _live(queries.heartbeat(connection))
                    context |= build(Question(connection, request.query_params, seen, settings))
            except NotBuiltError as error:
                template, context["fault"] = "away.html", str(error)
            except SluiceError as error:
                template, context["fault"] = "away.html", str(error)
                servers |= {"Postgres": str(error), "Live view": "it cannot be asked without Postgres"}
            # 200 also then: this server has answered, and says which one has not.
            return templates.TemplateResponse(request, template, context, headers=HEADERS)

        return show

    def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch.start()
        yield
        watch.stop()

    first = next(iter(PAGES))
    routes = [Route("/", endpoint(first)), *(Route(f"/{name}", endpoint(name), name=name) for name in PAGES)]
    static = Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    return Starlette(routes=[*routes, Route("/health", health), static], lifespan=lifespan)


def _live(seconds: float | None) -> str | None:
    if seconds is None:
        return "it has not begun to read"
    return None if seconds < LIVE_SECONDS else f"not heard of for {seconds:,.0f} s"


def _templates(settings: Settings) -> Jinja2Templates:
    templates = Jinja2Templates(FOLDER / "templates")
    environment = templates.env
    environment.trim_blocks = environment.lstrip_blocks = True
    for filter_ in (texts.count, texts.share, texts.minutes, texts.moment, texts.duration, texts.ago, texts.excerpt):
        environment.filters[filter_.__name__] = filter_
    airflow = settings.airflow_url or settings.airflow
    console = settings.minio_console_url or f"http://{settings.minio_host}:{settings.minio_console_port}"
    environment.globals |= {
        "pages": {name: title for name, (title, _) in PAGES.items()},
        "airflow": airflow,
        "minio": console,
        "lake": f"{console}/browser/{settings.lake_bucket}",
        "run_address": lambda run: f"{airflow}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id, safe='')}",
    }
    return templates
