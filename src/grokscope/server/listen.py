"""Opening the port: one clear line where that cannot be."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from grokscope.errors import BadInput
from grokscope.server.app import make_app

GRACE = 2
"""Seconds that answers under way have when the server is stopped."""


def serve(store: str | Path, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Answer until Ctrl-C, which is how a server ends and no failure.

    Args:
        store: folder of runs, read only.
        host: address to listen at.
        port: 0 takes a free one.
        tell: called with the address once it listens.

    Raises:
        BadInput: no such store, or no such address, or the port is in use.
    """
    if not Path(store).is_dir():
        raise BadInput(f"there is no store {str(store)!r}; choose one with --store DIR.")
    with listening(host, port) as door:
        app = make_app(store, host)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
        )
        named = f"[{host}]" if ":" in host else host
        tell(f"http://{named}:{door.getsockname()[1]}/")
        try:
            uvicorn.Server(config).run(sockets=[door])
        except KeyboardInterrupt:
            return


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        BadInput: the port is in use or may not be taken, or the address is not one of this machine.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind, proto)
    except OSError as error:
        raise BadInput(f"there is no address {host!r} ({error.strerror}); take another with --host.") from None
    try:
        if os.name == "posix":  # where it means: a port whose last connections are closing may be taken
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
        door.listen(128)
    except OSError as error:
        door.close()
        if error.errno == errno.EADDRINUSE:
            raise BadInput(f"port {port} is in use; take another with --port") from None
        if error.errno == errno.EACCES:
            raise BadInput(f"port {port} may not be taken by this user; take one above 1023 with --port") from None
        raise BadInput(f"cannot listen at {host!r} ({error.strerror}); take another with --host.") from None
    return door
