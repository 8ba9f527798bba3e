"""Who wants to know when a store changes, and the one thread that looks for all of them."""

import asyncio
import threading
from collections.abc import AsyncIterator

import anyio

from grokscope.server.index import Index

EVERY = 1.0
"""Seconds between two looks, and so between two messages (ours)."""


class Listener:
    """One client: the names that changed since it was last told."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.news = asyncio.Event()
        self.changed: set[str] = set()

    def tell(self, names: set[str]) -> None:
        """Add names, from any thread."""

        def add() -> None:
            self.changed |= names
            self.news.set()

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(add)


class Watcher:
    """Looks at a store once a second as long as anybody listens.

    Args:
        index: of the store; it is brought up to date on the way.
        every: seconds between two looks.
    """

    def __init__(self, index: Index, every: float = EVERY) -> None:
        self.index = index
        self.every = every
        self.lock = threading.Lock()
        self.listeners: set[Listener] = set()
        self.thread: threading.Thread | None = None
        self._wake = threading.Event()

    async def changes(self, closing: anyio.Event) -> AsyncIterator[list[str]]:
        """The names of runs and sweeps that changed, each time some did; at most once in ``every`` seconds.

        Args:
            closing: set when the server is about to end; the changes end then too.
        """
        listener = Listener()
        self._join(listener)
        last = asyncio.ensure_future(closing.wait())
        last.add_done_callback(lambda _: listener.news.set())
        try:
            while True:
                await listener.news.wait()
                listener.news.clear()
                if closing.is_set():
                    return
                names, listener.changed = listener.changed, set()
                yield sorted(names)
        finally:
            last.cancel()
            self._leave(listener)

    def _join(self, listener: Listener) -> None:
        with self.lock:
            self.listeners.add(listener)
            if self.thread is None:
                self._wake = threading.Event()
                self.thread = threading.Thread(target=self._look, args=(self._wake,), name="watcher", daemon=True)
                self.thread.start()

    def _leave(self, listener: Listener) -> None:
        with self.lock:
            self.listeners.discard(listener)
            if not self.listeners:
                self._wake.set()
                self.thread = None

    def _look(self, over: threading.Event) -> None:
        before = self.index.stamps()
        while not over.wait(self.every):
            self.index.refresh()
            now = self.index.stamps()
            names = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
            before = now
            if names:
                with self.lock:
                    listeners = list(self.listeners)
                for listener in listeners:
                    listener.tell(names)
