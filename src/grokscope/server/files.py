"""What lies under ``/static``: the pages' own files, what is put together for them, and plotly's script."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
PLOTLY = "plotly.min.js"


@dataclass(frozen=True)
class File:
    """A file's bytes and how they are named to a browser."""

    content: bytes
    media: str
    etag: str
    packed: bytes | None = None
    """The same, compressed with gzip; None where it is not worth it."""


def static(name: str) -> File | None:
    """A file by its name; None where there is none. A name is looked up, never made a path."""
    if name == PLOTLY:
        return _plotly()
    from grokscope.server.pages import generated

    if (made := generated(name)) is not None:
        return _file(made[0].encode(), f"{made[1]}; charset=utf-8")
    for found in resources.files("grokscope.server").joinpath("static").iterdir():
        suffix = "." + found.name.rsplit(".", 1)[-1]
        if found.name == name and found.is_file() and suffix in TYPES:
            return _file(found.read_bytes(), TYPES[suffix])
    return None


def _file(content: bytes, media: str) -> File:
    return File(content, media, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


@lru_cache(maxsize=1)
def _plotly() -> File:
    """The script that ships with plotly's package: 5 MB, packed once."""
    from plotly.offline import get_plotlyjs  # half a second, so only when it is asked for

    content = get_plotlyjs().encode()
    plain = _file(content, TYPES[".js"])
    return File(content, plain.media, plain.etag, gzip.compress(content, 6, mtime=0))
