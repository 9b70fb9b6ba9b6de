"""The application: addresses, templates, and what is shown when a server is away."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from dashboard import texts
from dashboard.database import NotBuiltError, reading
from dashboard.pages import PAGES, Question
from dashboard.poller import Watch
from sluice.contracts import load_contracts
from sluice.errors import SluiceError
from sluice.live.heartbeat import staleness
from sluice.settings import Settings

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
DBT_HEADERS = HEADERS | {
    # dbt's page is one file with its scripts, styles, fonts and data in it. It can fetch nothing and send nothing.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data:; font-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
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
                    servers["Live view"] = staleness(connection)
                    context |= build(Question(connection, request.query_params, seen, settings))
            except NotBuiltError as error:
                template, context["fault"] = "away.html", str(error)
            except SluiceError as error:
                template, context["fault"] = "away.html", str(error)
                servers |= {"Postgres": str(error), "Live view": "it cannot be asked without Postgres"}
            # 200 also then: this server has answered, and says which one has not.
            return templates.TemplateResponse(request, template, context, headers=HEADERS)

        return show

    def dbt(request: Request) -> Response:
        if settings.dbt_docs.exists():
            return FileResponse(settings.dbt_docs, headers=DBT_HEADERS)
        context = {"page": "dbt", "title": "Models", "seen": watch.seen, "servers": watch.seen.servers}
        return templates.TemplateResponse(request, "dbt.html", context, headers=HEADERS)

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
    return Starlette(routes=[*routes, Route("/dbt", dbt), Route("/health", health), static], lifespan=lifespan)


def _templates(settings: Settings) -> Jinja2Templates:
    templates = Jinja2Templates(FOLDER / "templates")
    environment = templates.env
    environment.trim_blocks = environment.lstrip_blocks = True
    for filter_ in (texts.count, texts.share, texts.minutes, texts.moment, texts.duration, texts.ago, texts.excerpt):
        environment.filters[filter_.__name__] = filter_
    elsewhere = settings.pages
    environment.globals |= {
        "pages": {name: title for name, (title, _) in PAGES.items()},
        "airflow": elsewhere.airflow,
        "lake": elsewhere.lake,
        "run_address": lambda run: f"{elsewhere.airflow}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id, safe='')}",
    }
    return templates
