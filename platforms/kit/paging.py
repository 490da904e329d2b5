"""Reading ahead: the next page is fetched while the consumer works on this one, with flat memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


def pages(first: T, following: Callable[[T], T | None]) -> Iterator[T]:
    """`first`, then whatever `following(page)` returns, until it returns None."""
    page: T | None = first
    while page is not None:
        yield page
        page = following(page)


def prefetch(items: Iterable[T], depth: int = 1) -> Iterator[T]:
    """Yield `items` in order while a thread fetches at most `depth` items ahead.

    An exception of the source is raised at the point where its item would have come. When the consumer stops early
    (break, exception) the thread stops after the item under way and the source is closed.
    """
    ready: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def put(item: object, error: BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put((item, error), timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

    def fetch() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put(item, None):
                    return
            put(_END, None)
        except BaseException as error:  # noqa: BLE001 - carried over to the consumer's thread and raised there
            put(_END, error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fetch, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item  # type: ignore[misc]  # the queue holds items of T beside the end mark
    finally:
        stop.set()
        thread.join(timeout=5)
