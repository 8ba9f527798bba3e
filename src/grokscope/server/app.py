"""The web face of a store: addresses, parameters, answers. Nothing here writes."""

import base64
import hashlib
import json
import math
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from grokscope.errors import BadInput
from grokscope.report.diagram import diagram_html
from grokscope.server import files, guard
from grokscope.server.answers import Answers, Missing
from grokscope.server.charts import FEWEST
from grokscope.server.index import Query
from grokscope.server.pages import page
from grokscope.server.watch import EVERY, Watcher

SORTS = ("created", "name", "t_test", "test_accuracy")
MOST_RUNS, MOST_POINTS, MOST_NAMED = 1000, 50_000, 100
HEARTBEAT = 15
"""Seconds between two signs of life of a quiet stream of events."""


class Unknown(BadInput):
    """A parameter of a request that cannot be."""


class Json(Response):
    """JSON with NaN and infinity as null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        try:
            text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(content), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()


def make_app(
    store: str | Path, host: str = "127.0.0.1", results: str | Path = "results", every: float = EVERY
) -> Starlette:
    """The application that answers for a store.

    Args:
        store: folder of runs; it may be read-only, and runs in it may be being written.
        host: where the server listens, one of the names it answers to.
        results: folder of the papers' verdicts.
        every: seconds between two looks for changes, while somebody listens.
    """
    answers = Answers(store, results)
    watcher = Watcher(answers.index, every)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        over = threading.Event()
        threading.Thread(target=_warm, args=(answers, over), name="index", daemon=True).start()
        yield
        over.set()

    async def events(_: Request) -> Response:
        closing = anyio.Event()

        async def messages() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(comment="listening", retry=2000)
            async for names in watcher.changes(closing):
                yield ServerSentEvent(json.dumps({"changed": names}), event="runs")

        return EventSourceResponse(messages(), ping=HEARTBEAT, shutdown_event=closing, shutdown_grace_period=1)

    app = Starlette(
        routes=[
            *(Route(path, _asked(answers, call)) for path, call in API.items()),
            *(Route(path, _page(name)) for path, name in PAGES.items()),
            Route("/diagram/{name}", _asked(answers, _diagram)),
            Route("/static/{file}", _static),
            Route("/events", events),
        ],
        middleware=[Middleware(guard.Guard, host=host), Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3)],
        exception_handlers={HTTPException: _http_error, Exception: _fault},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.answers = answers
    app.state.watcher = watcher
    return app


def _warm(answers: Answers, over: threading.Event) -> None:
    answers.index.refresh()
    answers.index.warm(over)


# The API, address by address.


def _runs(answers: Answers, request: Request) -> Any:
    given = request.query_params
    query = Query(
        q=given.get("q", ""),
        experiment=given.get("experiment", ""),
        status=given.get("status", ""),
        label=given.get("label", ""),
        sort=_word(request, "sort", SORTS),
        desc=_number(request, "desc", 1, 0, 1) == 1,
        offset=_number(request, "offset", 0, 0, 10**9),
        limit=_number(request, "limit", 100, 0, MOST_RUNS),
    )
    return answers.runs(query)


def _run(answers: Answers, request: Request) -> Any:
    return answers.run(request.path_params["run"])


def _series(answers: Answers, request: Request) -> Any:
    keys, members = _many(request, "key"), _many(request, "member")
    if not keys:
        raise Unknown("key is needed: ?key=test/loss, once or more often")
    points = _number(request, "points", 1500, FEWEST, MOST_POINTS)
    return answers.series(request.path_params["run"], keys, [_whole("member", m) for m in members], points)


def _arrays(answers: Answers, request: Request) -> Any:
    return answers.array_steps(request.path_params["run"], _needed(request, "key"), _number(request, "member", 0))


def _array(answers: Answers, request: Request) -> Any:
    key, member = _needed(request, "key"), _number(request, "member", 0)
    return answers.array(request.path_params["run"], key, member, _whole("step", _needed(request, "step")))


def _band(answers: Answers, request: Request) -> Any:
    runs, experiment = _many(request, "run"), request.query_params.get("experiment", "")
    if not runs and not experiment:
        raise Unknown("experiment or run is needed: ?experiment=NAME, or ?run=NAME once or more often")
    align = request.query_params.get("align", "step")
    points = _number(request, "points", 300, FEWEST, MOST_POINTS)
    return answers.band(experiment, runs, _needed(request, "key"), align, points)


def _compare(answers: Answers, request: Request) -> Any:
    runs = _many(request, "run")
    if not runs:
        raise Unknown("run is needed: ?run=NAME&run=NAME")
    align = request.query_params.get("align", "step")
    points = _number(request, "points", 1500, FEWEST, MOST_POINTS)
    return answers.compare(runs, _many(request, "key"), align, points)


def _diagram(answers: Answers, request: Request) -> Response:
    """The diagram's own page, whose script and style stand in it: they are allowed by their digests."""
    folder = answers.sweep_folder(request.path_params["name"])
    html = diagram_html(folder, live=True)
    scripts, styles = (_digests(html, tag) for tag in ("script", "style"))
    return HTMLResponse(html, headers={"Content-Security-Policy": guard.CSP.format(scripts=scripts, styles=styles)})


API: dict[str, Callable[[Answers, Request], Any]] = {
    "/api/runs": _runs,
    "/api/run/{run:path}": _run,
    "/api/series/{run:path}": _series,
    "/api/arrays/{run:path}": _arrays,
    "/api/array/{run:path}": _array,
    "/api/band": _band,
    "/api/compare": _compare,
    "/api/sweeps": lambda answers, _: answers.sweeps(),
    "/api/sweep/{name}": lambda answers, request: answers.sweep(request.path_params["name"]),
    "/api/papers": lambda answers, _: answers.papers(),
}
PAGES = {"/": "list", "/run/{run:path}": "run", "/compare": "compare", "/sweep/{name}": "sweep", "/papers": "papers"}


def _asked(answers: Answers, call: Callable[[Answers, Request], Any]) -> Callable[[Request], Response]:
    """An endpoint that runs in a thread of its own, so that one slow answer holds up no other."""

    def answer(request: Request) -> Response:
        try:
            found = call(answers, request)
        except Missing as error:
            return _error(404, str(error))
        except Unknown as error:
            return _error(400, str(error))
        except BadInput as error:
            return _error(422, str(error))
        return found if isinstance(found, Response) else Json(found, headers={"Cache-Control": "no-cache"})

    return answer


def _page(name: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        title = next(iter(request.path_params.values()), "")
        # Plotly sets rules and attributes of style; the policy of scripts stays as strict as everywhere.
        policy = guard.CSP.format(scripts="", styles=" 'unsafe-inline'")
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": policy}
        return HTMLResponse(page(name, title=title), headers=headers)

    return answer


def _static(request: Request) -> Response:
    found = files.static(request.path_params["file"])
    if found is None:
        return _error(404, "no such file")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if found.packed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media)
    return Response(found.content, headers=headers, media_type=found.media)


# Parameters and errors.


def _needed(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise Unknown(f"{name} is needed")
    return value


def _many(request: Request, name: str) -> list[str]:
    found = request.query_params.getlist(name)
    if len(found) > MOST_NAMED:
        raise Unknown(f"{name} may stand at most {MOST_NAMED} times, got {len(found)}")
    return list(dict.fromkeys(found))


def _word(request: Request, name: str, known: tuple[str, ...]) -> str:
    value = request.query_params.get(name, known[0])
    if value not in known:
        raise Unknown(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def _number(request: Request, name: str, usual: int, low: int = 0, high: int = 2**62) -> int:
    value = _whole(name, request.query_params.get(name, str(usual)))
    if not low <= value <= high:
        raise Unknown(f"{name} must be from {low} to {high}, got {value}")
    return value


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Unknown(f"{name} must be a whole number, got {text[:40]!r}")
    return int(text)


def _digests(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
    sums = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    return "".join(f" 'sha256-{one}'" for one in sums)


def _error(status: int, why: str) -> Response:
    return Json({"error": " ".join(why.split()), "status": status}, status_code=status)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, "nothing is here" if error.status_code == 404 else str(error.detail))


def _fault(_: Request, error: Exception) -> Response:
    return _error(500, f"this is a fault of the server: {type(error).__name__}: {error}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
