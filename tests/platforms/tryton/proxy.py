"""A line between Tieout and Tryton that can be cut: requests and answers get lost on it, and some requests come late."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType

PASS, LOST_REPLY, LOST_REQUEST, LATE = "passed", "reply lost", "request lost", "request late"
Fate = Callable[[int, bytes], str]
WRITES = (b'.create"', b'.write"', b'.delete"')


def always_pass(number: int, request: bytes) -> str:
    return PASS


class Weather:
    """Of requests that write, a share is not answered: carried out all the same, never carried out, or much later."""

    def __init__(
        self, seed: int, share: float = 0.4, *, fates: tuple[str, ...] = (LOST_REPLY, LOST_REQUEST, LATE)
    ) -> None:
        self.random = random.Random(seed)
        self.share = share
        self.fates = fates

    def __call__(self, number: int, request: bytes) -> str:
        if not any(mark in request for mark in WRITES) or self.random.random() >= self.share:
            return PASS
        return self.random.choice(self.fates)


class Proxy:
    """Passes HTTP requests on to `port`, one a connection, as Tryton's own server wants it. A context manager."""

    def __init__(self, port: int, fate: Fate = always_pass) -> None:
        self.upstream = port
        self.fate = fate
        self.requests = 0
        self.told: Counter[str] = Counter()
        self.on_request: Callable[[int], None] = lambda number: None
        """Called with the number of each request before it is passed on."""
        self._waiting: list[bytes] = []
        self._busy: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.close()
        self.quiet()

    def quiet(self) -> None:
        """Let what is late arrive, and wait until nothing is under way any more."""
        self._deliver(everything=True)
        for thread in list(self._busy):
            thread.join(30)
        self._busy.clear()

    def _listen(self) -> None:
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._busy.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            request = _whole_request(line)
            if not request:
                return
            with self._lock:
                self.requests += 1
                number = self.requests
                fate = self.fate(number, request)
                self.told[fate] += 1
            self.on_request(number)
            if fate == LATE:
                self._waiting.append(request)
            elif fate == LOST_REPLY:
                self._ask(request)
            elif fate == PASS:
                line.sendall(self._ask(request))
        if fate != LATE:
            self._deliver()

    def _deliver(self, *, everything: bool = False) -> None:
        """Requests that were held up go on their way, nobody waiting for the answer: side by side with newer ones."""
        while self._waiting and (everything or self.requests % 2):
            with contextlib.suppress(IndexError):
                thread = threading.Thread(target=self._arrive, args=(self._waiting.pop(0),), daemon=True)
                self._busy.append(thread)
                thread.start()
            if not everything:
                return

    def _arrive(self, request: bytes) -> None:
        undone = b"ConcurrencyException" in self._ask(request)
        with self._lock:
            self.told["late ones undone by the guard" if undone else "late ones carried out or refused"] += 1

    def _ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=60) as server:
            server.sendall(request)
            answer = b""
            while part := server.recv(65536):
                answer += part
        return answer


def _whole_request(line: socket.socket) -> bytes:
    """One request, made to end the connection with its answer."""
    line.settimeout(60)
    received = b""
    while b"\r\n\r\n" not in received:
        part = line.recv(65536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    headers = head.split(b"\r\n")
    length = next((int(h.split(b":")[1]) for h in headers if h.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = line.recv(65536)
        if not part:
            return b""
        body += part
    kept = [h for h in headers if not h.lower().startswith((b"connection:", b"keep-alive:"))]
    return b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + body
