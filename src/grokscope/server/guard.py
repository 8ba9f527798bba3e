"""What every answer is wrapped in: who may ask, how, and what a browser may do with it."""

import ipaddress
import socket
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("", "0.0.0.0", "::")
CSP = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": CSP.format(scripts="", styles=""),
}


class Guard:
    """Refuses what is no GET or HEAD and what was sent to another name, and sets the headers of safety.

    A page of another site may point a name of its own at this machine and read the store through the reader's
    browser (DNS rebinding); its requests carry that name as their host, so only known names are answered. A
    server that listens on all addresses answers to any address written in digits, and to the machine's name.

    Args:
        app: what is guarded.
        host: where the server listens.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1") -> None:
        self.app = app
        self.names = {*LOCAL, host.strip("[]").lower()} - {""}
        self.anywhere = host in WILDCARDS
        if self.anywhere:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1 or not self.known(hosts[0]):
            asked = ", ".join(hosts) or "without a name"
            app = _refusal(421, f"this server is not {asked}; open it by the address it printed")
        elif scope["method"] not in ("GET", "HEAD"):
            app = _refusal(405, "only GET and HEAD: nothing is written here", {"Allow": "GET, HEAD"}.items())
        await app(scope, receive, guarded)

    def known(self, host: str) -> bool:
        """Whether a Host header names this server; its port is not looked at, for there are tunnels."""
        name = (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower().rstrip(".")
        if name in self.names:
            return True
        return self.anywhere and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(status: int, why: str, headers: Iterable[tuple[str, str]] = ()) -> ASGIApp:
    return JSONResponse({"error": why, "status": status}, status, dict(headers))
